// Settings that a run does not read: refused, or left out of a sweep's runs that are not meant.
#include "harness/read_settings.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/log.h"
#include "harness/sweep.h"

namespace dlm {
namespace {

std::vector<RunSpec> runs_of(const std::string& models, const std::string& samplers,
                             const std::vector<std::pair<std::string, std::string>>& more) {
  std::vector<SweepAxis> axes = {make_axis("model", models), make_axis("task", "samples:length=4"),
                                 make_axis("sampler.name", samplers)};
  for (const auto& [key, values] : more) axes.push_back(make_axis(key, values));
  return expand({}, axes);
}

// What comes of every run, by methods that are the samplers' names, `automatic` for "auto".
std::vector<RunSpec> read_parts(const std::vector<RunSpec>& runs, const std::string& automatic) {
  Sweep sweep(runs);
  std::vector<RunSpec> read;
  for (const RunSpec& run : runs) {
    const std::string& name = run.sampler.name;
    read.push_back(
        sweep.read_part(run, RunMethod{"", name == "auto" ? automatic : name}, SpecPart::kSample));
  }
  return read;
}

std::string refusal(const std::vector<RunSpec>& runs, const std::string& automatic) {
  try {
    (void)read_parts(runs, automatic);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

class ReadSettings : public ::testing::Test {
 protected:
  ReadSettings() : level_(log_level()) { set_log_level(LogLevel::kQuiet); }

  ~ReadSettings() override { set_log_level(level_); }

 private:
  LogLevel level_;
};

TEST_F(ReadSettings, ASingleRunMustReadWhatItIsGiven) {
  EXPECT_EQ(refusal(runs_of("m", "random", {{"sampler.threshold", "0.5"}}), ""),
            "sampler.threshold = '0.5': must be left out: the sampler random does not read it; "
            "threshold does");
  EXPECT_EQ(refusal(runs_of("m", "random", {{"estimator.draws", "3"}}), ""),
            "estimator.draws = '3': must be left out: a run that writes text does not read it");
  EXPECT_EQ(refusal(runs_of("m", "threshold", {{"sampler.threshold", "0.5"}}), ""), "");
  EXPECT_EQ(refusal(runs_of("m", "random", {{"sampler.threshold", "0.9"}}), ""), "");  // default
}

TEST_F(ReadSettings, ASweepLeavesItOutWhereAnotherRunReadsIt) {
  const auto read =
      read_parts(runs_of("m", "confidence,threshold", {{"sampler.threshold", "0.5,0.7"}}), "");
  ASSERT_EQ(read.size(), 4U);
  EXPECT_EQ(read[0].sampler.threshold, 0.9);
  EXPECT_EQ(read[1].sampler.threshold, 0.9);
  EXPECT_EQ(read[2].sampler.threshold, 0.5);
  EXPECT_EQ(read[3].sampler.threshold, 0.7);
}

TEST_F(ReadSettings, ASweepOverWhatNoneReadsIsRefused) {
  const std::string message =
      refusal(runs_of("m", "auto", {{"sampler.tokens_per_step", "1,4"}}), "first_hitting");
  EXPECT_NE(message.find("tokens_per_step = '4': must be left out"), std::string::npos) << message;
  EXPECT_NE(refusal(runs_of("m", "random,confidence", {{"sampler.threshold", "0.5"}}), ""), "");
}

TEST_F(ReadSettings, ARunOfAnotherModelMayReadWhatIsLeftOut) {
  const auto runs = runs_of("a,b", "auto", {{"sampler.tokens_per_step", "1,4"}});
  EXPECT_EQ(read_parts(runs, "autoregressive")[1].sampler.tokens_per_step, 1);
}

TEST_F(ReadSettings, WarnsOfWhatNoRunHasRead) {
  const auto warnings = [](const std::vector<RunSpec>& runs, const std::string& automatic) {
    Sweep sweep(runs);
    for (const RunSpec& run : runs)
      (void)sweep.read_part(
          run, RunMethod{"", run.sampler.name == "auto" ? automatic : run.sampler.name},
          SpecPart::kSample);
    ::testing::internal::CaptureStderr();
    sweep.warn_of_unread();
    return ::testing::internal::GetCapturedStderr();
  };
  EXPECT_NE(warnings(runs_of("a,b", "auto", {{"sampler.threshold", "0.5"}}), "random")
                .find("sampler.threshold: no run"),
            std::string::npos);
  EXPECT_EQ(warnings(runs_of("a,b", "auto,threshold", {{"sampler.threshold", "0.5"}}), "random"),
            "");
}

}  // namespace
}  // namespace dlm
