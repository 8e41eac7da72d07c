// The interfaces every model implements, torch-free: a tensor is only forward-declared.
//
// Shape legend: B batch, L positions, V vocabulary, D hidden width. Token ids are int64.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "harness/base/record.h"

namespace at {
class Tensor;
}

namespace dlm {

struct ModelInfo {
  std::string family;           // "gpt2", "llama", "qwen2", "tabular", "markov"
  std::int64_t hidden_size = 0;  // D; 0 where the model has no hidden states
  std::int64_t vocab_size = 0;  // V
  std::int64_t max_length = 0;  // positions one pass may hold; 0 = no limit
  std::int64_t bos_id = -1;     // -1 = none
  std::int64_t eos_id = -1;
  std::int64_t parameters = 0;
  std::string dtype;                // the dtype it computes in: "f32", "bf16", "f16", "f64"
  bool scores_first_token = false;  // the model defines p(x_1) without any context (exact worlds)
  bool is_bound = false;  // token_nll is an upper bound in expectation, not the exact value
};

class LanguageModel {
 public:
  virtual ~LanguageModel() = default;

  virtual const ModelInfo& info() const = 0;

  // Scores a batch of windows in one pass. result[w][i - first_scored] = -log p(ids[i] | ids[0..i))
  // in nats (f64). Throws ConfigError for an id outside [0, V), an empty window or one longer than
  // max_length; InternalError for a value that is NaN or infinite, naming the window and position.
  virtual std::vector<std::vector<double>> token_nll(
      std::span<const ScoringWindow> windows) const = 0;

  // Everything counted since the model was made (DESIGN, Counting). Thread-compatible, like the
  // rest.
  virtual PassCounts counts() const = 0;
};

// Keys and values of the positions seen so far, one row per sequence, owned by whoever runs the
// loop over steps.
class KvCache {
 public:
  virtual ~KvCache() = default;
  virtual std::int64_t batch() const = 0;
  virtual std::int64_t length(std::int64_t row) const = 0;  // positions held by a row
  virtual std::int64_t capacity() const = 0;
};

class AutoregressiveModel : public LanguageModel {
 public:
  // Logits over all positions: ids (B, L) int64 right-padded, lengths[b] in [1, L] -> (B, L, V)
  // f32; padding rows are 0.
  virtual at::Tensor logits(const at::Tensor& ids, std::span<const std::int64_t> lengths) const = 0;

  // Last hidden states, after the final norm: (B, L, D) f32. Throws ConfigError where the model has
  // none.
  virtual at::Tensor hidden_states(const at::Tensor& ids,
                                   std::span<const std::int64_t> lengths) const = 0;

  // An empty cache for `batch` rows of at most `capacity` positions each.
  virtual std::unique_ptr<KvCache> new_cache(std::int64_t batch, std::int64_t capacity) const = 0;

  // Appends lengths[b] ids to row b of the cache (lengths[b] may be 0: the row is left alone and
  // its result undefined) and returns the logits (B, V) f32 that predict the token after row b's
  // last one. With an empty cache and a model that scores its first token, lengths of 0 ask for
  // p(x_1). Throws ConfigError past the cache's capacity.
  virtual at::Tensor next_logits(const at::Tensor& ids, std::span<const std::int64_t> lengths,
                                 KvCache& cache) const = 0;
};

}  // namespace dlm
