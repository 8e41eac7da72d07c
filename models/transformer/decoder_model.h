// A decoder as an AutoregressiveModel: batches in, numbers out, every pass counted.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <vector>

#include "harness/base/json.h"
#include "models/language_model.h"
#include "models/transformer/decoder.h"

namespace dlm {

// What a loaded decoder and its config.json (named by `where`) say about the model; family and
// dtype are left to the caller. Throws DataError for token ids that are no integers.
ModelInfo decoder_info(const Decoder& decoder, const Json& config, std::string_view where);

// Rows of a batch never wait for each other: a pass computes the real tokens only, so padding
// costs nothing and is not counted. May be shared between threads.
class DecoderModel final : public AutoregressiveModel {
 public:
  DecoderModel(Decoder decoder, ModelInfo info);

  const ModelInfo& info() const override { return info_; }

  std::vector<std::vector<double>> token_nll(std::span<const ScoringWindow> windows) const override;

  PassCounts counts() const override;

  const Decoder& decoder() const { return decoder_; }

  at::Tensor logits(const at::Tensor& ids, std::span<const std::int64_t> lengths) const override;

  at::Tensor hidden_states(const at::Tensor& ids,
                           std::span<const std::int64_t> lengths) const override;

  std::unique_ptr<KvCache> new_cache(std::int64_t batch, std::int64_t capacity) const override;

  // Rows with no new ids are not computed; their logits are 0.
  at::Tensor next_logits(const at::Tensor& ids, std::span<const std::int64_t> lengths,
                         KvCache& cache) const override;

 private:
  PackedRows pack_whole(const at::Tensor& ids, std::span<const std::int64_t> lengths) const;
  at::Tensor run(const PackedRows& rows, TransformerCache* cache) const;
  at::Tensor head(const at::Tensor& hidden) const;
  void count_head(std::int64_t rows) const;

  Decoder decoder_;
  ModelInfo info_;
  mutable std::mutex mutex_;
  mutable PassCounts counts_;
};

}  // namespace dlm
