#include "models/diffusion_transformer/noisy_stream.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <utility>

#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>

#include "harness/base/error.h"
#include "models/transformer/packed_rows.h"
#include "models/transformer/prefix_attention.h"

namespace dlm {
namespace {

// Consecutive noisy blocks that share an attention call. Without context they are a batch of their
// own; else they are of one sequence and see its clean positions below `context` and themselves, as
// far as `bias` allows.
struct NoisyGroup {
  std::int64_t first = 0;  // block of the batch
  std::int64_t blocks = 0;
  std::int64_t context = 0;   // L' times the largest block index
  at::Tensor bias;            // (1, 1, blocks * L', context + blocks * L'), or undefined
  bool new_sequence = false;  // clean keys must be loaded first
};

// Where blocks lie below the group's first one, for each of them.
using Pattern = std::vector<std::int64_t>;

class GroupPlanner {
 public:
  GroupPlanner(const NoisyBatch& batch, const at::TensorOptions& options)
      : batch_(batch), options_(options) {}

  std::vector<NoisyGroup> plan() {
    std::vector<NoisyGroup> groups;
    const auto total = static_cast<std::int64_t>(batch_.blocks.size());
    std::int64_t loaded = -1;
    for (std::int64_t first = 0; first < total;) {
      NoisyGroup group = next_group(first);
      if (group.context > 0) {
        group.new_sequence = at(first).sequence != loaded;
        loaded = at(first).sequence;
        group.bias = bias_of(group);
      }
      first += group.blocks;
      groups.push_back(group);
    }
    return groups;
  }

 private:
  const NoisyBlock& at(std::int64_t index) const {
    return batch_.blocks[static_cast<std::size_t>(index)];
  }

  NoisyGroup next_group(std::int64_t first) const {
    const NoisyBlock& head = at(first);
    const auto total = static_cast<std::int64_t>(batch_.blocks.size());
    const std::int64_t most = std::max<std::int64_t>(1, kRowsPerCall / batch_.block_size);
    const auto joins = [&](std::int64_t index) {
      const NoisyBlock& next = at(index);
      if (head.block == 0)
        return next.block == 0;
      // One that lies far below would see mostly hidden keys.
      return index - first < most && next.sequence == head.sequence && next.block > 0 &&
             head.block - next.block < most;
    };
    std::int64_t end = first + 1;
    while (end < total && joins(end)) ++end;
    return {first, end - first, head.block * batch_.block_size, {}, false};
  }

  // Groups whose blocks lie alike share one bias, as wide as any may need; a narrower one is its
  // right part.
  at::Tensor bias_of(const NoisyGroup& group) {
    if (group.blocks == 1)
      return {};
    Pattern below;
    for (std::int64_t i = 0; i < group.blocks; ++i)
      below.push_back(at(group.first).block - at(group.first + i).block);
    const std::int64_t keys = group.context + group.blocks * batch_.block_size;
    at::Tensor& wide = wide_[below];
    // Blocks come in falling order, so the first group of a pattern is mostly the widest.
    if (!wide.defined() || wide.size(3) < keys)
      wide = make_bias(below, keys);
    return wide.narrow(3, wide.size(3) - keys, keys);
  }

  at::Tensor make_bias(const Pattern& below, std::int64_t keys) const {
    const auto blocks = static_cast<std::int64_t>(below.size());
    const std::int64_t size = batch_.block_size;
    const std::int64_t own = keys - blocks * size;  // where the noisy keys begin
    at::Tensor bias = at::zeros({1, 1, blocks * size, keys}, options_);
    constexpr double kHidden = -std::numeric_limits<double>::infinity();
    for (std::int64_t i = 0; i < blocks; ++i) {
      const at::Tensor rows = bias.narrow(2, i * size, size);
      const std::int64_t hidden = below[static_cast<std::size_t>(i)] * size;
      rows.narrow(3, own - hidden, hidden + blocks * size).fill_(kHidden);
      rows.narrow(3, own + i * size, size).zero_();
    }
    return bias;
  }

