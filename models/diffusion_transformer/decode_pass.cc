#include "models/diffusion_transformer/decode_pass.h"

#include <algorithm>
#include <limits>

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/zeros.h>

#include "harness/base/error.h"
#include "models/diffusion_transformer/noisy_stream.h"
#include "models/transformer/cached_attention.h"
#include "models/transformer/head_store.h"
#include "models/transformer/packed_rows.h"

namespace dlm {
namespace {

// Clean queries that share an attention call: whole blocks, and what they must not see of each
// other.
struct CleanStrip {
  std::int64_t begin = 0;  // behind the window
  std::int64_t queries = 0;
  at::Tensor bias;  // (1, 1, queries, window + begin + queries), undefined for one block
};

// Consecutive steps whose rows lie side by side and stand alike.
struct DecodeGroup {
  std::int64_t row = 0;
  std::int64_t rows = 0;
  std::int64_t clean_at = 0;  // of its first clean row in the pass
  std::int64_t noisy_at = 0;
  std::int64_t clean = 0;  // clean positions of each row
  CacheWindow before;      // the window that clean blocks see
  CacheWindow after;       // the window that the noisy block sees
  std::vector<CleanStrip> strips;
};

at::TensorOptions tensor_options(const Dit& dit) {
  return at::TensorOptions(dit.decoder.compute.device).dtype(dit.decoder.compute.dtype);
}

bool uses_cached_loops(const Compute& compute) {
  return compute.backend != LinearBackend::kAten &&
         cached_attention_works(compute.device, compute.dtype);
}

std::vector<CleanStrip> plan_strips(const DecodeGroup& group, std::int64_t block_size,
                                    const at::TensorOptions& options) {
  const std::int64_t most = block_size * std::max<std::int64_t>(1, kRowsPerCall / block_size);
  std::vector<CleanStrip> strips;
  for (std::int64_t begin = 0; begin < group.clean; begin += most) {
    CleanStrip strip{begin, std::min(most, group.clean - begin), {}};
    if (strip.queries > block_size) {
      const at::Tensor block =
          at::arange(strip.queries, at::kLong).floor_divide(block_size).to(options.device());
      const std::int64_t earlier = group.before.length + begin;
      strip.bias = at::zeros({1, 1, strip.queries, earlier + strip.queries}, options);
      strip.bias.narrow(3, earlier, strip.queries)
          .masked_fill_(block.unsqueeze(1).lt(block.unsqueeze(0)),
                        -std::numeric_limits<double>::infinity());
    }
    strips.push_back(std::move(strip));
  }
  return strips;
}

// The rows of a pass: all clean ones, steps in order, then all noisy ones.
class DecodePlan {
 public:
  DecodePlan(const Dit& dit, std::span<const DecodeStep> steps, const DecodeShape& shape,
             BlockCache& cache)
      : shape_(shape) {
    for (const DecodeStep& step : steps) clean_ += std::ssize(step.completed);
    std::int64_t clean_at = 0;
    std::int64_t noisy_at = clean_;
    std::int64_t wanted_at = clean_;
    std::vector<std::int64_t> noisy_positions;
    std::vector<std::int64_t> noisy_level;
    for (std::size_t s = 0; s < steps.size(); ++s) {
      const DecodeStep& step = steps[s];
      const auto added = std::ssize(step.completed);
      cache.reserve(step.row, added + shape.block_size);
      const CacheWindow before = cache.window(step.row);
      const CacheWindow after = cache.grown(step.row, added, shape.context);
      join({step.row, 1, clean_at, noisy_at, added, before, after, {}});
      places_.push_back({step.row, before.end(), clean_at, added});
      places_.push_back({step.row, after.end(), noisy_at, shape.block_size});
      queries_.push_back({step.row, before.begin, clean_at, {}});
      for (std::int64_t i = 0; i < added; ++i)
        queries_.back().visible.push_back(static_cast<std::int32_t>(
            before.length + (i / shape.block_size + 1) * shape.block_size));
      queries_.push_back({step.row, after.begin, noisy_at, {}});
      queries_.back().visible.assign(static_cast<std::size_t>(shape.block_size),
                                     static_cast<std::int32_t>(after.length + shape.block_size));
      ids_.insert(ids_.end(), step.completed.begin(), step.completed.end());
      noisy_.insert(noisy_.end(), step.block.begin(), step.block.end());
      for (std::int64_t i = 0; i < added; ++i) {
        positions_.push_back(before.end() + i);
        level_.push_back(static_cast<std::int64_t>(s));
      }
      for (std::int64_t i = 0; i < shape.block_size; ++i) {
        noisy_positions.push_back(after.end() + i);
        noisy_level.push_back(static_cast<std::int64_t>(s));
      }
      for (const std::int64_t position : step.wanted) wanted_.push_back(wanted_at + position);
      clean_at += added;
      noisy_at += shape.block_size;
      wanted_at += shape.block_size;
    }
    ids_.insert(ids_.end(), noisy_.begin(), noisy_.end());
    positions_.insert(positions_.end(), noisy_positions.begin(), noisy_positions.end());
    level_.insert(level_.end(), noisy_level.begin(), noisy_level.end());
    own_loops_ = uses_cached_loops(dit.decoder.compute);
    for (std::size_t g = 0; !own_loops_ && g < groups_.size(); ++g)
      groups_[g].strips = plan_strips(groups_[g], shape.block_size, tensor_options(dit));
  }

