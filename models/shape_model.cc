#include "models/shape_model.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/random.h"
#include "harness/base/text.h"
#include "models/dit.h"
#include "models/transformer/decoder_model.h"
#include "models/transformer/inference_scope.h"

namespace dlm {
namespace {

constexpr std::string_view kPrefix = "shape:";
constexpr std::string_view kBlockDiffusion = "bd3lm";
constexpr std::string_view kAdjust = "adjust";
constexpr double kSpread = 0.02;

struct Shape {
  std::string kind;
  std::map<std::string, std::int64_t> values;

  std::int64_t at(const std::string& key) const { return values.at(key); }

  bool blocks() const { return kind == kBlockDiffusion; }

  // Every number, so that equal networks have equal names.
  std::string canonical() const {
    std::vector<std::string> pairs;
    for (const auto& [key, value] : values) pairs.push_back(fmt::format("{}={}", key, value));
    return fmt::format("{}{}?{}", kPrefix, kind, fmt::join(pairs, "&"));
  }
};

Shape default_shape(const std::string& kind) {
  Shape shape{kind,
              {{"layers", 12},
               {"hidden", 768},
               {"heads", 12},
               {"vocab", 50257},
               {"length", 1024},
               {"seed", 1}}};
  if (shape.blocks()) {
    shape.values["vocab"] = 50258;
    shape.values["block"] = 4;
  }
  return shape;
}

void read_pair(const std::string& pair, Shape& shape) {
  const auto equals = pair.find('=');
  const std::string key = pair.substr(0, equals);
  if (!shape.values.contains(key)) {
    std::vector<std::string> known;
    for (const auto& [name, value] : shape.values) known.push_back(name);
    throw unknown_name("model shape:" + shape.kind, key, known);
  }
  const std::string text = equals == std::string::npos ? "" : pair.substr(equals + 1);
  const auto value = parse_int(text);
  if (!value || *value < 1 || *value > (std::int64_t{1} << 24))
    throw ConfigError("model shape: " + key, text, "a whole number from 1 to 16777216");
  shape.values[key] = *value;
}

std::string kind_of(std::string_view spec) {
  return std::string(spec.substr(kPrefix.size(), spec.find('?') - kPrefix.size()));
}

void read_pairs(std::string_view spec, Shape& shape) {
  const auto question = spec.find('?');
  if (question == std::string_view::npos)
    return;
  for (const std::string& pair : split(spec.substr(question + 1), '&')) read_pair(pair, shape);
}

Shape parse_shape(std::string_view spec) {
  const std::string kind = kind_of(spec);
  if (kind != kBlockDiffusion && kind != "gpt2")
    throw unknown_name("model shape", kind, std::vector<std::string>{"bd3lm", "gpt2"});
  Shape shape = default_shape(kind);
  read_pairs(spec, shape);
  const std::int64_t head_dim = shape.at("hidden") / shape.at("heads");
  if (shape.at("hidden") % shape.at("heads") != 0 || head_dim % 2 != 0)
    throw ConfigError("model shape: heads", fmt::to_string(shape.at("heads")),
                      "a divisor of hidden that leaves an even number for each");
  if (shape.at("vocab") < 2)
    throw ConfigError("model shape: vocab", fmt::to_string(shape.at("vocab")), "at least 2");
  if (shape.blocks() && shape.at("length") % shape.at("block") != 0)
    throw ConfigError("model shape: block", fmt::to_string(shape.at("block")),
                      "a divisor of length");
  return shape;
}

Shape parse_adjust_shape(std::string_view spec) {
  if (!is_shape(spec) || kind_of(spec) != kAdjust)
    throw ConfigError("adjust", std::string(spec), "a folder, or shape:adjust?seed=1");
  Shape shape{std::string(kAdjust), {{"seed", 1}}};
  read_pairs(spec, shape);
  return shape;
}

class Maker {
 public:
  Maker(const Shape& shape, const Compute& compute) : shape_(shape), compute_(compute) {}

  std::unique_ptr<DitModel> block_diffusion() {
    Dit dit;
    dit.config.shape = decoder_shape();
    dit.config.block_size = shape_.at("block");
    dit.config.mask_id = shape_.at("vocab") - 1;
    fill(dit.decoder);
    const std::int64_t width = shape_.at("hidden"), head_dim = dit.config.shape.head_dim;
    dit.decoder.rotary = std::make_unique<RotaryTable>(RotaryConfig{.head_dim = head_dim},
                                                       compute_.dtype, compute_.device);
    dit.last_keys = layer(width, 2 * width);
    dit.head =
        split_head(weights(shape_.at("vocab"), width), at::zeros({shape_.at("vocab")}), compute_);
    ModelInfo info = this->info(dit.decoder);
    info.is_bound = true;
    return std::make_unique<DitModel>(std::move(dit), std::move(info), BlockSizes::kAny);
  }

  AdjustNetwork adjust(const AdjustConfig& config) {
    std::map<std::string, at::Tensor> tensors;
    for (const auto& [name, shape] : adjust_tensor_shapes(config))
      tensors[name] = shape.size() == 2        ? weights(shape[0], shape[1])
                      : name.ends_with("bias") ? at::zeros(shape)
                                               : at::ones(shape);
    return make_adjust_network(config, tensors, compute_);
  }

