#include "models/dit.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <tuple>
#include <utility>

#include <ATen/ops/empty.h>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "models/diffusion_transformer/clean_stream.h"
#include "models/diffusion_transformer/dit_head.h"
#include "models/diffusion_transformer/noisy_stream.h"
#include "models/transformer/decoder_model.h"
#include "models/transformer/inference_scope.h"

namespace dlm {
namespace {

constexpr std::int64_t kRowsPerPass = 4096;

struct DitContext final : CleanContext {
  std::int64_t block_size() const override { return size; }

  std::int64_t size = 1;
  std::vector<std::vector<std::int64_t>> sequences;
  CleanKeys keys;  // empty where they depend on t

  std::int64_t length() const { return std::ssize(sequences.front()); }
};

// The first `length` ids of sequences [first, first + count).
at::Tensor clean_ids(const DitContext& context, std::int64_t first, std::int64_t count) {
  const std::int64_t length = context.length() - context.size;
  at::Tensor ids = at::empty({count, length}, at::kLong);
  auto* out = ids.mutable_data_ptr<std::int64_t>();
  for (std::int64_t s = first; s < first + count; ++s)
    out = std::copy_n(context.sequences[static_cast<std::size_t>(s)].begin(), length, out);
  return ids;
}

void check_sequence(const std::vector<std::int64_t>& ids, std::size_t index,
                    const DitConfig& config) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::string name = fmt::format("token id of sequence {} at position {}", index, i);
    if (ids[i] < 0 || ids[i] >= config.shape.vocab_size)
      throw ConfigError(name, std::to_string(ids[i]),
                        fmt::format("0 to {}", config.shape.vocab_size - 1));
    if (ids[i] == config.mask_id)
      throw ConfigError(name, std::to_string(ids[i]), "tokens other than the mask");
  }
}

void check_query(const MaskQuery& query, std::size_t index, const DitContext& context) {
  const auto check = [&](const char* field, std::int64_t value, std::int64_t bound) {
    if (value < 0 || value >= bound)
      throw ConfigError(fmt::format("query {}: {}", index, field), std::to_string(value),
                        fmt::format("0 to {}", bound - 1));
  };
  check("sequence", query.sequence, std::ssize(context.sequences));
  check("block", query.block, context.length() / context.size);
  if (query.masked.empty())
    throw ConfigError(fmt::format("query {}: masked", index), "no positions", "at least one");
  for (std::size_t i = 0; i < query.masked.size(); ++i) {
    check("masked", query.masked[i], context.size);
    if (i > 0 && query.masked[i] <= query.masked[i - 1])
      throw ConfigError(fmt::format("query {}: masked", index),
                        fmt::format("{} after {}", query.masked[i], query.masked[i - 1]),
                        "ascending positions");
  }
}

void check_level(const MaskQuery& query, std::size_t index) {
  if (!(query.t > 0 && query.t <= 1))
    throw ConfigError(fmt::format("query {}: t", index), fmt::format("{}", query.t),
                      "above 0, at most 1");
}

// Queries as one pass of the noisy stream, and the clean tokens that its wanted rows hide.
struct QueryBatch {
  NoisyBatch noisy;
  std::vector<std::int64_t> targets;
};

class QueryBatcher {
 public:
  QueryBatcher(const DitConfig& config, const DitContext& context)
      : config_(config), context_(context) {
    batch_.noisy.block_size = context.size;
  }

  void add(const MaskQuery& query, std::int64_t keys_of) {
    const auto& sequence = context_.sequences[static_cast<std::size_t>(query.sequence)];
    const auto begin = static_cast<std::size_t>(query.block * context_.size);
    const std::int64_t row = std::ssize(batch_.noisy.ids);
    batch_.noisy.blocks.push_back({keys_of, query.block});
    batch_.noisy.sigma.push_back(
        config_.time_conditioning ? noise_level(config_.noise, query.t).sigma : 0);
    for (std::size_t i = 0; i < static_cast<std::size_t>(context_.size); ++i)
      batch_.noisy.ids.push_back(sequence[begin + i]);
    for (const std::int64_t position : query.masked) {
      batch_.noisy.ids[static_cast<std::size_t>(row + position)] = config_.mask_id;
      batch_.noisy.wanted.push_back(row + position);
      batch_.targets.push_back(sequence[begin + static_cast<std::size_t>(position)]);
    }
  }

