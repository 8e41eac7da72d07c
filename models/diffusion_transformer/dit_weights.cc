// load_dit_network: names, folding, packing.
#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>

#include <ATen/ops/linear.h>

#include <fmt/format.h>
#include <malloc.h>

#include "models/diffusion_transformer/dit_network.h"
#include "models/transformer/weight_loader.h"

namespace dlm {
namespace {

// 512 rows of logits of a run are 6 MB.
constexpr std::int64_t kHeadColumns = 3072;

bool is_harmless(std::string_view name) {
  return name.ends_with("rotary_emb.inv_freq") || name == "sampling_eps_min" ||
         name == "sampling_eps_max";
}

// Reads everything as f32, so that folding rounds only once.
class DitLoader {
 public:
  DitLoader(const Checkpoint& checkpoint, const DitConfig& config, const Compute& compute)
      : weights_(checkpoint, {at::kFloat, compute.device, compute.backend}),
        compute_(compute),
        config_(config),
        prefix_(weights_.has("backbone.vocab_embed.embedding") ? "backbone." : "") {}

  Dit load() {
    Dit dit;
    dit.config = config_;
    const DecoderShape& shape = config_.shape;
    Decoder& decoder = dit.decoder;
    decoder.shape = shape;
    decoder.compute = compute_;
    decoder.rotary = std::make_unique<RotaryTable>(RotaryConfig{.head_dim = shape.head_dim},
                                                   compute_.dtype, compute_.device);
    decoder.token_embedding = weights_.table(prefix_ + "vocab_embed.embedding",
                                             {shape.vocab_size, shape.width}, compute_.dtype);
    // First, while there is little else: it is the largest and held twice while it is packed.
    load_head(dit);
    load_sigma_map(dit);
    for (std::int64_t layer = 0; layer < shape.layers; ++layer) {
      load_block(dit, layer);
      // Packing leaves each plain weight behind as a hole in the heap.
      malloc_trim(0);
    }
    load_end(dit);
    weights_.ignore(is_harmless);
    weights_.finish();
    decoder.parameters = weights_.parameters();
    return dit;
  }

 private:
  at::Tensor take(const std::string& name, std::initializer_list<std::int64_t> shape) {
    return weights_.tensor(prefix_ + name, shape);
  }

  at::Tensor rounded(const at::Tensor& value) const { return value.to(compute_.dtype); }

  Linear packed(const at::Tensor& weight, const at::Tensor& bias) const {
    return make_linear(rounded(weight), bias.defined() ? rounded(bias) : bias, compute_.backend);
  }

  // The condition of models that do not read the noise level stays here as constant_.
  void load_sigma_map(Dit& dit) {
    if (!config_.adaln)
      return;
    const std::int64_t width = config_.cond_dim;
    SigmaMap map;
    map.in_weight = take("sigma_map.mlp.0.weight", {width, 256});
    map.in_bias = take("sigma_map.mlp.0.bias", {width});
    map.out_weight = take("sigma_map.mlp.2.weight", {width, width});
    map.out_bias = take("sigma_map.mlp.2.bias", {width});
    if (config_.time_conditioning) {
      dit.sigma_map = std::move(map);
      return;
    }
    const double zero = 0;
    constant_ = sigma_condition(map, std::span(&zero, 1));
  }

  // `parts` vectors of D values: constant ones to be folded, or none where there are none to fold.
  std::vector<at::Tensor> modulation(Dit& dit, const std::string& name, std::int64_t parts) {
    if (!config_.adaln)
      return {};
    const std::int64_t width = config_.shape.width;
    Modulation loaded;
    loaded.weight = take(name + ".weight", {parts * width, config_.cond_dim});
    loaded.bias = take(name + ".bias", {parts * width});
    if (config_.time_conditioning) {
      dit.modulations.push_back(std::move(loaded));
      return {};
    }
    const at::Tensor all = at::linear(constant_, loaded.weight, loaded.bias).view({parts, width});
    std::vector<at::Tensor> out;
    for (std::int64_t part = 0; part < parts; ++part) out.push_back(all.select(0, part));
    return out;
  }