  std::unique_ptr<DecoderModel> autoregressive() {
    Decoder decoder;
    fill(decoder);
    decoder.position_embedding =
        weights(shape_.at("length"), shape_.at("hidden")).to(compute_.dtype);
    decoder.head = make_linear(decoder.token_embedding, at::Tensor(), compute_.backend);
    ModelInfo info = this->info(decoder);
    info.bos_id = 0;
    return std::make_unique<DecoderModel>(std::move(decoder), std::move(info));
  }

 private:
  DecoderShape decoder_shape() const {
    const std::int64_t width = shape_.at("hidden"), heads = shape_.at("heads");
    return {shape_.at("vocab"), width,     shape_.at("layers"), heads, heads,
            width / heads,      4 * width, shape_.at("length")};
  }

  ModelInfo info(const Decoder& decoder) const {
    ModelInfo info;
    info.family = shape_.kind;
    info.hidden_size = decoder.shape.width;
    info.vocab_size = decoder.shape.vocab_size;
    info.max_length = decoder.shape.max_length;
    info.parameters = elements_;
    info.dtype = compute_.dtype == at::kFloat  ? "f32"
                 : compute_.dtype == at::kHalf ? "f16"
                                               : "bf16";
    return info;
  }

  void fill(Decoder& decoder) {
    decoder.shape = decoder_shape();
    decoder.compute = compute_;
    const std::int64_t width = decoder.shape.width;
    decoder.token_embedding = weights(decoder.shape.vocab_size, width).to(compute_.dtype);
    for (std::int64_t i = 0; i < decoder.shape.layers; ++i) {
      DecoderBlock block;
      block.attention_norm = norm(width);
      block.qkv = layer(width, 3 * width);
      block.attention_out = layer(width, width);
      block.attention_scale = 1 / std::sqrt(static_cast<double>(decoder.shape.head_dim));
      block.mlp_norm = norm(width);
      block.mlp.up = layer(width, 4 * width);
      block.mlp.down = layer(4 * width, width);
      decoder.blocks.push_back(std::move(block));
    }
    decoder.final_norm = norm(width);
  }

  Norm norm(std::int64_t width) const {
    return {NormKind::kLayer, at::ones({width}, options()), at::zeros({width}, options()), 1e-5};
  }

  Linear layer(std::int64_t inputs, std::int64_t outputs) {
    return make_linear(weights(outputs, inputs).to(compute_.dtype), at::zeros({outputs}, options()),
                       compute_.backend);
  }

  // (rows, columns) f32; element i from draw i of the tensor's own stream.
  at::Tensor weights(std::int64_t rows, std::int64_t columns) {
    const RandomStream stream(static_cast<std::uint64_t>(shape_.at("seed")), Purpose::kWeights,
                              static_cast<std::uint64_t>(tensors_++));
    at::Tensor out = at::empty({rows, columns}, at::kFloat);
    auto* values = out.mutable_data_ptr<float>();
    const std::int64_t count = rows * columns;
    const double scale = kSpread * std::sqrt(12.0) / 4294967296.0;
#pragma omp parallel for schedule(static)
    for (std::int64_t i = 0; i < count; i += 4) {
      const auto words = stream.words(0, static_cast<std::uint64_t>(i));
      for (std::int64_t j = 0; j < std::min<std::int64_t>(4, count - i); ++j)
        values[i + j] = static_cast<float>(
            (static_cast<double>(words[static_cast<std::size_t>(j)]) - 2147483648.0) * scale);
    }
    elements_ += count;
    return out.to(compute_.device);
  }

  at::TensorOptions options() const {
    return at::TensorOptions(compute_.device).dtype(compute_.dtype);
  }

  const Shape& shape_;
  Compute compute_;
  std::int64_t tensors_ = 0;
  std::int64_t elements_ = 0;
};

}  // namespace

bool is_shape(std::string_view spec) {
  return spec.starts_with(kPrefix);
}

LoadedModel make_shape_model(std::string_view spec, const ModelOptions& options) {
  const InferenceScope scope;
  const Shape shape = parse_shape(spec);
  Maker maker(shape, resolve_compute(options));
  LoadedModel loaded;
  loaded.name = shape.canonical();
  loaded.weights_sha256 = sha256_hex(loaded.name);
  loaded.config_json = canonical_json({{"shape", loaded.name}});
  if (shape.blocks())
    loaded.denoiser = maker.block_diffusion();
  else
    loaded.model = maker.autoregressive();
  return loaded;
}

AdjustNetwork make_shape_adjust(std::string_view spec, const HiddenModel& base) {
  const InferenceScope scope;
  const Shape shape = parse_adjust_shape(spec);
  const Json json = {{"model_type", "adjust"},
                     {"base_weights_sha256", sha256_hex(shape.canonical())}};
  return Maker(shape, base.network_compute())
      .adjust(parse_adjust_config(json, base.network_shape(), shape.canonical()));
}

std::string shape_adjust_name(std::string_view spec) {
  return parse_adjust_shape(spec).canonical();
}

}  // namespace dlm
