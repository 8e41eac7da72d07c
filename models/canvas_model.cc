#include "models/canvas_model.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include <ATen/ops/embedding.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include "harness/base/error.h"
#include "models/transformer/config_fields.h"
#include "models/transformer/inference_scope.h"

namespace dlm {
namespace {

constexpr std::int64_t kPassPositions = 1024;
constexpr std::int64_t kPassLogits = std::int64_t{1} << 26;

class CanvasContext final : public CleanContext {
 public:
  CanvasContext(std::span<const std::vector<std::int64_t>> texts, std::int64_t block_size)
      : sequences(texts.begin(), texts.end()), block_size_(block_size) {}

  std::int64_t block_size() const override { return block_size_; }

  std::vector<std::vector<std::int64_t>> sequences;

 private:
  std::int64_t block_size_;
};

void check_query(const MaskQuery& query, const CanvasContext& context) {
  const std::int64_t n = std::ssize(context.sequences);
  if (query.sequence < 0 || query.sequence >= n)
    throw ConfigError("query sequence", std::to_string(query.sequence),
                      fmt::format("in [0, {})", n));
  const std::int64_t length =
      std::ssize(context.sequences[static_cast<std::size_t>(query.sequence)]);
  const std::int64_t blocks = length / context.block_size();
  if (query.block < 0 || query.block >= blocks)
    throw ConfigError("query block", std::to_string(query.block),
                      fmt::format("in [0, {})", blocks));
  std::int64_t lowest = 0;
  for (const std::int64_t position : query.masked) {
    if (position < lowest || position >= context.block_size())
      throw ConfigError("query mask", std::to_string(position),
                        fmt::format("ascending positions in [0, {})", context.block_size()));
    lowest = position + 1;
  }
  if (query.masked.empty())
    throw ConfigError("query mask", "", "at least one position");
}

// The text as the network sees it, and the hidden tokens that it is to predict.
MaskedText masked_text(const MaskQuery& query, const CanvasContext& context, std::int64_t mask_id) {
  MaskedText text;
  text.ids = context.sequences[static_cast<std::size_t>(query.sequence)];
  const std::int64_t begin = query.block * context.block_size();
  for (const std::int64_t position : query.masked) {
    text.wanted.push_back(begin + position);
    text.targets.push_back(text.ids[static_cast<std::size_t>(begin + position)]);
  }
  for (const std::int64_t position : text.wanted)
    text.ids[static_cast<std::size_t>(position)] = mask_id;
  std::fill(text.ids.begin() + begin + context.block_size(), text.ids.end(), mask_id);
  return text;
}

}  // namespace

MaskLogit mask_logit_of(const ModelOptions& options) {
  const std::string& name = options.parameterization;
  if (name == "auto" || name == "subs")
    return MaskLogit::kBanned;
  if (name == "raw")
    return MaskLogit::kCounted;
  throw ConfigError("parameterization", name, "auto, subs or raw for this model");
}

std::int64_t mask_id_field(const Json& config, std::int64_t vocab_size, const std::string& where) {
  const std::int64_t id = json_int(config, "mask_token_id", where);
  if (id < 0 || id >= vocab_size)
    throw DataError(where, -1, fmt::format("'mask_token_id' in [0, {})", vocab_size),
                    std::to_string(id));
  return id;
}

CanvasModel::CanvasModel(Decoder decoder, ModelInfo info, CanvasTraits traits)
    : decoder_(std::move(decoder)), info_(std::move(info)), traits_(traits) {}

PassCounts CanvasModel::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

std::unique_ptr<TransformerCache> CanvasModel::transformer_cache(std::int64_t rows,
                                                                 std::int64_t capacity) const {
  const InferenceScope scope;
  const DecoderShape& shape = decoder_.shape;
  return std::make_unique<TransformerCache>(
      CacheShape{shape.layers, rows, shape.kv_heads, capacity, shape.head_dim},
      at::TensorOptions(decoder_.compute.device).dtype(decoder_.compute.dtype));
}

PackedRows CanvasModel::pack(std::span<const CanvasRow> rows, std::int64_t batch) const {
  std::int64_t width = 0;
  for (const CanvasRow& row : rows) width = std::max(width, std::ssize(row.ids));
  at::Tensor ids = at::zeros({batch, width}, at::kLong);
  const auto count = static_cast<std::size_t>(batch);
  std::vector<std::int64_t> lengths(count, 0);
  std::vector<std::int64_t> starts(count, 0);
  std::vector<std::int64_t> behind(count, 0);
  for (const CanvasRow& row : rows) {
    const auto r = static_cast<std::size_t>(row.row);
    std::copy(row.ids.begin(), row.ids.end(),
              ids.mutable_data_ptr<std::int64_t>() + row.row * width);
    lengths[r] = std::ssize(row.ids);
    starts[r] = row.start;
    behind[r] = row.behind;
  }
  PackedRows packed = pack_rows(ids, lengths, starts, info_.vocab_size);
  see_both_ways(packed, behind);
  return packed;
}

at::Tensor CanvasModel::hidden_of(std::span<const CanvasRow> rows, TransformerCache* cache) const {
  const InferenceScope scope;
  const std::int64_t batch = cache != nullptr ? cache->batch() : rows.back().row + 1;
  const PackedRows packed = pack(rows, batch);
  if (cache != nullptr)
    cache->check_room(packed);
  {
    const std::lock_guard lock(mutex_);
    counts_.passes += 1;
    counts_.positions += packed.tokens;
    for (const PackedRow& row : packed.rows) counts_.cached_positions += row.start + row.behind;
    counts_.flops += decoder_flops(decoder_.shape, packed, true);
  }
  const at::Tensor hidden = decoder_hidden(decoder_, packed, cache);
  const std::int64_t shift = traits_.shift == LogitShift::kPrevious ? 1 : 0;
  std::vector<std::int64_t> sources;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (const std::int64_t position : rows[i].wanted) {
      const std::int64_t place = std::max<std::int64_t>(0, position - shift - rows[i].start);
      sources.push_back(packed.rows[i].offset + place);
    }
  }
  return hidden.index_select(0, index_tensor(sources, hidden.device()));
}

