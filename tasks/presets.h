// How the data of published tables was prepared, by name: what the published scripts do, which is
// not always what their paper says.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/base/spec.h"

namespace dlm {

// One published preparation. All pack text and drop remainders; what they set besides is in
// preset_settings. Source: kuleshov-group/bd3lms@1c3e8f4 dataloader.py, configs and scripts.
struct PreparationPreset {
  std::string name;
  std::string used_for;     // models and tables of arXiv:2503.09573
  std::string eos;          // after each document: add, none
  std::string chunk_ends;   // add (BOS, length - 2 tokens, EOS), none
  std::string first_token;  // clean, scored; an autoregressive network conditions on it anyway
  std::int64_t length = 0;  // L, ids of a chunk
  std::string detokenizer;  // "auto": the data set's own
  std::string tokenizer;    // of the published models; any other with BOS and EOS will do
};

std::span<const PreparationPreset> preparation_presets();

// Throws ConfigError with the nearest known name.
const PreparationPreset& find_preset(std::string_view name);

// Key and value of every setting that the preset makes, in the order of the field table.
std::vector<std::pair<std::string, std::string>> preset_settings(const PreparationPreset& preset);

// The settings with the preset's in place of those left at their defaults; unchanged for preset
// "none". A setting that was given and is not the preset's is refused, except scoring.length: a
// preset holds at any length, and the numbers are then not the published ones. scoring.num_proc is
// no part of a preset. Throws ConfigError.
RunSpec with_preset(RunSpec spec);

}  // namespace dlm
