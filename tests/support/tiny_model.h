// A small GPT-2 folder with random weights and a byte-level tokenizer without merges, for
// end-to-end tests.
#pragma once

#include <cstdint>
#include <string>

namespace dlm::testing {

struct TinyModel {
  std::int64_t layers = 2;
  std::int64_t width = 32;
  std::int64_t heads = 2;
  std::int64_t positions = 64;
  bool nan_weight = false;  // one weight is NaN
};

// Writes config.json, model.safetensors, vocab.json, merges.txt into `folder`, which is made. 257
// tokens: 256 bytes and
// <|endoftext|>.
void write_tiny_model(const std::string& folder, const TinyModel& model = {});

}  // namespace dlm::testing
