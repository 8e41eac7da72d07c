// What MAUVE compares generated text with, and what it sees of either.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "harness/base/json.h"
#include "harness/base/spec.h"
#include "harness/model_loading.h"

namespace dlm {

// A text, or token ids where there is no tokenizer.
struct PlainText {
  std::string text;
  std::vector<std::int64_t> ids;
};

struct ReferenceTexts {
  std::string name;
  std::string sha256;
  bool is_ids = false;
  std::vector<PlainText> texts;
};

// `reference`: draws:WORLD, a JSON lines or .txt file (as `score mauve` reads it), or a task of
// text. Throws ConfigError, DataError.
ReferenceTexts read_reference(const std::string& reference, std::uint64_t seed);

// Texts to vectors: by a model's hidden states, or by their ids alone.
class Featurizer {
 public:
  // `name`: a model folder, "ids:positions" or "ids:pairs", which take ids of a vocabulary of
  // `vocab_size`. Throws ConfigError for a model without hidden states, and as ModelCache.
  Featurizer(const std::string& name, const RunSpec& spec, ModelCache& models,
             std::int64_t vocab_size);

  // Whether it takes ids and not text.
  bool takes_ids() const { return model_ == nullptr; }

  // (N, D) of the texts that are not empty, each cut to `most` tokens. Throws ConfigError where
  // nothing is left.
  at::Tensor features(const std::vector<PlainText>& texts, std::int64_t most) const;

  Json identity() const;

 private:
  std::string name_;
  const LoadedModel* model_ = nullptr;
  std::int64_t vocab_size_;
  std::int64_t batch_size_;
};

}  // namespace dlm
