#include "tests/models/dit/naive_network.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros.h>

#include <fmt/format.h>

namespace dlm::testing {
namespace {

at::Tensor silu_of(const at::Tensor& x) {
  return x * at::sigmoid(x);
}

at::Tensor gelu_of(const at::Tensor& x) {
  return 0.5 * x * (1 + at::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}

at::Tensor norm_of(const at::Tensor& x, const at::Tensor& weight) {
  const at::Tensor centred = x - x.mean(1, true);
  return centred / (centred * centred).mean(1, true).add(1e-5).sqrt() * weight;
}

at::Tensor ids_tensor(const std::vector<std::int64_t>& ids) {
  at::Tensor out = at::empty({std::ssize(ids)}, at::kLong);
  std::copy(ids.begin(), ids.end(), out.mutable_data_ptr<std::int64_t>());
  return out;
}

}  // namespace

at::Tensor NaiveNetwork::logits(const std::vector<std::int64_t>& ids, std::int64_t length,
                                double sigma, const Sees& sees) {
  length_ = length;
  const auto rows = std::ssize(ids);
  hidden_ = at::zeros({rows, rows}, at::kBool);
  for (std::int64_t q = 0; q < rows; ++q) {
    for (std::int64_t k = 0; k < rows; ++k)
      hidden_.mutable_data_ptr<bool>()[q * rows + k] = !sees(q, k);
  }
  if (has("sigma_map.mlp.0.weight"))
    condition_ = make_condition(sigma);
  at::Tensor x = weight("vocab_embed.embedding").index_select(0, ids_tensor(ids));
  for (std::int64_t layer = 0; has(fmt::format("blocks.{}.norm1.weight", layer)); ++layer)
    x = block(x, fmt::format("blocks.{}.", layer));
  const Parts end = modulation("output_layer.", 0);
  x = norm_of(x, weight("output_layer.norm_final.weight")) * (1 + end.scale) + end.shift;
  x = x.matmul(weight("output_layer.linear.weight").t()) + weight("output_layer.linear.bias");
  return x.narrow(0, 0, length_);
}

at::Tensor NaiveNetwork::make_condition(double sigma) const {
  at::Tensor waves = at::empty({256}, at::kDouble);
  for (std::int64_t i = 0; i < 128; ++i) {
    const double angle = sigma * std::pow(10000.0, -static_cast<double>(i) / 128);
    waves.mutable_data_ptr<double>()[i] = std::cos(angle);
    waves.mutable_data_ptr<double>()[128 + i] = std::sin(angle);
  }
  const at::Tensor inner =
      silu_of(weight("sigma_map.mlp.0.weight").matmul(waves) + weight("sigma_map.mlp.0.bias"));
  return silu_of(weight("sigma_map.mlp.2.weight").matmul(inner) + weight("sigma_map.mlp.2.bias"));
}

// Parts from index `first` on; the end has no gate.
NaiveNetwork::Parts NaiveNetwork::modulation(const std::string& name, std::int64_t first) const {
  const std::int64_t width = weight("vocab_embed.embedding").size(1);
  if (!condition_.defined()) {
    const at::Tensor zero = at::zeros({width}, at::kDouble);
    return {zero, zero, zero + 1};
  }
  const at::Tensor all = weight(name + "adaLN_modulation.weight").matmul(condition_) +
                         weight(name + "adaLN_modulation.bias");
  const auto part = [&](std::int64_t index) {
    return index * width < all.size(0) ? all.narrow(0, index * width, width) : at::Tensor();
  };
  return {part(first), part(first + 1), part(first + 2)};
}

at::Tensor NaiveNetwork::rotated(const at::Tensor& x) const {
  const std::int64_t half = x.size(1) / 2;
  at::Tensor cos = at::empty({x.size(0), half}, at::kDouble);
  at::Tensor sin = at::empty({x.size(0), half}, at::kDouble);
  for (std::int64_t i = 0; i < cos.numel(); ++i) {
    const double angle =
        static_cast<double>(i / half % length_) *
        std::pow(10000.0, -static_cast<double>(i % half) / static_cast<double>(half));
    cos.mutable_data_ptr<double>()[i] = std::cos(angle);
    sin.mutable_data_ptr<double>()[i] = std::sin(angle);
  }
  const at::Tensor low = x.narrow(1, 0, half);
  const at::Tensor high = x.narrow(1, half, half);
  return at::cat({low * cos - high * sin, high * cos + low * sin}, 1);
}

at::Tensor NaiveNetwork::attention(const at::Tensor& qkv) const {
  const std::int64_t width = qkv.size(1) / 3;
  const std::int64_t size = width / heads_;
  std::vector<at::Tensor> heads;
  for (std::int64_t head = 0; head < heads_; ++head) {
    const at::Tensor q = rotated(qkv.narrow(1, head * size, size));
    const at::Tensor k = rotated(qkv.narrow(1, width + head * size, size));
    const at::Tensor v = qkv.narrow(1, 2 * width + head * size, size);
    const at::Tensor scores = (q.matmul(k.t()) / std::sqrt(static_cast<double>(size)))
                                  .masked_fill(hidden_, -std::numeric_limits<double>::infinity());
    heads.push_back(at::softmax(scores, 1).matmul(v));
  }
  return at::cat(heads, 1);
}

at::Tensor NaiveNetwork::block(const at::Tensor& x, const std::string& name) const {
  const Parts first = modulation(name, 0);
  const Parts second = modulation(name, 3);
  at::Tensor in = norm_of(x, weight(name + "norm1.weight")) * (1 + first.scale) + first.shift;
  const at::Tensor mixed = attention(in.matmul(weight(name + "attn_qkv.weight").t()));
  const at::Tensor middle = x + first.gate * mixed.matmul(weight(name + "attn_out.weight").t());
  in = norm_of(middle, weight(name + "norm2.weight")) * (1 + second.scale) + second.shift;
  const at::Tensor inner =
      gelu_of(in.matmul(weight(name + "mlp.0.weight").t()) + weight(name + "mlp.0.bias"));
  return middle + second.gate * (inner.matmul(weight(name + "mlp.2.weight").t()) +
                                 weight(name + "mlp.2.bias"));
}

}  // namespace dlm::testing