  const NoisyBatch& batch_;
  at::TensorOptions options_;
  std::map<Pattern, at::Tensor> wide_;
};

// (n * L', H, d) -> (batch, H, n * L' / batch, d), a view.
at::Tensor as_batch(const at::Tensor& x, std::int64_t batch) {
  return x.view({batch, x.size(0) / batch, x.size(1), x.size(2)}).transpose(1, 2);
}

// By libtorch's fused kernel.
class GroupAttention {
 public:
  GroupAttention(const Dit& dit, const NoisyBatch& batch, const CleanKeys& clean)
      : dit_(dit), batch_(batch), clean_(clean) {
    const at::TensorOptions options =
        at::TensorOptions(dit.decoder.compute.device).dtype(dit.decoder.compute.dtype);
    groups_ = GroupPlanner(batch, options).plan();
    std::int64_t longest = 0;
    for (const NoisyGroup& group : groups_) {
      if (group.context > 0)
        longest = std::max(longest, group.context + group.blocks * batch.block_size);
    }
    const DecoderShape& shape = dit.config.shape;
    keys_ = at::empty({1, shape.heads, longest, shape.head_dim}, options);
    values_ = at::empty_like(keys_);
  }

  // q, k, v (N, H, d) of one layer -> (N, D).
  at::Tensor attend(std::int64_t layer, const HeadTensors& heads) {
    std::vector<at::Tensor> outputs;
    for (const NoisyGroup& group : groups_) {
      const std::int64_t begin = group.first * batch_.block_size;
      const std::int64_t rows = group.blocks * batch_.block_size;
      const HeadTensors own = {heads.q.narrow(0, begin, rows), heads.k.narrow(0, begin, rows),
                               heads.v.narrow(0, begin, rows)};
      const at::Tensor mixed = group.context == 0 ? alone(group, own) : behind(layer, group, own);
      outputs.push_back(mixed.view({rows, -1}));
    }
    return outputs.size() == 1 ? outputs.front() : at::cat(outputs, 0);
  }

 private:
  at::Tensor alone(const NoisyGroup& group, const HeadTensors& own) const {
    return attend_all(dit_,
                      {as_batch(own.q, group.blocks), as_batch(own.k, group.blocks),
                       as_batch(own.v, group.blocks)},
                      {});
  }

  at::Tensor behind(std::int64_t layer, const NoisyGroup& group, const HeadTensors& own) {
    const std::int64_t rows = own.q.size(0);
    const auto extend = [&](const at::Tensor& scratch, const std::vector<at::Tensor>& clean,
                            const at::Tensor& noisy) {
      if (group.new_sequence) {
        const std::int64_t sequence = batch_.blocks[static_cast<std::size_t>(group.first)].sequence;
        scratch.narrow(2, 0, group.context)
            .copy_(clean.at(static_cast<std::size_t>(layer))
                       .narrow(0, sequence, 1)
                       .narrow(2, 0, group.context));
      }
      scratch.narrow(2, group.context, rows).copy_(as_batch(noisy, 1));
      return scratch.narrow(2, 0, group.context + rows);
    };
    const at::Tensor k = extend(keys_, clean_.keys, own.k);
    const at::Tensor v = extend(values_, clean_.values, own.v);
    return attend_all(dit_, {as_batch(own.q, 1), k, v}, group.bias);
  }

  const Dit& dit_;
  const NoisyBatch& batch_;
  const CleanKeys& clean_;
  std::vector<NoisyGroup> groups_;
  at::Tensor keys_, values_;  // (1, H, longest, d): the clean keys of a sequence, then noisy ones
};

// By our own loops: one call per sequence.
class OwnAttention {
 public:
  OwnAttention(const Dit& dit, const NoisyBatch& batch, const CleanKeys& clean)
      : dit_(dit), clean_(clean) {
    for (std::size_t first = 0; first < batch.blocks.size();) {
      PrefixRows rows;
      rows.own_size = batch.block_size;
      const std::int64_t sequence = batch.blocks[first].sequence;
      std::size_t end = first;
      for (; end < batch.blocks.size() && batch.blocks[end].sequence == sequence; ++end) {
        rows.visible.insert(rows.visible.end(), static_cast<std::size_t>(batch.block_size),
                            static_cast<std::int32_t>(batch.blocks[end].block * batch.block_size));
      }
      const auto count = std::ssize(rows.visible);
      parts_.push_back({sequence, static_cast<std::int64_t>(first) * batch.block_size, count,
                        PrefixAttention(std::move(rows))});
      first = end;
    }
  }