at::Tensor CanvasModel::logits_of(const at::Tensor& hidden) const {
  const InferenceScope scope;
  return head_logits_of(normalise(decoder_.final_norm, hidden));
}

at::Tensor CanvasModel::embedded(const at::Tensor& ids) const {
  const InferenceScope scope;
  return at::embedding(decoder_.token_embedding, ids.to(decoder_.compute.device));
}

void CanvasModel::count_flops(double flops) const {
  const std::lock_guard lock(mutex_);
  counts_.flops += flops;
}

at::Tensor CanvasModel::head_logits_of(const at::Tensor& states) const {
  const InferenceScope scope;
  {
    const std::lock_guard lock(mutex_);
    counts_.head_rows += states.size(0);
    counts_.flops += head_flops(decoder_.shape, states.size(0));
  }
  at::Tensor logits = linear(decoder_.head, states).to(at::kFloat);
  if (traits_.mask_logit == MaskLogit::kBanned)
    logits.select(1, traits_.mask_id).fill_(-std::numeric_limits<double>::infinity());
  return logits;
}

std::unique_ptr<CleanContext> CanvasModel::encode(
    std::span<const std::vector<std::int64_t>> sequences, std::int64_t block_size) const {
  if (block_size < 1)
    throw ConfigError("block_size", std::to_string(block_size), "an integer >= 1");
  for (const auto& ids : sequences) {
    const std::int64_t length = std::ssize(ids);
    if (length < 1 || length > info_.max_length || length != std::ssize(sequences.front()))
      throw ConfigError("length", std::to_string(length),
                        fmt::format("1 to max_length = {}, one for all", info_.max_length));
    if (length % block_size != 0)
      throw ConfigError("block_size", std::to_string(block_size),
                        fmt::format("a divisor of the length {}", length));
    for (const std::int64_t id : ids) {
      if (id < 0 || id >= info_.vocab_size || id == traits_.mask_id)
        throw ConfigError(
            "token", std::to_string(id),
            fmt::format("ids in [0, {}) but the mask, {}", info_.vocab_size, traits_.mask_id));
    }
  }
  return std::make_unique<CanvasContext>(sequences, block_size);
}

at::Tensor CanvasModel::guided_logits(std::span<const MaskedText> texts, double guidance) const {
  std::vector<CanvasRow> rows;
  for (const MaskedText& text : texts) {
    CanvasRow row;
    row.row = std::ssize(rows);
    row.ids = text.ids;
    row.wanted = text.wanted;
    rows.push_back(std::move(row));
  }
  if (guidance == 1)
    return logits_of(hidden_of(rows, nullptr));
  for (const MaskedText& text : texts) {
    CanvasRow without = rows[rows.size() - texts.size()];
    without.row = std::ssize(rows);
    for (std::size_t p = 0; p < std::min(text.prompt.size(), without.ids.size()); ++p) {
      if (text.prompt[p] != traits_.mask_id)
        without.ids[p] = traits_.mask_id;
    }
    rows.push_back(std::move(without));
  }
  const InferenceScope scope;
  const at::Tensor both = logits_of(hidden_of(rows, nullptr));
  const std::int64_t half = both.size(0) / 2;
  const at::Tensor with = both.narrow(0, 0, half);
  const at::Tensor without = both.narrow(0, half, half);
  at::Tensor logits = with.sub(without).mul(guidance).add(without);
  if (traits_.mask_logit == MaskLogit::kBanned)  // -inf - -inf
    logits.select(1, traits_.mask_id).copy_(with.select(1, traits_.mask_id));
  return logits;
}