  const QueryBatch& batch() const { return batch_; }

 private:
  const DitConfig& config_;
  const DitContext& context_;
  QueryBatch batch_;
};

// Order of the noisy stream: sequences together (by noise level too where that enters the clean
// stream), then blocks falling.
std::vector<std::size_t> pass_order(std::span<const MaskQuery> queries, bool by_level) {
  std::vector<std::size_t> order(queries.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto key = [&](std::size_t i) {
    const MaskQuery& query = queries[i];
    return std::tuple(query.sequence, by_level ? query.t : 0.0, -query.block, i);
  };
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return key(a) < key(b); });
  return order;
}

}  // namespace

DitModel::DitModel(Dit dit, ModelInfo info, BlockSizes sizes)
    : dit_(std::move(dit)), info_(std::move(info)), sizes_(sizes) {
  DLM_CHECK(!dit_.config.causal, "a causal network is no denoiser");
}

DenoiserLoss DitModel::loss() const {
  return dit_.config.parameterization == DitParameterization::kSedd
             ? DenoiserLoss::kScoreEntropy
             : DenoiserLoss::kMaskedCrossEntropy;
}

PassCounts DitModel::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

void DitModel::count(const PassCounts& cost, std::int64_t head_rows) const {
  const std::lock_guard lock(mutex_);
  counts_ += cost;
  counts_.head_rows += head_rows;
  counts_.flops += head_flops(dit_.config.shape, head_rows);
}

bool DitModel::context_depends_on_t(std::int64_t clean_length) const {
  return clean_length > 0 && dit_.config.time_conditioning;
}

void DitModel::check_block_size(std::int64_t length, std::int64_t block_size) const {
  const std::int64_t trained = dit_.config.block_size;
  if (length < 1)
    throw ConfigError("sequence", "no tokens", "at least one");
  if (length > info_.max_length) {
    throw ConfigError("sequence length", std::to_string(length),
                      fmt::format("at most {}, the model's length", info_.max_length));
  }
  if (block_size < 1 || length % block_size != 0) {
    throw ConfigError("block_size", std::to_string(block_size),
                      fmt::format("a divisor of the sequence length, {}", length));
  }
  const bool whole = !dit_.config.cross_attention && block_size == length;
  if (sizes_ == BlockSizes::kTrained && block_size != trained && !whole) {
    throw ConfigError(
        "block_size", std::to_string(block_size),
        fmt::format("{}, as the model was trained; any_block_size allows others", trained));
  }
}

std::unique_ptr<CleanContext> DitModel::encode(std::span<const std::vector<std::int64_t>> sequences,
                                               std::int64_t block_size) const {
  const InferenceScope scope;
  if (sequences.empty())
    throw ConfigError("sequences", "none", "at least one");
  const std::int64_t length = std::ssize(sequences.front());
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    if (std::ssize(sequences[s]) != length) {
      throw ConfigError(fmt::format("length of sequence {}", s),
                        std::to_string(sequences[s].size()),
                        fmt::format("{}, that of the first", length));
    }
    check_sequence(sequences[s], s, dit_.config);
  }
  check_block_size(length, block_size);
  auto context = std::make_unique<DitContext>();
  context->size = block_size;
  context->sequences.assign(sequences.begin(), sequences.end());
  const std::int64_t clean_length = length - block_size;
  if (clean_length == 0 || context_depends_on_t(clean_length))
    return context;
  const auto total = std::ssize(sequences);
  context->keys = new_clean_keys(dit_, total, clean_length);
  const std::int64_t most = std::max<std::int64_t>(1, kRowsPerPass / clean_length);
  for (std::int64_t first = 0; first < total; first += most) {
    const CleanBatch batch = {
        clean_ids(*context, first, std::min(most, total - first)), first, block_size, {}};
    count(clean_pass(dit_, batch, context->keys), 0);
  }
  return context;
}