  at::Tensor attend(std::int64_t layer, const HeadTensors& heads) {
    const DecoderShape& shape = dit_.config.shape;
    at::Tensor out = at::empty({heads.q.size(0), shape.width}, heads.q.options());
    for (const Part& part : parts_) {
      const auto own = [&](const at::Tensor& x) { return x.narrow(0, part.begin, part.rows); };
      const auto shared = [&](const std::vector<at::Tensor>& clean) {
        if (clean.empty())
          return at::Tensor();
        return clean.at(static_cast<std::size_t>(layer)).select(0, part.sequence).transpose(0, 1);
      };
      part.attention.attend(
          {own(heads.q), shared(clean_.keys), shared(clean_.values), own(heads.k), own(heads.v)},
          attention_scale(shape), scratch_, own(out));
    }
    return out;
  }

 private:
  struct Part {
    std::int64_t sequence = 0;
    std::int64_t begin = 0, rows = 0;
    PrefixAttention attention;
  };

  const Dit& dit_;
  const CleanKeys& clean_;
  std::vector<Part> parts_;
  PrefixScratch scratch_;
};

class NoisyAttention {
 public:
  NoisyAttention(const Dit& dit, const NoisyBatch& batch, const CleanKeys& clean) {
    const Compute& compute = dit.decoder.compute;
    if (uses_own_loops(compute))
      own_.emplace(dit, batch, clean);
    else
      groups_.emplace(dit, batch, clean);
  }

  // q, k, v (N, H, d) of one layer -> (N, D).
  at::Tensor attend(std::int64_t layer, const HeadTensors& heads) {
    return own_ ? own_->attend(layer, heads) : groups_->attend(layer, heads);
  }

 private:
  std::optional<OwnAttention> own_;
  std::optional<GroupAttention> groups_;
};

// Query-key pairs that the model defines, for the count of operations.
double visible_pairs(const NoisyBatch& batch) {
  const auto size = static_cast<double>(batch.block_size);
  double pairs = 0;
  for (const NoisyBlock& block : batch.blocks)
    pairs += size * size * static_cast<double>(block.block + 1);
  return pairs;
}

PassCounts noisy_cost(const DecoderShape& shape, const NoisyBatch& batch, double pairs) {
  const auto rows = static_cast<double>(batch.ids.size());
  const auto wanted = static_cast<double>(batch.wanted.size());
  PassCounts cost;
  cost.passes = 1;
  cost.positions = std::ssize(batch.ids);
  for (const NoisyBlock& block : batch.blocks)
    cost.cached_positions += block.block * batch.block_size;
  const auto layers = static_cast<double>(shape.layers);
  cost.flops = layers * (rows * qkv_flops(shape) + pairs * pair_flops(shape)) +
               ((layers - 1) * rows + wanted) * rest_flops(shape);
  return cost;
}

at::Tensor row_positions(const NoisyBatch& batch, at::Device device) {
  std::vector<std::int64_t> positions;
  for (const NoisyBlock& block : batch.blocks) {
    for (std::int64_t i = 0; i < batch.block_size; ++i)
      positions.push_back(block.block * batch.block_size + i);
  }
  return index_tensor(positions, device);
}

}  // namespace

NoisyResult noisy_pass(const Dit& dit, const NoisyBatch& batch, const CleanKeys& clean) {
  const DecoderShape& shape = dit.config.shape;
  const at::Device device = dit.decoder.compute.device;
  DLM_CHECK(batch.ids.size() == batch.blocks.size() * static_cast<std::size_t>(batch.block_size),
            "{} ids for {} blocks", batch.ids.size(), batch.blocks.size());
  const RotaryRows rotary =
      dit.decoder.rotary->rows(row_positions(batch, device), shape.max_length);
  RowCondition condition = row_condition(dit, batch.sigma, batch.block_size);
  NoisyAttention attention(dit, batch, clean);
  const at::Tensor wanted = index_tensor(batch.wanted, device);
  at::Tensor x = at::embedding(dit.decoder.token_embedding, index_tensor(batch.ids, device));
  for (std::int64_t layer = 0; layer < shape.layers; ++layer) {
    RowModulation rows = row_modulation(dit, layer, condition);
    const Linear& qkv = dit.decoder.blocks[static_cast<std::size_t>(layer)].qkv;
    at::Tensor mixed = attention.attend(
        layer, split_qkv(shape, linear(qkv, attention_input(dit, layer, x, rows)), rotary));
    if (layer == shape.layers - 1) {
      mixed = mixed.index_select(0, wanted);
      x = x.index_select(0, wanted);
      condition = select_rows(condition, wanted);
      rows = row_modulation(dit, layer, condition);
    }
    x = finish_block(dit, layer, x, mixed, rows);
  }
  return {final_rows(dit, x, condition), noisy_cost(shape, batch, visible_pairs(batch))};
}

}  // namespace dlm
