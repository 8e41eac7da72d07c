#include "tests/models/dit/naive_dit.h"

#include <cmath>
#include <limits>
#include <numbers>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros.h>

#include <fmt/format.h>

#include "models/checkpoint/weights.h"

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

class NaiveDit {
 public:
  NaiveDit(const std::string& folder, const NaiveInput& input)
      : checkpoint_(Checkpoint::open(folder)),
        input_(input),
        length_(std::ssize(input.x_t)),
        rows_(length_ + std::ssize(input.x_0)) {
    prefix_ = checkpoint_.tensors.contains("backbone.vocab_embed.embedding") ? "backbone." : "";
    adaln_ = checkpoint_.tensors.contains(prefix_ + "sigma_map.mlp.0.weight");
    if (adaln_)
      condition_ = make_condition();
    visible_ = at::zeros({rows_, rows_}, at::kBool);
    for (std::int64_t q = 0; q < rows_; ++q) {
      for (std::int64_t k = 0; k < rows_; ++k) {
        visible_.mutable_data_ptr<bool>()[q * rows_ + k] =
            input.x_0.empty() || two_stream_allowed(q, k, length_, input.block_size);
      }
    }
  }

  at::Tensor logits() const {
    std::vector<std::int64_t> ids = input_.x_t;
    ids.insert(ids.end(), input_.x_0.begin(), input_.x_0.end());
    const at::Tensor embedding = weight("vocab_embed.embedding");
    std::vector<at::Tensor> embedded;
    for (const std::int64_t id : ids) embedded.push_back(embedding.select(0, id));
    at::Tensor x = at::stack(embedded);
    for (std::int64_t layer = 0; has(fmt::format("blocks.{}.norm1.weight", layer)); ++layer)
      x = block(x, fmt::format("blocks.{}.", layer));
    const auto [shift, scale, gate] = modulation("output_layer.", 0);
    x = norm_of(x, weight("output_layer.norm_final.weight")) * (1 + scale) + shift;
    x = x.matmul(weight("output_layer.linear.weight").t()) + weight("output_layer.linear.bias");
    return x.narrow(0, 0, length_);
  }

 private:
  struct Parts {
    at::Tensor shift, scale, gate;
  };

  bool has(const std::string& name) const { return checkpoint_.tensors.contains(prefix_ + name); }

  at::Tensor weight(const std::string& name) const {
    return as_tensor(checkpoint_.tensors.at(prefix_ + name)).to(at::kDouble);
  }

  at::Tensor make_condition() const {
    at::Tensor waves = at::empty({256}, at::kDouble);
    for (std::int64_t i = 0; i < 128; ++i) {
      const double angle = input_.sigma * std::pow(10000.0, -static_cast<double>(i) / 128);
      waves.mutable_data_ptr<double>()[i] = std::cos(angle);
      waves.mutable_data_ptr<double>()[128 + i] = std::sin(angle);
    }
    const at::Tensor inner =
        silu_of(weight("sigma_map.mlp.0.weight").matmul(waves) + weight("sigma_map.mlp.0.bias"));
    return silu_of(weight("sigma_map.mlp.2.weight").matmul(inner) + weight("sigma_map.mlp.2.bias"));
  }

  // Parts from index `first` on; the end has no gate.
  Parts modulation(const std::string& name, std::int64_t first) const {
    const std::int64_t width = weight("vocab_embed.embedding").size(1);
    if (!adaln_) {
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

  at::Tensor rotated(const at::Tensor& x) const {
    const std::int64_t half = x.size(1) / 2;
    at::Tensor out = at::empty({rows_, 2 * half}, at::kDouble);
    const at::Tensor in = x.contiguous();
    for (std::int64_t row = 0; row < rows_; ++row) {
      const double* from = in.const_data_ptr<double>() + row * 2 * half;
      double* to = out.mutable_data_ptr<double>() + row * 2 * half;
      for (std::int64_t i = 0; i < half; ++i) {
        const double angle = static_cast<double>(row % length_) *
                             std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(half));
        to[i] = from[i] * std::cos(angle) - from[half + i] * std::sin(angle);
        to[half + i] = from[half + i] * std::cos(angle) + from[i] * std::sin(angle);
      }
    }
    return out;
  }

  at::Tensor attention(const at::Tensor& qkv) const {
    const std::int64_t width = qkv.size(1) / 3;
    const std::int64_t size = width / input_.heads;
    std::vector<at::Tensor> heads;
    for (std::int64_t head = 0; head < input_.heads; ++head) {
      const at::Tensor q = rotated(qkv.narrow(1, head * size, size));
      const at::Tensor k = rotated(qkv.narrow(1, width + head * size, size));
      const at::Tensor v = qkv.narrow(1, 2 * width + head * size, size);
      const at::Tensor scores =
          (q.matmul(k.t()) / std::sqrt(static_cast<double>(size)))
              .masked_fill(visible_.logical_not(), -std::numeric_limits<double>::infinity());
      heads.push_back(at::softmax(scores, 1).matmul(v));
    }
    return at::cat(heads, 1);
  }

  at::Tensor block(const at::Tensor& x, const std::string& name) const {
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

  Checkpoint checkpoint_;
  const NaiveInput& input_;
  std::int64_t length_, rows_;
  std::string prefix_;
  bool adaln_ = false;
  at::Tensor condition_;
  at::Tensor visible_;  // (rows, rows) bool
};

}  // namespace

bool two_stream_allowed(std::int64_t q, std::int64_t k, std::int64_t length,
                        std::int64_t block_size) {
  const bool clean_q = q >= length;
  const bool clean_k = k >= length;
  const std::int64_t block_q = (q % length) / block_size;
  const std::int64_t block_k = (k % length) / block_size;
  const bool own = clean_q == clean_k && block_q == block_k;
  const bool earlier = !clean_q && clean_k && block_q > block_k;
  const bool causal = clean_q && clean_k && block_q >= block_k;
  return own || earlier || causal;
}

at::Tensor naive_dit_logits(const std::string& folder, const NaiveInput& input) {
  return NaiveDit(folder, input).logits();
}

double naive_subs_term(const at::Tensor& logits, std::int64_t row, std::int64_t target) {
  const at::Tensor kept = logits.select(0, row).narrow(0, 0, logits.size(1) - 1);
  return -at::log_softmax(kept, 0).select(0, target).item().toDouble();
}

}  // namespace dlm::testing