std::vector<std::vector<double>> DitModel::token_terms(const CleanContext& context,
                                                       std::span<const MaskQuery> queries) const {
  const InferenceScope scope;
  const auto* own = dynamic_cast<const DitContext*>(&context);
  DLM_CHECK(own != nullptr, "a context of another model");
  const bool sedd = loss() == DenoiserLoss::kScoreEntropy;
  for (std::size_t q = 0; q < queries.size(); ++q) {
    check_query(queries[q], q, *own);
    if (sedd || dit_.config.time_conditioning)
      check_level(queries[q], q);
  }
  const bool per_level = context_depends_on_t(own->length() - own->size);
  const std::vector<std::size_t> order = pass_order(queries, per_level);
  const std::int64_t most = std::max<std::int64_t>(1, kRowsPerPass / own->size);
  std::vector<std::vector<double>> result(queries.size());
  CleanKeys level_keys;
  const MaskQuery* level_of = nullptr;  // whose sequence and t level_keys are for
  const auto same_keys = [&](const MaskQuery& a, const MaskQuery& b) {
    return !per_level || (a.sequence == b.sequence && a.t == b.t);
  };
  for (std::size_t begin = 0; begin < order.size();) {
    const MaskQuery& first = queries[order[begin]];
    if (per_level && (level_of == nullptr || !same_keys(*level_of, first))) {
      level_keys = new_clean_keys(dit_, 1, own->length() - own->size);
      count(clean_pass(dit_,
                       {clean_ids(*own, first.sequence, 1),
                        0,
                        own->size,
                        {noise_level(dit_.config.noise, first.t).sigma}},
                       level_keys),
            0);
      level_of = &first;
    }
    QueryBatcher batcher(dit_.config, *own);
    std::size_t end = begin;
    while (end < order.size() && end - begin < static_cast<std::size_t>(most) &&
           same_keys(first, queries[order[end]])) {
      const MaskQuery& query = queries[order[end]];
      batcher.add(query, per_level ? 0 : query.sequence);
      ++end;
    }
    const QueryBatch& batch = batcher.batch();
    const NoisyResult pass = noisy_pass(dit_, batch.noisy, per_level ? level_keys : own->keys);
    const std::vector<RowLogits> rows = row_logits(dit_, pass.rows, batch.targets);
    count(pass.cost, std::ssize(rows));
    auto next = rows.begin();
    for (std::size_t i = begin; i < end; ++i) {
      const MaskQuery& query = queries[order[i]];
      const NoiseLevel level = sedd ? noise_level(dit_.config.noise, query.t) : NoiseLevel{};
      for (const std::int64_t position : query.masked) {
        const double term = sedd ? sedd_term(dit_.config, *next, level) : subs_term(*next);
        if (!std::isfinite(term)) {
          throw InternalError(fmt::format("{}: the term of sequence {}, position {} is {}",
                                          info_.family, query.sequence,
                                          query.block * own->size + position, term));
        }
        result[order[i]].push_back(term);
        ++next;
      }
    }
    begin = end;
  }
  return result;
}