  // Attention is by cached_attention.h.
  bool own_loops() const { return own_loops_; }

  // For it: of each step the clean queries, then the noisy ones.
  const std::vector<CachedQueries>& queries() const { return queries_; }

  // Where the new keys and values go.
  const std::vector<HeadPlaces>& places() const { return places_; }

  const std::vector<DecodeGroup>& groups() const { return groups_; }

  const std::vector<std::int64_t>& ids() const { return ids_; }

  const std::vector<std::int64_t>& positions() const { return positions_; }

  const std::vector<std::int64_t>& level() const { return level_; }

  const std::vector<std::int64_t>& wanted() const { return wanted_; }

  PassCounts cost(const DecoderShape& shape) const {
    PassCounts cost;
    cost.passes = 1;
    cost.positions = std::ssize(ids_);
    double pairs = 0;
    const auto size = static_cast<double>(shape_.block_size);
    for (const DecodeGroup& group : groups_) {
      const auto rows = static_cast<double>(group.rows);
      cost.cached_positions += group.rows * group.before.length;
      const auto blocks = static_cast<double>(group.clean / shape_.block_size);
      pairs += rows * size *
               (blocks * static_cast<double>(group.before.length) +
                size * blocks * (blocks + 1) / 2 + static_cast<double>(group.after.length) + size);
    }
    const auto rows = static_cast<double>(ids_.size());
    const auto wanted = static_cast<double>(wanted_.size());
    const auto layers = static_cast<double>(shape.layers);
    cost.flops = layers * (rows * qkv_flops(shape) + pairs * pair_flops(shape)) +
                 ((layers - 1) * rows + wanted) * rest_flops(shape);
    return cost;
  }

 private:
  void join(DecodeGroup step) {
    if (!groups_.empty()) {
      DecodeGroup& last = groups_.back();
      if (last.row + last.rows == step.row && last.clean == step.clean &&
          last.before == step.before && last.after == step.after) {
        ++last.rows;
        return;
      }
    }
    groups_.push_back(std::move(step));
  }

  const DecodeShape& shape_;
  bool own_loops_ = false;
  std::vector<CachedQueries> queries_;
  std::vector<HeadPlaces> places_;
  std::int64_t clean_ = 0;
  std::vector<DecodeGroup> groups_;
  std::vector<std::int64_t> ids_, noisy_, positions_, level_, wanted_;
};

// (rows * n, H, d) -> (rows, H, n, d), a view.
at::Tensor by_row(const at::Tensor& x, std::int64_t rows) {
  return x.view({rows, x.size(0) / rows, x.size(1), x.size(2)}).transpose(1, 2);
}

// One layer's attention of a group.
class GroupAttention {
 public:
  GroupAttention(const Dit& dit, const DecodeGroup& group, const at::Tensor& keys,
                 const at::Tensor& values, std::int64_t block_size)
      : dit_(dit),
        group_(group),
        size_(block_size),
        keys_(keys.narrow(0, group.row, group.rows)),
        values_(values.narrow(0, group.row, group.rows)) {}

