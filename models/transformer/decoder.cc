#include "models/transformer/decoder.h"

#include <ATen/ops/embedding.h>

#include "models/transformer/packed_attention.h"

namespace dlm {
namespace {

struct DecoderPass {
  const PackedRows& rows;
  AttentionPlan plan;
  std::optional<RotaryRows> rotary;
  TransformerCache* cache = nullptr;
};

at::Tensor embed(const Decoder& decoder, const at::Tensor& ids, const at::Tensor& positions) {
  at::Tensor x = at::embedding(decoder.token_embedding, ids);
  if (decoder.position_embedding.defined())
    x.add_(at::embedding(decoder.position_embedding, positions));
  return x;
}

PackedQkv split_heads(const DecoderShape& shape, const at::Tensor& fused,
                      const std::optional<RotaryRows>& rotary) {
  const std::int64_t turned = shape.heads + shape.kv_heads;
  const at::Tensor all = fused.view({fused.size(0), turned + shape.kv_heads, shape.head_dim});
  at::Tensor qk = all.narrow(1, 0, turned);
  if (rotary)
    qk = rotate(qk, *rotary);
  return {qk.narrow(1, 0, shape.heads), qk.narrow(1, shape.heads, shape.kv_heads),
          all.narrow(1, turned, shape.kv_heads)};
}

at::Tensor attention_plus(const Decoder& decoder, std::int64_t layer, const DecoderPass& pass,
                          const at::Tensor& x) {
  const DecoderBlock& block = decoder.blocks[static_cast<std::size_t>(layer)];
  const at::Tensor fused = linear(block.qkv, normalise(block.attention_norm, x));
  const PackedQkv qkv = split_heads(decoder.shape, fused, pass.rotary);
  CachedKeys cached;
  if (pass.cache != nullptr) {
    pass.cache->store(layer, pass.rows, qkv.k, qkv.v);
    cached = {pass.cache->keys(layer), pass.cache->values(layer)};
  }
  const at::Tensor mixed = attend_packed(qkv, pass.rows, pass.plan, cached, block.attention_scale);
  return linear_plus(block.attention_out, mixed, x);
}

}  // namespace

at::Tensor mlp_plus(const Mlp& mlp, const at::Tensor& x, const at::Tensor& residual) {
  if (!mlp.gate)
    return linear_plus(mlp.down, linear_activated(mlp.up, x, mlp.activation), residual);
  const at::Tensor gate = linear_activated(*mlp.gate, x, mlp.activation);
  return linear_plus(mlp.down, linear_times(mlp.up, x, gate), residual);
}

at::Tensor decoder_hidden(const Decoder& decoder, const PackedRows& rows, TransformerCache* cache) {
  const at::Device device = decoder.compute.device;
  return decoder_blocks(decoder, embed(decoder, rows.ids.to(device), rows.positions.to(device)),
                        rows, cache);
}

at::Tensor decoder_blocks(const Decoder& decoder, at::Tensor x, const PackedRows& rows,
                          TransformerCache* cache) {
  const at::TensorOptions options =
      at::TensorOptions(decoder.compute.device).dtype(decoder.compute.dtype);
  const at::Tensor positions = rows.positions.to(decoder.compute.device);
  DecoderPass pass{rows, plan_attention(rows, options), {}, cache};
  if (decoder.rotary)
    pass.rotary = decoder.rotary->rows(positions, rows.longest);
  for (std::int64_t layer = 0; layer < decoder.shape.layers; ++layer) {
    x = attention_plus(decoder, layer, pass, x);
    const DecoderBlock& block = decoder.blocks[static_cast<std::size_t>(layer)];
    x = mlp_plus(block.mlp, normalise(block.mlp_norm, x), x);
  }
  if (cache != nullptr)
    cache->advance(rows);
  return x;
}

at::Tensor decoder_logits(const Decoder& decoder, const at::Tensor& hidden) {
  return linear(decoder.head, normalise(decoder.final_norm, hidden)).to(at::kFloat);
}

double decoder_flops(const DecoderShape& shape, const PackedRows& rows, bool gated_mlp) {
  const auto attention_width = static_cast<double>(shape.heads * shape.head_dim);
  const auto qkv_width = static_cast<double>((shape.heads + 2 * shape.kv_heads) * shape.head_dim);
  const auto width = static_cast<double>(shape.width);
  const double mlp = (gated_mlp ? 3 : 2) * width * static_cast<double>(shape.inner);
  const double per_token = width * qkv_width + attention_width * width + mlp;
  const double attention = 2 * attention_width * visible_pairs(rows);
  return 2 * static_cast<double>(shape.layers) *
         (per_token * static_cast<double>(rows.tokens) + attention);
}

double head_flops(const DecoderShape& shape, std::int64_t rows) {
  return 2 * static_cast<double>(shape.width) * static_cast<double>(shape.vocab_size) *
         static_cast<double>(rows);
}

std::int64_t matrix_bytes(const Decoder& decoder) {
  const auto size = [](const Linear& layer) { return layer.inputs * layer.outputs; };
  std::int64_t elements = size(decoder.head);
  for (const DecoderBlock& block : decoder.blocks) {
    elements += size(block.qkv) + size(block.attention_out) + size(block.mlp.up) +
                size(block.mlp.down) + (block.mlp.gate ? size(*block.mlp.gate) : 0);
  }
  return elements * static_cast<std::int64_t>(c10::elementSize(decoder.compute.dtype));
}

std::int64_t key_value_bytes(const Decoder& decoder) {
  const DecoderShape& shape = decoder.shape;
  return 2 * shape.layers * shape.kv_heads * shape.head_dim *
         static_cast<std::int64_t>(c10::elementSize(decoder.compute.dtype));
}

}  // namespace dlm