at::Tensor DitModel::logits(const DitForward& forward) const {
  const InferenceScope scope;
  const at::Tensor& x_0 = forward.x_0.defined() ? forward.x_0 : forward.x_t;
  const std::int64_t batch = forward.x_t.size(0);
  const std::int64_t length = forward.x_t.size(1);
  const std::int64_t size = forward.block_size;
  if (x_0.sizes() != forward.x_t.sizes())
    throw ConfigError("x_0", fmt::format("{} x {}", x_0.size(0), x_0.size(1)),
                      fmt::format("the shape of x_t, {} x {}", batch, length));
  for (const at::Tensor* ids : {&forward.x_t, &x_0}) {
    if (ids->min().item().toLong() < 0 || ids->max().item().toLong() >= info_.vocab_size)
      throw ConfigError("x_t or x_0", "an id outside the vocabulary",
                        fmt::format("0 to {}", info_.vocab_size - 1));
  }
  check_block_size(length, size);
  const std::vector<double> zeros(static_cast<std::size_t>(batch), 0.0);
  const std::vector<double>& sigma = forward.sigma.empty() ? zeros : forward.sigma;
  DLM_CHECK(std::ssize(sigma) == batch, "{} sigmas for {} sequences", sigma.size(), batch);
  CleanKeys keys = new_clean_keys(dit_, batch, length - size);
  if (length > size)
    count(clean_pass(dit_, {x_0.narrow(1, 0, length - size), 0, size, sigma}, keys), 0);
  const at::Tensor host = forward.x_t.cpu().contiguous();
  const auto* ids = host.const_data_ptr<std::int64_t>();
  at::Tensor out = at::empty({batch, length, info_.vocab_size},
                             at::TensorOptions(dit_.decoder.compute.device).dtype(at::kFloat));
  for (std::int64_t b = 0; b < batch; ++b) {
    NoisyBatch noisy;
    noisy.block_size = size;
    for (std::int64_t block = length / size - 1; block >= 0; --block) {
      noisy.blocks.push_back({b, block});
      noisy.sigma.push_back(sigma[static_cast<std::size_t>(b)]);
      const auto* from = ids + b * length + block * size;
      noisy.ids.insert(noisy.ids.end(), from, from + size);
    }
    // Row of each position: blocks run backwards.
    for (std::int64_t i = 0; i < length; ++i)
      noisy.wanted.push_back((length / size - 1 - i / size) * size + i % size);
    const NoisyResult pass = noisy_pass(dit_, noisy, keys);
    count(pass.cost, length);
    out.select(0, b).copy_(head_logits(dit_, pass.rows));
  }
  return out;
}

namespace {

ModelInfo dit_info(const Dit& dit, const Json& config, const std::string& where,
                   const ModelOptions& options) {
  ModelInfo info = decoder_info(dit.decoder, config, where);
  info.family = dit_model_type(config, where);
  info.hidden_size = dit.config.shape.width;
  info.dtype = options.dtype;
  return info;
}

}  // namespace

std::unique_ptr<DitModel> load_dit(const Checkpoint& checkpoint, const ModelOptions& options) {
  const InferenceScope scope;
  const std::string where = checkpoint.folder + "/config.json";
  const Json json = parse_json(checkpoint.config_json, where);
  const DitConfig config = parse_dit_config(json, options, where);
  if (config.causal)
    throw ConfigError(where + ": causal", "true", "false; this is an autoregressive model");
  Dit dit = load_dit_network(checkpoint, config, resolve_compute(options));
  ModelInfo info = dit_info(dit, json, where, options);
  info.is_bound = true;
  return std::make_unique<DitModel>(
      std::move(dit), std::move(info),
      options.any_block_size ? BlockSizes::kAny : BlockSizes::kTrained);
}

std::unique_ptr<AutoregressiveModel> load_dit_autoregressive(const Checkpoint& checkpoint,
                                                             const ModelOptions& options) {
  const InferenceScope scope;
  const std::string where = checkpoint.folder + "/config.json";
  const Json json = parse_json(checkpoint.config_json, where);
  const DitConfig config = parse_dit_config(json, options, where);
  if (!config.causal)
    throw ConfigError(where + ": causal", "false", "true; this is a denoiser");
  Dit dit = load_dit_network(checkpoint, config, resolve_compute(options));
  ModelInfo info = dit_info(dit, json, where, options);
  return std::make_unique<DecoderModel>(std::move(dit.decoder), std::move(info));
}

}  // namespace dlm
