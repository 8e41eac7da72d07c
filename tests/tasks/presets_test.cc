#include "tasks/presets.h"

#include <map>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "tasks/detokenizer.h"

namespace dlm {
namespace {

std::string error_of(const RunSpec& spec) {
  try {
    with_preset(spec);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

RunSpec with_name(const std::string& name) {
  RunSpec spec;
  spec.scoring.preset = name;
  return spec;
}

// Every preset's settings as the spec's table of experiments has them.
TEST(Presets, SetWhatThePublishedScriptsDo) {
  struct Row {
    std::string eos, chunk_ends, first_token;
    std::int64_t length;
    std::string detokenizer;
  };

  const std::map<std::string, Row> kPublished{{"bd3lm-owt", {"add", "none", "clean", 1024, "none"}},
                                              {"sahoo-owt", {"add", "add", "scored", 1024, "none"}},
                                              {"lm1b", {"add", "add", "clean", 128, "lm1b"}},
                                              {"zero-shot", {"none", "add", "clean", 1024, "auto"}},
                                              {"noeos", {"add", "none", "clean", 1024, "none"}}};
  ASSERT_EQ(preparation_presets().size(), kPublished.size());
  for (const auto& [name, row] : kPublished) {
    const RunSpec made = with_preset(with_name(name));
    EXPECT_EQ(made.scoring.preset, name);
    EXPECT_EQ(made.scoring.packing, "packed") << name;
    EXPECT_EQ(made.scoring.eos, row.eos) << name;
    EXPECT_EQ(made.scoring.chunk_ends, row.chunk_ends) << name;
    EXPECT_EQ(made.estimator.first_token, row.first_token) << name;
    EXPECT_EQ(made.scoring.length, row.length) << name;
    EXPECT_EQ(made.scoring.bos, "none") << name;
    EXPECT_EQ(made.scoring.remainder, "drop") << name;
    EXPECT_EQ(made.scoring.documents_per_group, 1000) << name;
    EXPECT_EQ(made.scoring.num_proc, 1) << name;
    EXPECT_EQ(made.scoring.special_ids, "encoded") << name;
    EXPECT_EQ(made.detokenizer, row.detokenizer) << name;
    EXPECT_EQ(made.scoring.stride, 0) << name;
  }
}

TEST(Presets, AreNamedOnceWithValuesOfTheFieldTable) {
  std::set<std::string> names;
  for (const PreparationPreset& preset : preparation_presets()) {
    EXPECT_TRUE(names.insert(preset.name).second) << preset.name;
    EXPECT_FALSE(preset.used_for.empty() || preset.tokenizer.empty());
    EXPECT_EQ(&find_preset(preset.name), &preset);
    for (const auto& [key, value] : preset_settings(preset))
      EXPECT_NO_THROW(run_fields(SpecPart::kScore).at(key)) << key;
  }
}

TEST(Presets, NoneLeavesTheSettingsAlone) {
  RunSpec spec;
  spec.scoring.packing = "sliding";
  spec.scoring.length = 77;
  const RunSpec made = with_preset(spec);
  const auto& table = run_fields(SpecPart::kScore);
  EXPECT_EQ(table.to_json(made, false), table.to_json(spec, false));
}

// What `data presets` shows can be written out in full beside the preset, and setting a preset
// twice changes nothing.
TEST(Presets, AgreeWithTheirOwnSettings) {
  for (const PreparationPreset& preset : preparation_presets()) {
    const RunSpec once = with_preset(with_name(preset.name));
    const RunSpec twice = with_preset(once);
    const auto& table = run_fields(SpecPart::kScore);
    EXPECT_EQ(table.to_json(once, false), table.to_json(twice, false)) << preset.name;
  }
}

TEST(Presets, RefuseSettingsThatContradictThem) {
  RunSpec spec = with_name("zero-shot");
  spec.scoring.eos = "add";
  EXPECT_EQ(error_of(spec),
            "scoring.eos = 'add': preset zero-shot has none; leave one of them out");
  spec = with_name("zero-shot");
  spec.scoring.packing = "sliding";
  EXPECT_EQ(error_of(spec),
            "scoring.packing = 'sliding': preset zero-shot has packed; leave one of them out");
  spec = with_name("bd3lm-owt");
  spec.estimator.first_token = "scored";
  EXPECT_EQ(error_of(spec),
            "estimator.first_token = 'scored': preset bd3lm-owt has clean; leave one of them out");
  spec = with_name("bd3lm-owt");
  spec.scoring.documents_per_group = 10;
  EXPECT_NE(error_of(spec).find("preset bd3lm-owt has 1000"), std::string::npos);
  spec = with_name("bd3lm-owt");
  spec.scoring.stride = 5;
  EXPECT_NE(error_of(spec).find("scoring.stride = '5'"), std::string::npos);
  spec = with_name("lm1b");
  spec.detokenizer = "ptb";
  EXPECT_EQ(error_of(spec), "detokenizer = 'ptb': preset lm1b has lm1b; leave one of them out");
  EXPECT_EQ(error_of(with_name("zeroshot")),
            "scoring.preset = 'zeroshot': unknown; did you mean 'zero-shot'?");
}

TEST(Presets, LeaveLengthShardsAndTheSetsOwnDetokenizerFree) {
  RunSpec spec = with_name("zero-shot");
  spec.scoring.length = 64;
  spec.scoring.num_proc = 8;
  spec.detokenizer = "lm1b";
  const RunSpec made = with_preset(spec);
  EXPECT_EQ(made.scoring.length, 64);
  EXPECT_EQ(made.scoring.num_proc, 8);
  EXPECT_EQ(made.detokenizer, "lm1b");
}

}  // namespace
}  // namespace dlm
