#include "models/dit.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <tuple>
#include <utility>

#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>

#include "harness/base/error.h"
#include "models/diffusion_transformer/clean_stream.h"
#include "models/diffusion_transformer/dit_head.h"
#include "models/diffusion_transformer/noisy_stream.h"
#include "models/transformer/inference_scope.h"

namespace dlm {
namespace {

// Enough for full speed of the products, few enough that a pass lives in little memory.
constexpr std::int64_t kRowsPerPass = 1024;

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

// Whether the network would see the same of two queries.
bool same_input(const MaskQuery& a, const MaskQuery& b, bool by_level) {
  return a.sequence == b.sequence && a.block == b.block && a.masked == b.masked &&
         (!by_level || a.t == b.t);
}

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
    latest_ = batch_.targets.size();
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

  std::int64_t blocks() const { return std::ssize(batch_.noisy.blocks); }

  // Where the targets of the block added last begin.
  std::size_t latest() const { return latest_; }

 private:
  const DitConfig& config_;
  const DitContext& context_;
  QueryBatch batch_;
  std::size_t latest_ = 0;
};

// Order of the noisy stream: sequences together (by noise level too where the network reads it),
// then blocks falling, then equal masks together.
std::vector<std::size_t> pass_order(std::span<const MaskQuery> queries, bool by_level) {
  std::vector<std::size_t> order(queries.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  using Key =
      std::tuple<std::int64_t, double, std::int64_t, const std::vector<std::int64_t>&, std::size_t>;
  const auto key = [&](std::size_t i) {
    const MaskQuery& query = queries[i];
    return Key(query.sequence, by_level ? query.t : 0.0, -query.block, query.masked, i);
  };
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return key(a) < key(b); });
  return order;
}

struct WholeSequence {
  std::int64_t sequence = 0;
  std::int64_t block_size = 1;
};

