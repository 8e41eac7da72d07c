#include "tasks/presets.h"

#include <fmt/format.h>

#include "harness/base/error.h"

namespace dlm {
namespace {

// datasets.map(batched=True) hands this many documents over at a time, and each batch loses its
// remainder.
constexpr std::int64_t kMapBatch = 1000;

std::vector<PreparationPreset> make_table() {
  return {
      {"bd3lm-owt", "BD3-LM on OpenWebText (Table 4)", "add", "none", "clean", 1024, "none",
       "gpt2"},
      {"sahoo-owt", "AR, SEDD and MDLM of Sahoo et al. on OpenWebText (Table 4)", "add", "add",
       "scored", 1024, "none", "gpt2"},
      {"lm1b", "every model on LM1B (Tables 1, 2, 3, 8)", "add", "add", "clean", 128, "lm1b",
       "bert-base-uncased"},
      {"zero-shot", "every model on PTB, WikiText, LM1B, LAMBADA, AG News, papers (Table 5)",
       "none", "add", "clean", 1024, "auto", "gpt2"},
      {"noeos", "AR, SEDD and MDLM retrained to be sampled from (Tables 6, 7)", "add", "none",
       "clean", 1024, "none", "gpt2"},
  };
}

}  // namespace

std::span<const PreparationPreset> preparation_presets() {
  static const std::vector<PreparationPreset> kTable = make_table();
  return kTable;
}

const PreparationPreset& find_preset(std::string_view name) {
  std::vector<std::string> known{"none"};
  for (const PreparationPreset& preset : preparation_presets()) {
    if (preset.name == name)
      return preset;
    known.push_back(preset.name);
  }
  throw unknown_name("scoring.preset", name, known);
}

std::vector<std::pair<std::string, std::string>> preset_settings(const PreparationPreset& preset) {
  return {{"detokenizer", preset.detokenizer},
          {"scoring.packing", "packed"},
          {"scoring.length", fmt::format("{}", preset.length)},
          {"scoring.stride", "0"},
          {"scoring.bos", "none"},
          {"estimator.first_token", preset.first_token},
          {"scoring.eos", preset.eos},
          {"scoring.chunk_ends", preset.chunk_ends},
          {"scoring.remainder", "drop"},
          {"scoring.documents_per_group", fmt::format("{}", kMapBatch)},
          {"scoring.special_ids", "encoded"}};
}

RunSpec with_preset(RunSpec spec) {
  if (spec.scoring.preset == "none")
    return spec;
  const PreparationPreset& preset = find_preset(spec.scoring.preset);
  const auto& table = run_fields(SpecPart::kScore);
  const RunSpec defaults;
  for (const auto& [key, value] : preset_settings(preset)) {
    const auto& field = table.at(key);
    const std::string given = field_text(field.get(spec));
    const bool is_default = field.get(spec) == field.get(defaults);
    if (is_default)
      table.set_text(spec, field, value);
    else if (given != value && value != "auto" && key != "scoring.length")
      throw ConfigError(key, given,
                        fmt::format("preset {} has {}; leave one of them out", preset.name, value));
  }
  return spec;
}

}  // namespace dlm
