#include "models/diffusion_transformer/clean_stream.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "models/diffusion_transformer/noisy_stream.h"
#include "models/transformer/prefix_attention.h"

namespace dlm {
namespace {

// Consecutive blocks whose queries share an attention call.
struct Strip {
  std::int64_t begin = 0;
  std::int64_t queries = 0;
  at::Tensor bias;  // (1, 1, queries, begin + queries), or undefined for a single block
};

std::vector<Strip> plan_strips(std::int64_t length, std::int64_t block_size,
                               const at::TensorOptions& options) {
  const std::int64_t most = block_size * std::max<std::int64_t>(1, kRowsPerCall / block_size);
  std::vector<Strip> strips;
  at::Tensor wide;  // of a whole strip at the end; others are its right part
  for (std::int64_t begin = 0; begin < length; begin += most) {
    Strip strip{begin, std::min(most, length - begin), {}};
    if (strip.queries > block_size) {
      const std::int64_t rows = strip.queries;
      if (!wide.defined() || wide.size(2) != rows) {
        const at::Tensor block = at::arange(rows, at::kLong).floor_divide(block_size);
        wide = at::zeros({1, 1, rows, length}, options);
        wide.narrow(3, length - rows, rows)
            .masked_fill_(block.unsqueeze(1).lt(block.unsqueeze(0)).to(options.device()),
                          -std::numeric_limits<double>::infinity());
      }
      strip.bias = wide.narrow(3, length - begin - rows, begin + rows);
    }
    strips.push_back(strip);
  }
  return strips;
}

// (S * Lc, H, d) -> (S, H, Lc, d), a view.
at::Tensor by_sequence(const at::Tensor& x, std::int64_t sequences) {
  return x.view({sequences, x.size(0) / sequences, x.size(1), x.size(2)}).transpose(1, 2);
}

at::Tensor attend_strips(const Dit& dit, const HeadTensors& heads,
                         const std::vector<Strip>& strips) {
  std::vector<at::Tensor> outputs;
  for (const Strip& strip : strips) {
    const std::int64_t visible = strip.begin + strip.queries;
    const HeadTensors part = {heads.q.narrow(2, strip.begin, strip.queries),
                              heads.k.narrow(2, 0, visible), heads.v.narrow(2, 0, visible)};
    outputs.push_back(attend_all(dit, part, strip.bias));
  }
  const at::Tensor all = outputs.size() == 1 ? outputs.front() : at::cat(outputs, 1);
  return all.view({all.size(0) * all.size(1), all.size(2)});
}

// Block-causal attention of one pass.
class CleanAttention {
 public:
  CleanAttention(const Dit& dit, std::int64_t length, std::int64_t block_size)
      : dit_(dit), length_(length) {
    const Compute& compute = dit.decoder.compute;
    if (!uses_own_loops(compute)) {
      strips_ =
          plan_strips(length, block_size, at::TensorOptions(compute.device).dtype(compute.dtype));
      return;
    }
    PrefixRows rows;
    for (std::int64_t i = 0; i < length; ++i)
      rows.visible.push_back(static_cast<std::int32_t>((i / block_size + 1) * block_size));
    prefix_.emplace(std::move(rows));
  }

  // q, k, v (S * Lc, H, d) -> (S * Lc, D).
  at::Tensor attend(const HeadTensors& heads) {
    const std::int64_t rows = heads.q.size(0);
    if (!prefix_) {
      const auto batch = [&](const at::Tensor& x) { return by_sequence(x, rows / length_); };
      return attend_strips(dit_, {batch(heads.q), batch(heads.k), batch(heads.v)}, strips_);
    }
    const DecoderShape& shape = dit_.config.shape;
    at::Tensor out = at::empty({rows, shape.width}, heads.q.options());
    for (std::int64_t row = 0; row < rows; row += length_) {
      const auto own = [&](const at::Tensor& x) { return x.narrow(0, row, length_); };
      prefix_->attend({own(heads.q), own(heads.k), own(heads.v), {}, {}}, attention_scale(shape),
                      scratch_, own(out));
    }
    return out;
  }

 private:
  const Dit& dit_;
  std::int64_t length_;
  std::vector<Strip> strips_;
  std::optional<PrefixAttention> prefix_;
  PrefixScratch scratch_;
};

PassCounts clean_cost(const DecoderShape& shape, std::int64_t sequences, std::int64_t length,
                      std::int64_t block_size) {
  const auto rows = static_cast<double>(sequences * length);
  const auto blocks = static_cast<double>(length / block_size);
  const auto per_block = static_cast<double>(block_size * block_size);
  const double pairs = static_cast<double>(sequences) * per_block * blocks * (blocks + 1) / 2;
  const auto whole_layers = static_cast<double>(shape.layers - 1);
  PassCounts cost;
  cost.passes = 1;
  cost.positions = sequences * length;
  cost.flops =
      whole_layers * (rows * (qkv_flops(shape) + rest_flops(shape)) + pairs * pair_flops(shape)) +
      rows * qkv_flops(shape) * 2 / 3;
  return cost;
}

}  // namespace

CleanKeys new_clean_keys(const Dit& dit, std::int64_t sequences, std::int64_t length) {
  const DecoderShape& shape = dit.config.shape;
  const at::TensorOptions options =
      at::TensorOptions(dit.decoder.compute.device).dtype(dit.decoder.compute.dtype);
  CleanKeys out;
  for (std::int64_t layer = 0; length > 0 && layer < shape.layers; ++layer) {
    for (auto* half : {&out.keys, &out.values})
      half->push_back(at::empty({sequences, shape.heads, length, shape.head_dim}, options));
  }
  return out;
}

PassCounts clean_pass(const Dit& dit, const CleanBatch& batch, CleanKeys& into) {
  const DecoderShape& shape = dit.config.shape;
  const Compute& compute = dit.decoder.compute;
  const std::int64_t sequences = batch.ids.size(0);
  const std::int64_t length = batch.ids.size(1);
  const at::Tensor positions = at::arange(length, at::kLong).repeat({sequences}).to(compute.device);
  const RotaryRows rotary = dit.decoder.rotary->rows(positions, length);
  const RowCondition condition = row_condition(dit, batch.sigma, length);
  CleanAttention attention(dit, length, batch.block_size);
  const auto store = [&](std::int64_t layer, const HeadTensors& heads) {
    const auto l = static_cast<std::size_t>(layer);
    into.keys[l].narrow(0, batch.first, sequences).copy_(by_sequence(heads.k, sequences));
    into.values[l].narrow(0, batch.first, sequences).copy_(by_sequence(heads.v, sequences));
  };
  at::Tensor x = at::embedding(dit.decoder.token_embedding,
                               batch.ids.reshape({sequences * length}).to(compute.device));
  const std::int64_t last = shape.layers - 1;
  for (std::int64_t layer = 0; layer < last; ++layer) {
    const RowModulation rows = row_modulation(dit, layer, condition);
    const Linear& qkv = dit.decoder.blocks[static_cast<std::size_t>(layer)].qkv;
    // The projection is let go before the rest of the block needs memory.
    at::Tensor mixed;
    {
      const HeadTensors heads =
          split_qkv(shape, linear(qkv, attention_input(dit, layer, x, rows)), rotary);
      store(layer, heads);
      mixed = attention.attend(heads);
    }
    x = finish_block(dit, layer, x, mixed, rows);
  }
  const RowModulation rows = row_modulation(dit, last, condition);
  store(last, split_kv(shape, linear(dit.last_keys, attention_input(dit, last, x, rows)), rotary));
  return clean_cost(shape, sequences, length, batch.block_size);
}

}  // namespace dlm
