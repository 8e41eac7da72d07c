#include "tests/models/transformer/naive_decoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "models/checkpoint/checkpoint.h"

namespace dlm::testing {
namespace {

Vector plus(Vector a, const Vector& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

Vector slice(const Vector& x, std::size_t begin, std::size_t count) {
  const auto first = x.begin() + static_cast<std::ptrdiff_t>(begin);
  return {first, first + static_cast<std::ptrdiff_t>(count)};
}

double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

double gelu(double x, bool tanh_form) {
  if (!tanh_form)
    return 0.5 * x * (1 + std::erf(x / std::numbers::sqrt2));
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}

double log_sum_exp(const Vector& x) {
  const double top = *std::max_element(x.begin(), x.end());
  double sum = 0;
  for (const double value : x) sum += std::exp(value - top);
  return top + std::log(sum);
}

Json config_of(const std::string& text) {
  return parse_json(text, "naive");
}

}  // namespace

NaiveDecoder::NaiveDecoder(const std::string& folder) {
  const Checkpoint checkpoint = Checkpoint::open(folder);
  for (const auto& [name, view] : checkpoint.tensors) {
    std::string bare = name;
    for (const std::string prefix : {"transformer.", "model."}) {
      if (bare.starts_with(prefix))
        bare = bare.substr(prefix.size());
    }
    std::vector<float> values(static_cast<std::size_t>(view.elements()));
    std::memcpy(values.data(), view.bytes.data(), view.bytes.size());
    tensors_[bare] = Vector(values.begin(), values.end());
  }
  config_text_ = checkpoint.config_json;
  const Json config = config_of(config_text_);
  gpt2_ = config["model_type"] == "gpt2";
  vocab_size_ = config["vocab_size"];
  layers_ = config[gpt2_ ? "n_layer" : "num_hidden_layers"];
  heads_ = config[gpt2_ ? "n_head" : "num_attention_heads"];
  kv_heads_ = gpt2_ ? heads_ : config.value("num_key_value_heads", heads_);
  const std::size_t width = config[gpt2_ ? "n_embd" : "hidden_size"];
  head_dim_ = config.value("head_dim", width / heads_);
  eps_ = gpt2_ ? config.value("layer_norm_epsilon", 1e-5) : config.value("rms_norm_eps", 1e-6);
}

const Vector& NaiveDecoder::tensor(const std::string& name) const {
  return tensors_.at(name);
}

Vector NaiveDecoder::linear(const std::string& name, const Vector& x) const {
  const Vector& weight = tensor(name + ".weight");
  const std::size_t outputs = weight.size() / x.size();
  Vector y(outputs, 0.0);
  for (std::size_t o = 0; o < outputs; ++o) {
    for (std::size_t i = 0; i < x.size(); ++i)
      y[o] += x[i] * (gpt2_ ? weight[i * outputs + o] : weight[o * x.size() + i]);
  }
  return has(name + ".bias") ? plus(y, tensor(name + ".bias")) : y;
}

Vector NaiveDecoder::norm(const std::string& name, const Vector& x) const {
  const auto width = static_cast<double>(x.size());
  double mean = 0;
  if (gpt2_) {
    for (const double value : x) mean += value / width;
  }
  double variance = 0;
  for (const double value : x) variance += (value - mean) * (value - mean) / width;
  Vector y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i)
    y[i] = (x[i] - mean) / std::sqrt(variance + eps_) * tensor(name + ".weight")[i];
  return gpt2_ ? plus(y, tensor(name + ".bias")) : y;
}

Vector NaiveDecoder::mlp(const std::string& block, const Vector& x) const {
  if (gpt2_) {
    Vector inner = linear(block + "mlp.c_fc", x);
    const bool tanh_form =
        config_of(config_text_).value("activation_function", "gelu_new") != "gelu";
    for (double& value : inner) value = gelu(value, tanh_form);
    return linear(block + "mlp.c_proj", inner);
  }
  Vector gate = linear(block + "mlp.gate_proj", x);
  const Vector up = linear(block + "mlp.up_proj", x);
  for (std::size_t i = 0; i < gate.size(); ++i) gate[i] *= up[i] / (1 + std::exp(-gate[i]));
  return linear(block + "mlp.down_proj", gate);
}

double NaiveDecoder::frequency(std::size_t pair) const {
  const Json config = config_of(config_text_);
  Json rope = config.value("rope_parameters", config.value("rope_scaling", Json()));
  if (rope.is_null())
    rope = Json::object();
  const double theta = rope.value("rope_theta", config.value("rope_theta", 10000.0));
  const double plain =
      std::pow(theta, -2 * static_cast<double>(pair) / static_cast<double>(head_dim_));
  const std::string type = rope.value("rope_type", rope.value("type", "default"));
  if (type == "default")
    return plain;
  const double factor = rope["factor"];
  if (type == "linear")
    return plain / factor;
  // Llama 3.1: waves shorter than one limit stay, longer than another are stretched, and those
  // between are blended by how often they turn within the original length.
  const double length = rope["original_max_position_embeddings"];
  const double low = rope["low_freq_factor"];
  const double high = rope["high_freq_factor"];
  const double turns = length * plain / (2 * std::numbers::pi);
  if (turns < low)
    return plain / factor;
  if (turns > high)
    return plain;
  const double smooth = (turns - low) / (high - low);
  return (1 - smooth) * plain / factor + smooth * plain;
}

Vector NaiveDecoder::rotated(const Vector& head, std::size_t position) const {
  if (gpt2_)
    return head;
  Vector out(head.size());
  const std::size_t half = head.size() / 2;
  for (std::size_t i = 0; i < half; ++i) {
    const double angle = static_cast<double>(position) * frequency(i);
    out[i] = head[i] * std::cos(angle) - head[i + half] * std::sin(angle);
    out[i + half] = head[i + half] * std::cos(angle) + head[i] * std::sin(angle);
  }
  return out;
}

Matrix NaiveDecoder::attention(const std::string& block, const Matrix& x,
                               std::int64_t layer) const {
  const Json config = config_of(config_text_);
  double scale = 1 / std::sqrt(static_cast<double>(head_dim_));
  if (!config.value("scale_attn_weights", true))
    scale = 1;
  if (config.value("scale_attn_by_inverse_layer_idx", false))
    scale /= static_cast<double>(layer + 1);
  Matrix q, k, v;
  for (const Vector& row : x) {
    if (gpt2_) {
      const Vector fused = linear(block + "attn.c_attn", row);
      q.push_back(slice(fused, 0, row.size()));
      k.push_back(slice(fused, row.size(), row.size()));
      v.push_back(slice(fused, 2 * row.size(), row.size()));
    } else {
      q.push_back(linear(block + "self_attn.q_proj", row));
      k.push_back(linear(block + "self_attn.k_proj", row));
      v.push_back(linear(block + "self_attn.v_proj", row));
    }
  }
  Matrix out;
  for (std::size_t t = 0; t < x.size(); ++t) {
    Vector mixed;
    for (std::size_t h = 0; h < heads_; ++h) {
      const std::size_t g = h / (heads_ / kv_heads_) * head_dim_;
      const Vector query = rotated(slice(q[t], h * head_dim_, head_dim_), t);
      Vector scores;
      for (std::size_t s = 0; s <= t; ++s)
        scores.push_back(scale * dot(query, rotated(slice(k[s], g, head_dim_), s)));
      const double total = log_sum_exp(scores);
      Vector sum(head_dim_, 0.0);
      for (std::size_t s = 0; s <= t; ++s) {
        for (std::size_t i = 0; i < head_dim_; ++i)
          sum[i] += std::exp(scores[s] - total) * v[s][g + i];
      }
      mixed.insert(mixed.end(), sum.begin(), sum.end());
    }
    out.push_back(linear(block + (gpt2_ ? "attn.c_proj" : "self_attn.o_proj"), mixed));
  }
  return out;
}

Matrix NaiveDecoder::hidden(const std::vector<std::int64_t>& ids) const {
  const Vector& table = tensor(gpt2_ ? "wte.weight" : "embed_tokens.weight");
  const std::size_t width = table.size() / vocab_size_;
  Matrix x;
  for (std::size_t t = 0; t < ids.size(); ++t) {
    x.push_back(slice(table, static_cast<std::size_t>(ids[t]) * width, width));
    if (gpt2_)
      x[t] = plus(x[t], slice(tensor("wpe.weight"), t * width, width));
  }
  for (std::int64_t layer = 0; layer < layers_; ++layer) {
    const std::string block = fmt::format("{}.{}.", gpt2_ ? "h" : "layers", layer);
    Matrix normed;
    for (const Vector& row : x)
      normed.push_back(norm(block + (gpt2_ ? "ln_1" : "input_layernorm"), row));
    const Matrix mixed = attention(block, normed, layer);
    for (std::size_t t = 0; t < x.size(); ++t) {
      x[t] = plus(x[t], mixed[t]);
      const Vector row = norm(block + (gpt2_ ? "ln_2" : "post_attention_layernorm"), x[t]);
      x[t] = plus(x[t], mlp(block, row));
    }
  }
  for (Vector& row : x) row = norm(gpt2_ ? "ln_f" : "norm", row);
  return x;
}

Matrix NaiveDecoder::logits(const std::vector<std::int64_t>& ids) const {
  const Vector& head = has("lm_head.weight") ? tensor("lm_head.weight")
                                             : tensor(gpt2_ ? "wte.weight" : "embed_tokens.weight");
  Matrix out;
  for (const Vector& row : hidden(ids)) {
    Vector scores;
    for (std::size_t token = 0; token < vocab_size_; ++token)
      scores.push_back(dot(row, slice(head, token * row.size(), row.size())));
    out.push_back(scores);
  }
  return out;
}

Vector NaiveDecoder::nll(const std::vector<std::int64_t>& ids) const {
  const Matrix scores = logits(ids);
  Vector out;
  for (std::size_t i = 1; i < ids.size(); ++i)
    out.push_back(log_sum_exp(scores[i - 1]) - scores[i - 1][static_cast<std::size_t>(ids[i])]);
  return out;
}

}  // namespace dlm::testing
