// Which estimators and samplers read a setting.
#include "harness/base/read_when.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace dlm {
namespace {

std::vector<std::string> readers(const std::string& key, const std::string& of) {
  RunSpec spec;
  spec.estimator.strata = "published";  // what other settings need is there
  spec.sampler.entropy_floor = 1;
  spec.sampler.nucleus_p = 0.5;
  spec.sampler.top_k = 2;
  spec.sampler.published = "dream";
  std::vector<std::string> names;
  for (const std::string& name : run_fields().at(of).limits.choices) {
    const RunMethod method =
        of == "estimator.estimator" ? RunMethod{name, ""} : RunMethod{"", name};
    if (name != "auto" && why_unread(key, spec, method).empty())
      names.push_back(name);
  }
  return names;
}

using Names = std::vector<std::string>;

TEST(ReadWhen, EveryMethodReadsItsOwnSettings) {
  const std::string estimator = "estimator.estimator", sampler = "sampler.name";
  EXPECT_EQ(readers("estimator.draws", estimator),
            (Names{"reference", "stratified", "llada", "dream"}));
  EXPECT_EQ(readers("estimator.schedule", estimator), Names{"reference"});
  EXPECT_EQ(readers("estimator.reveal_order", estimator), Names{"order"});
  EXPECT_EQ(readers("estimator.t_max", estimator), (Names{"reference", "stratified", "enumerate"}));
  EXPECT_EQ(readers("sampler.threshold", sampler), Names{"threshold"});
  EXPECT_EQ(readers("sampler.factor", sampler), (Names{"factor", "factor_reference"}));
  EXPECT_EQ(readers("sampler.verifier", sampler), (Names{"rerank", "verified"}));
  for (const std::string& method : run_fields().at(estimator).limits.choices) {
    EXPECT_TRUE(why_unread("estimator.target_ci", {}, {method, ""}).empty()) << method;
    EXPECT_EQ(why_unread("block_size", {}, {method, ""}).empty(), method != "exact") << method;
  }
  for (const std::string& method : run_fields().at(sampler).limits.choices)
    EXPECT_TRUE(why_unread("sampler.nucleus_p", {}, {"", method}).empty()) << method;
}

TEST(ReadWhen, SaysWhoReadsASetting) {
  EXPECT_EQ(why_unread("sampler.threshold", {}, {"", "random"}),
            "the sampler random does not read it; threshold does");
  EXPECT_EQ(why_unread("sampler.factor", {}, {"", "random"}),
            "the sampler random does not read it; factor and factor_reference do");
  EXPECT_EQ(why_unread("block_size", {}, {"exact", ""}),
            "the estimator exact does not read it; others do");
}

TEST(ReadWhen, UnknownMethodsCountAsReaders) {
  for (const char* name : {"", "auto"})
    EXPECT_TRUE(why_unread("sampler.threshold", {}, {name, name}).empty());
}

TEST(ReadWhen, SettingsThatOnlyModifyAnotherNeedIt) {
  RunSpec spec;
  const RunMethod method{"", "confidence"};
  EXPECT_EQ(why_unread("sampler.nucleus_rule", spec, method),
            "it is read with --nucleus-p below 1 alone");
  EXPECT_FALSE(why_unread("sampler.filter_order", spec, method).empty());
  EXPECT_FALSE(why_unread("sampler.entropy_restarts", spec, method).empty());
  EXPECT_FALSE(why_unread("sampler.eps", spec, method).empty());
  EXPECT_FALSE(why_unread("estimator.strata_rows", spec, {"reference", ""}).empty());
  spec.sampler.nucleus_p = 0.9;
  spec.sampler.top_k = 5;
  spec.sampler.entropy_floor = 4;
  spec.sampler.reveal_schedule = "dream";
  spec.estimator.strata = "published";
  for (const char* key :
       {"sampler.nucleus_rule", "sampler.filter_order", "sampler.entropy_restarts", "sampler.eps"})
    EXPECT_EQ(why_unread(key, spec, method), "") << key;
  EXPECT_EQ(why_unread("estimator.strata_rows", spec, {"reference", ""}), "");
}

}  // namespace
}  // namespace dlm
