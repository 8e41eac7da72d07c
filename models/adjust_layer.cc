#include "models/adjust_layer.h"

#include <algorithm>
#include <utility>

#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/full.h>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "models/llama.h"
#include "models/transformer/config_fields.h"
#include "models/transformer/inference_scope.h"
#include "models/transformer/weight_loader.h"

namespace dlm {
namespace {

// Every row's whole text, packed.
PackedRows pack_texts(std::span<const RefreshRow> rows, std::int64_t mask_id,
                      std::int64_t vocab_size) {
  std::vector<std::int64_t> lengths;
  std::int64_t longest = 0;
  for (const RefreshRow& row : rows) {
    lengths.push_back(std::ssize(row.ids) + row.masks_behind);
    longest = std::max(longest, lengths.back());
  }
  at::Tensor ids = at::full({std::ssize(rows), longest}, mask_id, at::kLong);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::copy(rows[r].ids.begin(), rows[r].ids.end(),
              ids.mutable_data_ptr<std::int64_t>() + static_cast<std::int64_t>(r) * longest);
  }
  PackedRows packed = pack_rows(ids, lengths, {}, vocab_size);
  see_both_ways(packed, {});
  return packed;
}

void check_base(const Json& config, const std::string& base_sha256, const std::string& where) {
  const std::string type = json_string(config, "model_type", where);
  if (type != "adjust")
    throw ConfigError(where + ": model_type", type, "adjust");
  const std::string made_for = json_string(config, "base_weights_sha256", where);
  if (made_for != base_sha256)
    throw ConfigError(
        "adjust",
        fmt::format("{}, a layer of a base with weights {}", where, made_for.substr(0, 16)),
        fmt::format("a layer of this model, weights {}", base_sha256.substr(0, 16)));
}

LlamaConfig layer_config(const Json& config, const DecoderShape& base, const std::string& where) {
  LlamaConfig out;
  DecoderShape& shape = out.shape;
  shape = base;
  shape.layers = 1;
  shape.inner = size_field_or(config, "intermediate_size", base.inner, where);
  shape.heads = size_field_or(config, "num_attention_heads", base.heads, where);
  shape.kv_heads = size_field_or(config, "num_key_value_heads", base.kv_heads, where);
  divided({"num_attention_heads", shape.heads}, {"num_key_value_heads", shape.kv_heads}, where);
  shape.head_dim =
      divided({"hidden_size", shape.width}, {"num_attention_heads", shape.heads}, where);
  if (shape.head_dim % 2 != 0)
    throw DataError(where, -1, "an even size of a head", std::to_string(shape.head_dim));
  out.rotary.head_dim = shape.head_dim;
  out.rotary.theta = positive_field_or(config, "rope_theta", 1e6, where);
  out.eps = positive_field_or(config, "rms_norm_eps", 1e-6, where);
  return out;
}

}  // namespace

AdjustLayer::AdjustLayer(const std::string& folder, const CanvasModel& base,
                         const std::string& base_sha256)
    : base_(base) {
  const InferenceScope scope;
  const Checkpoint checkpoint = Checkpoint::open(folder);
  const std::string where = checkpoint.folder + "/config.json";
  const Json json = parse_json(checkpoint.config_json, where);
  check_base(json, base_sha256, where);
  LlamaConfig config = layer_config(json, base.decoder().shape, where);
  LlamaNames names;
  names.layers = "layers.0.";
  layer_.shape = config.shape;
  layer_.compute = base.decoder().compute;
  WeightLoader loader(checkpoint, layer_.compute);
  if (loader.has("layers.0.0.self_attn.q_proj.bias"))
    config.qkv_bias = BiasKind::kPresent;
  const std::int64_t width = config.shape.width;
  layer_.rotary =
      std::make_unique<RotaryTable>(config.rotary, layer_.compute.dtype, layer_.compute.device);
  project_ = loader.linear({"down_project.0", width}, 2 * width, BiasKind::kPresent);
  layer_.blocks.push_back(load_llama_block(loader, config, names, 0));
  norm_embed_ = loader.norm("norm_embed.0", width, NormKind::kRms, config.eps);
  norm_hidden_ = loader.norm("norm_hidden.0", width, NormKind::kRms, config.eps);
  norm_postattn_ = loader.norm("norm_postattn.0", width, NormKind::kRms, config.eps);
  loader.finish();
  layer_.parameters = loader.parameters();
}

void AdjustLayer::begin(BlockDecoder& decoder, std::span<const std::int64_t> rows) {
  const auto* source = dynamic_cast<const HiddenSource*>(&decoder);
  DLM_CHECK(source != nullptr, "a decoder of {} rows without hidden states", decoder.rows());
  states_.resize(static_cast<std::size_t>(decoder.rows()));
  for (const std::int64_t row : rows) states_[static_cast<std::size_t>(row)] = source->hidden(row);
}

void AdjustLayer::refresh(std::span<RefreshRow> rows) {
  const InferenceScope scope;
  const PackedRows packed = pack_texts(rows, base_.mask_id(), base_.info().vocab_size);
  std::vector<at::Tensor> states;
  for (const RefreshRow& row : rows) states.push_back(states_[static_cast<std::size_t>(row.row)]);
  const at::Tensor h = at::cat(states, 0);
  const at::Tensor e =
      at::embedding(base_.decoder().token_embedding, packed.ids.to(layer_.compute.device));
  const at::Tensor u = at::cat({normalise(norm_embed_, e), normalise(norm_hidden_, h)}, 1);
  const at::Tensor z = decoder_blocks(layer_, linear(project_, u), packed, nullptr);
  const at::Tensor next = normalise(norm_postattn_, z).add_(h);
  ++passes_;
  std::vector<std::int64_t> wanted;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const PackedRow& row = packed.rows[r];
    states_[static_cast<std::size_t>(rows[r].row)] = next.narrow(0, row.offset, row.length);
    for (const std::int64_t position : rows[r].hidden)
      wanted.push_back(row.offset + rows[r].begin + position);
  }
  const at::Tensor logits =
      base_.head_logits_of(next.index_select(0, index_tensor(wanted, next.device())))
          .cpu()
          .contiguous();
  const float* from = logits.const_data_ptr<float>();
  for (RefreshRow& row : rows) {
    for (std::span<float> to : row.logits) {
      std::copy_n(from, to.size(), to.begin());
      from += to.size();
    }
  }
}

}  // namespace dlm
