#include "harness/base/field.h"

#include <set>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/spec.h"

namespace dlm {
namespace {

const Field<RunSpec>& row(const char* name) {
  return run_fields().at(name);
}

std::string error_of(const char* name, const char* text) {
  RunSpec spec;
  try {
    run_fields().set_text(spec, row(name), text);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(FieldTable, FindsByKeyAndByOption) {
  EXPECT_EQ(run_fields().find("sampler.top_k"), run_fields().find("top-k"));
  EXPECT_EQ(run_fields().find("nothing"), nullptr);
}

TEST(FieldTable, EveryOptionAndShortOptionIsUnique) {
  // Of one command: `run` and `generate` both have a block size.
  for (const SpecPart part : {SpecPart::kModel, SpecPart::kScore, SpecPart::kGenerate}) {
    std::set<std::string> names;
    for (const auto& field : run_fields(part).fields()) {
      EXPECT_TRUE(names.insert(field_flag(field.key)).second) << field.key;
      EXPECT_FALSE(field.help.empty());
      if (field.short_option != 0) {
        EXPECT_TRUE(names.insert(std::string(1, field.short_option)).second);
      }
    }
  }
}

TEST(FieldTable, APartCalledNameHasTheOptionOfWhatItNames) {
  EXPECT_EQ(field_flag("sampler.name"), "sampler");
  EXPECT_EQ(field_flag("a.sampler.name"), "sampler");
  EXPECT_EQ(field_flag("name"), "name");
  EXPECT_EQ(field_flag("sampler.top_k"), "top-k");
}

TEST(FieldTable, EveryDefaultPassesItsOwnLimitsAndRoundTrips) {
  const RunSpec defaults;
  for (const auto& field : run_fields().fields()) {
    RunSpec spec;
    const FieldValue value = field.get(defaults);
    EXPECT_EQ(parse_field_text(field.key, field_text(value), value, field.limits), value)
        << field.key;
    run_fields().set_json(spec, field, field_json(value));
    EXPECT_EQ(field.get(spec), value) << field.key;
  }
}

TEST(FieldTable, ErrorsNameFieldValueAndWhatIsAllowed) {
  EXPECT_EQ(error_of("batch-size", "0"),
            "batch_size = '0': must be a whole number from 1 to 65536");
  EXPECT_EQ(error_of("dtype", "f8"), "dtype = 'f8': must be one of f32, bf16, f16");
  EXPECT_EQ(error_of("temperature", "-1"),
            "sampler.temperature = '-1': must be a number from 0 to 1000");
  EXPECT_EQ(error_of("cache", "perhaps"), "sampler.cache = 'perhaps': must be true or false");
  EXPECT_EQ(error_of("nucleus-p", "0").substr(0, 22), "sampler.nucleus_p = '0");
  EXPECT_EQ(error_of("seed", "-3"), "seed = '-3': must be a non-negative whole number");
}

TEST(FieldTable, JsonOfAnotherTypeIsRefused) {
  RunSpec spec;
  EXPECT_THROW(run_fields().set_json(spec, row("batch_size"), Json("x")), ConfigError);
  EXPECT_THROW(run_fields().set_json(spec, row("batch_size"), Json(2.5)), ConfigError);
  EXPECT_THROW(run_fields().set_json(spec, row("batch_size"), Json(true)), ConfigError);
  EXPECT_THROW(run_fields().set_json(spec, row("model"), Json(3)), ConfigError);
  EXPECT_THROW(run_fields().set_json(spec, row("metrics"), Json::array({1, 2})), ConfigError);
  run_fields().set_json(spec, row("batch_size"), Json("4"));
  EXPECT_EQ(spec.batch_size, 4);
}

TEST(FieldTable, IdentityLeavesOutWhatCannotChangeAResult) {
  RunSpec a;
  RunSpec b;
  b.threads = 2;
  b.metrics = {"nll"};
  EXPECT_EQ(run_fields().to_json(a, true), run_fields().to_json(b, true));
  b.scoring.stride = 7;
  EXPECT_NE(run_fields().to_json(a, true), run_fields().to_json(b, true));
}

TEST(Flatten, ListsLeavesByDottedPath) {
  const Json nested = Json::parse(R"({"b": {"c": 1, "d": [1, 2]}, "a": "x"})");
  const auto leaves = flatten(nested);
  ASSERT_EQ(leaves.size(), 3U);
  EXPECT_EQ(leaves[0].first, "a");
  EXPECT_EQ(leaves[2].first, "b.d");
  Json back;
  for (const auto& [key, value] : leaves) put_at_path(back, key, value);
  EXPECT_EQ(back, nested);
}

}  // namespace
}  // namespace dlm