std::vector<double> CanvasModel::terms(std::span<const MaskedText> texts, double guidance) const {
  const InferenceScope scope;
  std::vector<std::int64_t> targets;
  for (const MaskedText& text : texts)
    targets.insert(targets.end(), text.targets.begin(), text.targets.end());
  const at::Tensor logits = guided_logits(texts, guidance);
  const at::Tensor wanted = index_tensor(targets, logits.device()).unsqueeze(1);
  const at::Tensor own = logits.gather(1, wanted).squeeze(1).to(at::kDouble);
  const at::Tensor top = logits.amax(1, true);
  const at::Tensor sum = logits.sub(top).exp_().sum(1).to(at::kDouble);
  const at::Tensor term = sum.log().add(top.squeeze(1).to(at::kDouble)).sub(own).cpu().contiguous();
  const double* values = term.const_data_ptr<double>();
  return {values, values + term.numel()};
}

std::vector<std::vector<double>> CanvasModel::token_terms(
    const CleanContext& context, std::span<const MaskQuery> queries) const {
  const auto* clean = dynamic_cast<const CanvasContext*>(&context);
  DLM_CHECK(clean != nullptr, "{}: a context that another model encoded", info_.family);
  for (const MaskQuery& query : queries) check_query(query, *clean);
  std::vector<std::vector<double>> result(queries.size());
  for (std::size_t begin = 0; begin < queries.size();) {
    std::vector<MaskedText> texts;
    std::int64_t positions = 0;
    std::int64_t logits = 0;
    std::size_t end = begin;
    while (end < queries.size() &&
           (texts.empty() || (positions < kPassPositions && logits < kPassLogits))) {
      texts.push_back(masked_text(queries[end++], *clean, traits_.mask_id));
      positions += std::ssize(texts.back().ids);
      logits += std::ssize(texts.back().wanted) * info_.vocab_size;
    }
    const std::vector<double> values = terms(texts, 1);
    auto next = values.begin();
    for (std::size_t q = begin; q < end; ++q) {
      const auto count = std::ssize(queries[q].masked);
      result[q].assign(next, next + count);
      next += count;
      check_terms(queries[q], result[q]);
    }
    begin = end;
  }
  return result;
}

void CanvasModel::check_terms(const MaskQuery& query, std::span<const double> terms) const {
  for (std::size_t j = 0; j < terms.size(); ++j) {
    if (!std::isfinite(terms[j]))
      throw InternalError(fmt::format("{}: sequence {}, block {}, position {}: a term is {}",
                                      info_.family, query.sequence, query.block, query.masked[j],
                                      terms[j]));
  }
}

CanvasForward CanvasModel::forward(const at::Tensor& ids,
                                   std::span<const std::int64_t> first) const {
  const InferenceScope scope;
  const std::int64_t length = ids.size(1);
  const auto empty = [&](std::int64_t width) { return at::zeros({ids.size(0), length, width}); };
  CanvasForward out{empty(info_.vocab_size), empty(info_.hidden_size)};
  const at::Tensor host = ids.cpu().contiguous();
  for (std::int64_t b = 0; b < ids.size(0); ++b) {
    const std::int64_t begin = first[static_cast<std::size_t>(b)];
    if (begin < 0 || begin >= length || length - begin > info_.max_length)
      throw ConfigError(fmt::format("length of row {}", b), std::to_string(length - begin),
                        fmt::format("1 to max_length = {}", info_.max_length));
    const std::int64_t* row = host.const_data_ptr<std::int64_t>() + b * length;
    CanvasRow canvas;
    canvas.ids.assign(row + begin, row + length);
    const PackedRows packed = pack({&canvas, 1}, 1);
    const at::Tensor hidden = decoder_hidden(decoder_, packed, nullptr);
    out.logits.select(0, b)
        .narrow(0, begin, length - begin)
        .copy_(decoder_logits(decoder_, hidden));
    out.last_hidden.select(0, b)
        .narrow(0, begin, length - begin)
        .copy_(normalise(decoder_.final_norm, hidden));
  }
  return out;
}

}  // namespace dlm