// All blocks of x_t, every row wanted, rows in the order of positions.
NoisyBatch whole_sequence(std::span<const std::int64_t> x_t, const WholeSequence& of,
                          double sigma) {
  const std::int64_t size = of.block_size;
  const std::int64_t blocks = std::ssize(x_t) / size;
  NoisyBatch noisy;
  noisy.block_size = size;
  for (std::int64_t block = blocks - 1; block >= 0; --block) {
    noisy.blocks.push_back({of.sequence, block});
    noisy.sigma.push_back(sigma);
    const auto from = x_t.begin() + block * size;
    noisy.ids.insert(noisy.ids.end(), from, from + size);
  }
  // Blocks run backwards.
  for (std::int64_t i = 0; i < blocks * size; ++i)
    noisy.wanted.push_back((blocks - 1 - i / size) * size + i % size);
  return noisy;
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

const HiddenModel* DitModel::hidden_model() const {
  return loss() == DenoiserLoss::kMaskedCrossEntropy ? this : nullptr;
}

at::Tensor DitModel::embedded(const at::Tensor& ids) const {
  const InferenceScope scope;
  return at::embedding(dit_.decoder.token_embedding, ids.to(dit_.decoder.compute.device));
}

at::Tensor DitModel::head_logits_of(const at::Tensor& states) const {
  const InferenceScope scope;
  count({}, states.size(0));
  at::Tensor logits = head_logits(dit_, states);
  logits.select(1, dit_.config.mask_id).fill_(-std::numeric_limits<double>::infinity());
  return logits;
}

void DitModel::count_flops(double flops) const {
  PassCounts cost;
  cost.flops = flops;
  count(cost, 0);
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
  const bool whole = !dit_.config.cross_attention;
  if (whole && block_size != length) {
    throw ConfigError("block_size", std::to_string(block_size),
                      fmt::format("{}, the sequence's length: the model was trained without clean "
                                  "context, so a sequence is one block",
                                  length));
  }
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

void DitModel::check_queries(const CleanContext& context,
                             std::span<const MaskQuery> queries) const {
  const auto* own = dynamic_cast<const DitContext*>(&context);
  DLM_CHECK(own != nullptr, "a context of another model");
  const bool reads_t = dit_.config.time_conditioning || loss() == DenoiserLoss::kScoreEntropy;
  for (std::size_t q = 0; q < queries.size(); ++q) {
    check_query(queries[q], q, *own);
    if (reads_t)
      check_level(queries[q], q);
  }
}

std::vector<std::vector<double>> DitModel::token_terms(const CleanContext& context,
                                                       std::span<const MaskQuery> queries) const {
  const InferenceScope scope;
  check_queries(context, queries);
  const auto& own = dynamic_cast<const DitContext&>(context);
  const std::int64_t clean_length = own.length() - own.size;
  const bool per_level = context_depends_on_t(clean_length);
  const bool by_level = dit_.config.time_conditioning;
  const std::vector<std::size_t> order = pass_order(queries, by_level);
  const std::int64_t most = std::max<std::int64_t>(1, kRowsPerPass / own.size);
  const auto same_keys = [&](const MaskQuery& a, const MaskQuery& b) {
    return !per_level || (a.sequence == b.sequence && a.t == b.t);
  };
  std::vector<std::vector<double>> result(queries.size());
  CleanKeys level_keys;
  const MaskQuery* level_of = nullptr;  // whose sequence and t level_keys are for
  for (std::size_t begin = 0; begin < order.size();) {
    const MaskQuery& first = queries[order[begin]];
    if (per_level && (level_of == nullptr || !same_keys(*level_of, first))) {
      const double sigma = noise_level(dit_.config.noise, first.t).sigma;
      level_keys = new_clean_keys(dit_, 1, clean_length);
      count(clean_pass(dit_, {clean_ids(own, first.sequence, 1), 0, own.size, {sigma}}, level_keys),
            0);
      level_of = &first;
    }
    QueryBatcher batcher(dit_.config, own);
    std::vector<std::size_t> targets_at;  // of each query: where its rows begin
    std::size_t end = begin;
    for (; end < order.size(); ++end) {
      const MaskQuery& query = queries[order[end]];
      const bool repeated = end > begin && same_input(queries[order[end - 1]], query, by_level);
      if (!repeated) {
        if (batcher.blocks() == most || !same_keys(first, query))
          break;
        batcher.add(query, per_level ? 0 : query.sequence);
      }
      targets_at.push_back(batcher.latest());
    }
    const QueryBatch& batch = batcher.batch();
    const NoisyResult pass = noisy_pass(dit_, batch.noisy, per_level ? level_keys : own.keys);
    const std::vector<RowLogits> rows = row_logits(dit_, pass.rows, batch.targets);
    count(pass.cost, std::ssize(rows));
    for (std::size_t i = begin; i < end; ++i) {
      const MaskQuery& query = queries[order[i]];
      const auto of_query = std::span(rows).subspan(targets_at[i - begin], query.masked.size());
      result[order[i]] = terms_of(query, of_query, own.size);
    }
    begin = end;
  }
  return result;
}

std::vector<double> DitModel::terms_of(const MaskQuery& query, std::span<const RowLogits> rows,
                                       std::int64_t block_size) const {
  const bool sedd = loss() == DenoiserLoss::kScoreEntropy;
  const NoiseLevel level = sedd ? noise_level(dit_.config.noise, query.t) : NoiseLevel{};
  std::vector<double> terms;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    terms.push_back(sedd ? sedd_term(dit_.config, rows[i], level) : subs_term(rows[i]));
    if (!std::isfinite(terms.back())) {
      throw InternalError(fmt::format("{}: the term of sequence {}, position {} is {}",
                                      info_.family, query.sequence,
                                      query.block * block_size + query.masked[i], terms.back()));
    }
  }
  return terms;
}

void DitModel::check_forward(const DitForward& forward) const {
  const at::Tensor& x_t = forward.x_t;
  DLM_CHECK(x_t.dim() == 2 && x_t.scalar_type() == at::kLong, "x_t is (B, L) int64");
  if (forward.x_0.defined() && forward.x_0.sizes() != x_t.sizes()) {
    throw ConfigError("x_0", fmt::format("{} ids", forward.x_0.numel()),
                      fmt::format("the shape of x_t, {} x {}", x_t.size(0), x_t.size(1)));
  }
  check_block_size(x_t.size(1), forward.block_size);
  for (const at::Tensor* ids : {&x_t, &forward.x_0}) {
    if (ids->defined() &&
        (ids->min().item().toLong() < 0 || ids->max().item().toLong() >= info_.vocab_size)) {
      throw ConfigError("x_t or x_0", "an id outside the vocabulary",
                        fmt::format("0 to {}", info_.vocab_size - 1));
    }
  }
  const auto levels = std::ssize(forward.sigma);
  if (levels != 0 && levels != x_t.size(0)) {
    throw ConfigError("sigma", fmt::format("{} values", levels),
                      fmt::format("one per sequence, {}", x_t.size(0)));
  }
}

at::Tensor DitModel::logits(const DitForward& forward) const {
  const InferenceScope scope;
  check_forward(forward);
  const at::Tensor& x_0 = forward.x_0.defined() ? forward.x_0 : forward.x_t;
  const std::int64_t batch = forward.x_t.size(0);
  const std::int64_t length = forward.x_t.size(1);
  const std::int64_t size = forward.block_size;
  std::vector<double> sigma = forward.sigma;
  sigma.resize(static_cast<std::size_t>(batch), 0.0);
  CleanKeys keys = new_clean_keys(dit_, batch, length - size);
  if (length > size)
    count(clean_pass(dit_, {x_0.narrow(1, 0, length - size), 0, size, sigma}, keys), 0);
  const at::Tensor x_t = forward.x_t.cpu().contiguous();
  at::Tensor out = at::empty({batch, length, info_.vocab_size},
                             at::TensorOptions(dit_.decoder.compute.device).dtype(at::kFloat));
  for (std::int64_t b = 0; b < batch; ++b) {
    const auto* ids = x_t.const_data_ptr<std::int64_t>() + b * length;
    const NoisyBatch noisy = whole_sequence({ids, static_cast<std::size_t>(length)}, {b, size},
                                            sigma[static_cast<std::size_t>(b)]);
    const NoisyResult pass = noisy_pass(dit_, noisy, keys);
    count(pass.cost, length);
    out.select(0, b).copy_(head_logits(dit_, pass.rows));
  }
  return out;
}

}  // namespace dlm
