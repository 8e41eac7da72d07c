#include "models/transformer/decoder_model.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include <ATen/ops/isfinite.h>
#include <ATen/ops/zeros.h>

#include "harness/base/error.h"
#include "models/transformer/config_fields.h"
#include "models/transformer/inference_scope.h"
#include "models/transformer/scoring.h"

namespace dlm {
namespace {

// (B, L, width) f32, padding 0.
at::Tensor padded_output(const at::Tensor& ids, std::int64_t width, at::Device device) {
  return at::zeros({ids.size(0), ids.size(1), width}, at::TensorOptions(device).dtype(at::kFloat));
}

// Which packed rows a batch of windows scores and what each predicts, in the windows' order.
struct ScoredRows {
  std::vector<std::int64_t> rows, targets;
};

ScoredRows scored_rows(std::span<const ScoringWindow> windows, const PackedRows& packed) {
  ScoredRows scored;
  for (const PackedRow& row : packed.rows) {
    const ScoringWindow& window = windows[static_cast<std::size_t>(row.row)];
    const auto size = static_cast<std::int64_t>(window.ids.size());
    for (std::int64_t i = window.first_scored; i < size; ++i) {
      scored.rows.push_back(row.offset + i - 1);
      scored.targets.push_back(window.ids[static_cast<std::size_t>(i)]);
    }
  }
  return scored;
}

void check_finite_logits(const at::Tensor& logits, const PackedRows& rows,
                         const std::string& family) {
  const at::Tensor good = at::isfinite(logits).all(1).cpu();
  const bool* good_at = good.const_data_ptr<bool>();
  for (std::size_t i = 0; i < rows.rows.size(); ++i) {
    if (!good_at[i]) {
      throw InternalError(fmt::format(
          "{}: next_logits of row {} after {} positions hold a value that is not finite", family,
          rows.rows[i].row, rows.rows[i].start + rows.rows[i].length));
    }
  }
}

}  // namespace

ModelInfo decoder_info(const Decoder& decoder, const Json& config, std::string_view where) {
  ModelInfo info;
  info.hidden_size = decoder.shape.width;
  info.vocab_size = decoder.shape.vocab_size;
  info.max_length = decoder.shape.max_length;
  info.bos_id = token_id_field(config, "bos_token_id", where);
  info.eos_id = token_id_field(config, "eos_token_id", where);
  info.parameters = decoder.parameters;
  return info;
}

DecoderModel::DecoderModel(Decoder decoder, ModelInfo info)
    : decoder_(std::move(decoder)), info_(std::move(info)) {}

PassCounts DecoderModel::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

at::Tensor DecoderModel::run(const PackedRows& rows, TransformerCache* cache) const {
  {
    const std::lock_guard lock(mutex_);
    counts_.passes += 1;
    counts_.positions += rows.tokens;
    for (const PackedRow& row : rows.rows) counts_.cached_positions += row.start;
    counts_.flops +=
        decoder_flops(decoder_.shape, rows, decoder_.blocks.front().mlp.gate.has_value());
  }
  return decoder_hidden(decoder_, rows, cache);
}

void DecoderModel::count_head(std::int64_t rows) const {
  const std::lock_guard lock(mutex_);
  counts_.head_rows += rows;
  counts_.flops += head_flops(decoder_.shape, rows);
}

at::Tensor DecoderModel::head(const at::Tensor& hidden) const {
  count_head(hidden.size(0));
  return decoder_logits(decoder_, hidden);
}

std::vector<std::vector<double>> DecoderModel::token_nll(
    std::span<const ScoringWindow> windows) const {
  const InferenceScope scope;
  std::vector<std::vector<double>> result(windows.size());
  const WindowBatch batch = batch_windows(windows, info_);
  if (batch.scored == 0)
    return result;
  const PackedRows packed = pack_rows(batch.ids, batch.lengths, {}, info_.vocab_size);
  const ScoredRows scored = scored_rows(windows, packed);
  at::Tensor hidden = run(packed, nullptr);
  if (batch.scored < packed.tokens)
    hidden = hidden.index_select(0, index_tensor(scored.rows, hidden.device()));
  count_head(batch.scored);
  const std::vector<double> nll = row_nll(decoder_, hidden, scored.targets);
  auto next = nll.begin();
  for (const PackedRow& row : packed.rows) {
    const auto w = static_cast<std::size_t>(row.row);
    const auto count = static_cast<std::ptrdiff_t>(windows[w].ids.size()) -
                       static_cast<std::ptrdiff_t>(windows[w].first_scored);
    result[w].assign(next, next + count);
    next += count;
    const auto bad = std::find_if_not(result[w].begin(), result[w].end(),
                                      [](double value) { return std::isfinite(value); });
    if (bad != result[w].end()) {
      throw InternalError(fmt::format("{}: token_nll of window {}, position {} is {}", info_.family,
                                      w, windows[w].first_scored + (bad - result[w].begin()),
                                      *bad));
    }
  }
  return result;
}

PackedRows DecoderModel::pack_whole(const at::Tensor& ids,
                                    std::span<const std::int64_t> lengths) const {
  for (std::size_t b = 0; b < lengths.size(); ++b) {
    if (lengths[b] < 1 || lengths[b] > info_.max_length) {
      throw ConfigError(fmt::format("length of row {}", b), std::to_string(lengths[b]),
                        fmt::format("1 to {}, the model's length", info_.max_length));
    }
  }
  return pack_rows(ids, lengths, {}, info_.vocab_size);
}

at::Tensor DecoderModel::logits(const at::Tensor& ids,
                                std::span<const std::int64_t> lengths) const {
  const InferenceScope scope;
  const PackedRows packed = pack_whole(ids, lengths);
  const at::Tensor hidden = run(packed, nullptr);
  at::Tensor out = padded_output(ids, info_.vocab_size, decoder_.compute.device);
  for (const PackedRow& row : packed.rows) {
    out.select(0, row.row)
        .narrow(0, 0, row.length)
        .copy_(head(hidden.narrow(0, row.offset, row.length)));
  }
  return out;
}

at::Tensor DecoderModel::hidden_states(const at::Tensor& ids,
                                       std::span<const std::int64_t> lengths) const {
  const InferenceScope scope;
  const PackedRows packed = pack_whole(ids, lengths);
  const at::Tensor hidden = normalise(decoder_.final_norm, run(packed, nullptr));
  at::Tensor out = padded_output(ids, decoder_.shape.width, decoder_.compute.device);
  for (const PackedRow& row : packed.rows) {
    out.select(0, row.row).narrow(0, 0, row.length).copy_(hidden.narrow(0, row.offset, row.length));
  }
  return out;
}

std::unique_ptr<KvCache> DecoderModel::new_cache(std::int64_t batch, std::int64_t capacity) const {
  const InferenceScope scope;
  if (batch < 1)
    throw ConfigError("batch of a KV cache", std::to_string(batch), "at least 1");
  if (capacity < 1 || capacity > info_.max_length) {
    throw ConfigError("capacity of a KV cache", std::to_string(capacity),
                      fmt::format("1 to {}, the model's length", info_.max_length));
  }
  const DecoderShape& shape = decoder_.shape;
  return std::make_unique<TransformerCache>(
      CacheShape{shape.layers, batch, shape.kv_heads, capacity, shape.head_dim},
      at::TensorOptions(decoder_.compute.device).dtype(decoder_.compute.dtype));
}

at::Tensor DecoderModel::next_logits(const at::Tensor& ids, std::span<const std::int64_t> lengths,
                                     KvCache& cache) const {
  const InferenceScope scope;
  auto* own = dynamic_cast<TransformerCache*>(&cache);
  DLM_CHECK(own != nullptr && own->batch() == ids.size(0),
            "the cache was not made by this model for {} rows", ids.size(0));
  const PackedRows packed = pack_rows(ids, lengths, own->lengths(), info_.vocab_size);
  own->check_room(packed);
  at::Tensor out = at::zeros({ids.size(0), info_.vocab_size},
                             at::TensorOptions(decoder_.compute.device).dtype(at::kFloat));
  if (packed.tokens == 0)
    return out;
  at::Tensor hidden = run(packed, own);
  const std::vector<std::int64_t> last = last_tokens(packed);
  if (static_cast<std::int64_t>(last.size()) < packed.tokens)
    hidden = hidden.index_select(0, index_tensor(last, hidden.device()));
  const at::Tensor computed = head(hidden);
  check_finite_logits(computed, packed, info_.family);
  if (computed.size(0) == packed.batch)
    return computed;
  for (std::size_t i = 0; i < packed.rows.size(); ++i)
    out.select(0, packed.rows[i].row).copy_(computed.select(0, static_cast<std::int64_t>(i)));
  return out;
}

}  // namespace dlm