  // (rows * clean, D).
  at::Tensor clean(const HeadTensors& heads) const {
    const at::Tensor q = part(heads.q, group_.clean_at, group_.clean);
    std::vector<at::Tensor> outputs;
    for (const CleanStrip& strip : group_.strips) {
      const std::int64_t visible = group_.before.length + strip.begin + strip.queries;
      outputs.push_back(attend_all(
          dit_,
          {q.narrow(2, strip.begin, strip.queries), keys_.narrow(2, group_.before.begin, visible),
           values_.narrow(2, group_.before.begin, visible)},
          strip.bias));
    }
    const at::Tensor all = outputs.size() == 1 ? outputs.front() : at::cat(outputs, 1);
    return all.view({group_.rows * group_.clean, -1});
  }

  // (rows * L', D).
  at::Tensor noisy(const HeadTensors& heads) const {
    const std::int64_t visible = group_.after.length + size_;
    return attend_all(
               dit_,
               {part(heads.q, group_.noisy_at, size_), keys_.narrow(2, group_.after.begin, visible),
                values_.narrow(2, group_.after.begin, visible)},
               {})
        .view({group_.rows * size_, -1});
  }

 private:
  at::Tensor part(const at::Tensor& x, std::int64_t at, std::int64_t count) const {
    return by_row(x.narrow(0, at, group_.rows * count), group_.rows);
  }

  const Dit& dit_;
  const DecodeGroup& group_;
  std::int64_t size_;
  at::Tensor keys_, values_;
};

at::Tensor attend_groups(const Dit& dit, const DecodePlan& plan, const HeadTensors& heads,
                         std::int64_t block_size, const BlockCache& cache, std::int64_t layer) {
  std::vector<at::Tensor> clean;
  std::vector<at::Tensor> noisy;
  store_heads(cache.keys(layer), heads.k, plan.places());
  store_heads(cache.values(layer), heads.v, plan.places());
  if (plan.own_loops())
    return attend_cached({heads.q, cache.keys(layer), cache.values(layer)}, plan.queries(),
                         attention_scale(dit.config.shape));
  for (const DecodeGroup& group : plan.groups()) {
    const GroupAttention attention(dit, group, cache.keys(layer), cache.values(layer), block_size);
    if (group.clean > 0)
      clean.push_back(attention.clean(heads));
    noisy.push_back(attention.noisy(heads));
  }
  clean.insert(clean.end(), noisy.begin(), noisy.end());
  return clean.size() == 1 ? clean.front() : at::cat(clean, 0);
}

}  // namespace

DecodeResult decode_pass(const Dit& dit, std::span<const DecodeStep> steps,
                         const DecodeShape& shape, BlockCache& cache) {
  const DecoderShape& network = dit.config.shape;
  const at::Device device = dit.decoder.compute.device;
  const DecodePlan plan(dit, steps, shape, cache);
  const auto& positions = plan.positions();
  const std::int64_t furthest = *std::max_element(positions.begin(), positions.end());
  const RotaryRows rotary = dit.decoder.rotary->rows(index_tensor(positions, device), furthest + 1);
  RowCondition condition;
  if (dit.sigma_map) {
    condition = {sigma_condition(*dit.sigma_map, shape.sigma), index_tensor(plan.level(), device)};
  }
  const at::Tensor wanted = index_tensor(plan.wanted(), device);
  at::Tensor x = at::embedding(dit.decoder.token_embedding, index_tensor(plan.ids(), device));
  for (std::int64_t layer = 0; layer < network.layers; ++layer) {
    RowModulation rows = row_modulation(dit, layer, condition);
    const Linear& qkv = dit.decoder.blocks[static_cast<std::size_t>(layer)].qkv;
    const HeadTensors heads =
        split_qkv(network, linear(qkv, attention_input(dit, layer, x, rows)), rotary);
    at::Tensor mixed = attend_groups(dit, plan, heads, shape.block_size, cache, layer);
    if (layer == network.layers - 1) {
      mixed = mixed.index_select(0, wanted);
      x = x.index_select(0, wanted);
      condition = select_rows(condition, wanted);
      rows = row_modulation(dit, layer, condition);
    }
    x = finish_block(dit, layer, x, mixed, rows);
  }
  for (const DecodeGroup& group : plan.groups()) {
    for (std::int64_t row = group.row; row < group.row + group.rows; ++row)
      cache.set_window(row, group.after);
  }
  return {final_rows(dit, x, condition), plan.cost(network)};
}

}  // namespace dlm