  // norm(x) * (1 + scale) + shift as a norm; without `folded`, the plain one.
  Norm norm(const std::string& name, const std::vector<at::Tensor>& folded, std::size_t shift) {
    Norm norm;
    norm.weight = take(name + ".weight", {config_.shape.width});
    if (!folded.empty()) {
      norm.weight = norm.weight.mul(folded[shift + 1].add(1));
      norm.bias = rounded(folded[shift]);
    }
    norm.weight = rounded(norm.weight);
    return norm;
  }

  void load_block(Dit& dit, std::int64_t layer) {
    const DecoderShape& shape = config_.shape;
    const std::int64_t width = shape.width;
    const std::string name = fmt::format("blocks.{}.", layer);
    const std::vector<at::Tensor> folded = modulation(dit, name + "adaLN_modulation", 6);
    DecoderBlock block;
    block.attention_norm = norm(name + "norm1", folded, 0);
    const at::Tensor qkv = take(name + "attn_qkv.weight", {3 * width, width});
    block.qkv = packed(qkv, {});
    if (layer == shape.layers - 1 && config_.cross_attention)
      dit.last_keys = packed(qkv.narrow(0, width, 2 * width).contiguous(), {});
    at::Tensor out = take(name + "attn_out.weight", {width, width});
    block.mlp_norm = norm(name + "norm2", folded, 3);
    block.mlp.activation = Activation::kGeluTanh;
    block.mlp.up = packed(take(name + "mlp.0.weight", {shape.inner, width}),
                          take(name + "mlp.0.bias", {shape.inner}));
    at::Tensor down = take(name + "mlp.2.weight", {width, shape.inner});
    at::Tensor down_bias = take(name + "mlp.2.bias", {width});
    if (!folded.empty()) {
      out.mul_(folded[2].unsqueeze(1));
      down.mul_(folded[5].unsqueeze(1));
      down_bias.mul_(folded[5]);
    }
    block.attention_out = packed(out, {});
    block.mlp.down = packed(down, down_bias);
    block.attention_scale = 1 / std::sqrt(static_cast<double>(shape.head_dim));
    dit.decoder.blocks.push_back(std::move(block));
  }

  void load_end(Dit& dit) {
    const std::vector<at::Tensor> folded = modulation(dit, "output_layer.adaLN_modulation", 2);
    dit.decoder.final_norm = norm("output_layer.norm_final", folded, 0);
  }

  void load_head(Dit& dit) {
    const DecoderShape& shape = config_.shape;
    at::Tensor weight = take("output_layer.linear.weight", {shape.vocab_size, shape.width});
    at::Tensor bias = take("output_layer.linear.bias", {shape.vocab_size});
    if (config_.causal) {
      // The published code sets the mask's logit to -1e6, which f16 cannot hold.
      weight.select(0, config_.mask_id).zero_();
      bias.select(0, config_.mask_id).fill_(compute_.dtype == at::kHalf ? -3e4 : -1e6);
    }
    if (config_.causal)
      dit.decoder.head = packed(weight, bias);
    else
      dit.head = split_head(weight, bias, compute_);
  }

  WeightLoader weights_;
  Compute compute_;
  const DitConfig& config_;
  std::string prefix_;
  at::Tensor constant_;  // (1, C)
};

}  // namespace

std::vector<Linear> split_head(const at::Tensor& weight, const at::Tensor& bias,
                               const Compute& compute) {
  std::vector<Linear> runs;
  for (std::int64_t begin = 0; begin < weight.size(0); begin += kHeadColumns) {
    const std::int64_t columns = std::min(kHeadColumns, weight.size(0) - begin);
    runs.push_back(make_linear(weight.narrow(0, begin, columns).to(compute.dtype),
                               bias.narrow(0, begin, columns).to(compute.dtype), compute.backend));
  }
  return runs;
}

Dit load_dit_network(const Checkpoint& checkpoint, const DitConfig& config,
                     const Compute& compute) {
  return DitLoader(checkpoint, config, compute).load();
}

}  // namespace dlm
