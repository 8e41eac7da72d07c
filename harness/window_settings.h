// From settings and a model to how its windows are made: which ids BOS and EOS are, how long a
// window is, whether its first token is scored.
#pragma once

#include <cstdint>
#include <optional>

#include "harness/base/spec.h"
#include "models/language_model.h"
#include "models/tokenizer/tokenizer.h"
#include "tasks/windows.h"

namespace dlm {

// What the preparation of text needs to know of a model.
struct WindowModel {
  const ModelInfo& info;
  const Tokenizer* tokenizer = nullptr;  // null for exact worlds
  bool fills_blocks = false;             // scored by diffusion: a shorter last chunk is no sequence
  bool scores_first_token = false;       // of a window, BOS apart
  bool scores_bos = false;               // and also where it is a BOS
};

// `settings` are those with the preset's in place (with_preset). `longest` is the number of tokens
// of the longest document, for models without a longest window.
//
// Throws ConfigError, naming the setting: a length above the model's, BOS or EOS asked for where
// tokenizer and model have none, a setting of packed text with another packing, chunk ends beside a
// BOS of the text.
WindowOptions window_settings(const ScoringSpec& settings, const WindowModel& model,
                              std::int64_t longest);

}  // namespace dlm
