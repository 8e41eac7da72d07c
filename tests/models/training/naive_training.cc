#include "tests/models/training/naive_training.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros.h>

#include <fmt/format.h>

#include "tests/models/dit/naive_dit.h"

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

// One sequence.
class NaiveSequence {
 public:
  NaiveSequence(const NamedTensors& weights, const NaiveCase& of, std::int64_t length)
      : weights_(weights), of_(of), length_(length) {}

  // Logits of the first L rows of `ids`, which has L or, with the clean half, 2 L.
  at::Tensor logits(const std::vector<std::int64_t>& ids, double sigma) {
    const auto rows = std::ssize(ids);
    hidden_ = at::zeros({rows, rows}, at::kBool);
    for (std::int64_t q = 0; q < rows; ++q) {
      for (std::int64_t k = 0; k < rows; ++k)
        hidden_.mutable_data_ptr<bool>()[q * rows + k] = !allowed(q, k);
    }
    adaln_ = weights_.contains("backbone.sigma_map.mlp.0.weight");
    if (adaln_)
      condition_ = make_condition(sigma);
    at::Tensor x = weight("vocab_embed.embedding").index_select(0, ids_tensor(ids));
    for (std::int64_t layer = 0; layer < of_.layers; ++layer)
      x = block(x, fmt::format("blocks.{}.", layer));
    const Parts end = modulation("output_layer.", 0);
    x = norm_of(x, weight("output_layer.norm_final.weight")) * (1 + end.scale) + end.shift;
    x = x.matmul(weight("output_layer.linear.weight").t()) + weight("output_layer.linear.bias");
    return x.narrow(0, 0, length_);
  }

 private:
  struct Parts {
    at::Tensor shift, scale, gate;
  };

  bool allowed(std::int64_t q, std::int64_t k) const {
    if (of_.objective == "ar")
      return k <= q;
    return of_.objective != "bd3lm" || two_stream_allowed(q, k, length_, of_.block_size);
  }

  at::Tensor weight(const std::string& name) const { return weights_.at("backbone." + name); }

  at::Tensor make_condition(double sigma) const {
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

  at::Tensor attention(const at::Tensor& qkv) const {
    const std::int64_t width = qkv.size(1) / 3;
    const std::int64_t size = width / of_.heads;
    std::vector<at::Tensor> heads;
    for (std::int64_t head = 0; head < of_.heads; ++head) {
      const at::Tensor q = rotated(qkv.narrow(1, head * size, size));
      const at::Tensor k = rotated(qkv.narrow(1, width + head * size, size));
      const at::Tensor v = qkv.narrow(1, 2 * width + head * size, size);
      const at::Tensor scores = (q.matmul(k.t()) / std::sqrt(static_cast<double>(size)))
                                    .masked_fill(hidden_, -std::numeric_limits<double>::infinity());
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

  const NamedTensors& weights_;
  const NaiveCase& of_;
  std::int64_t length_;
  bool adaln_ = false;
  at::Tensor condition_;
  at::Tensor hidden_;  // (rows, rows) bool
};

struct Term {
  std::int64_t row = 0;
  std::int64_t target = 0;
  double weight = 1;
  double t = 1;
};

double sigma_of(double t) {
  return std::min(-std::log1p(-t), -std::log(1e-3));
}

at::Tensor naive_term(const NaiveCase& of, const at::Tensor& logits, const Term& term) {
  const at::Tensor row = logits.select(0, term.row);
  const std::int64_t after = row.size(0) - of.mask_id - 1;
  const at::Tensor others =
      at::cat({row.narrow(0, 0, of.mask_id), row.narrow(0, of.mask_id + 1, after)}, 0);
  const at::Tensor own = row.select(0, term.target);
  if (of.objective != "sedd")
    return at::logsumexp(others, 0) - own;
  const double growth = std::expm1(sigma_of(term.t));
  const double offset = std::log(growth) + std::log(static_cast<double>(row.size(0) - 1));
  const double constant = (std::log(1 / growth) - 1) / growth;
  return growth / term.t * ((others - offset).exp().sum() - (own - offset) / growth + constant);
}

}  // namespace

at::Tensor naive_loss(const NamedTensors& weights, const NaiveCase& of, const at::Tensor& ids,
                      const std::vector<BlockNoise>& noise) {
  const std::int64_t length = ids.size(1) - (of.objective == "ar" ? 1 : 0);
  at::Tensor total = at::zeros({}, at::kDouble);
  for (std::int64_t b = 0; b < ids.size(0); ++b) {
    const auto* from = ids.const_data_ptr<std::int64_t>() + b * ids.size(1);
    std::vector<std::int64_t> input(from, from + length);
    std::vector<Term> terms;
    double t_of = 0;
    for (std::int64_t i = 0; of.objective == "ar" && i < length; ++i)
      terms.push_back({i, from[i + 1], 1, 1});
    for (const BlockNoise& block : noise) {
      for (std::size_t i = 0; block.row == b && i < block.masked.size(); ++i) {
        const std::int64_t row = block.block * of.block_size + block.masked[i];
        terms.push_back({row, from[row], block.weight, block.t});
        input[static_cast<std::size_t>(row)] = of.mask_id;
        t_of = block.t;
      }
    }
    if (of.objective == "bd3lm")
      input.insert(input.end(), from, from + length);
    const double sigma = of.objective == "sedd" && t_of > 0 ? sigma_of(t_of) : 0;
    const at::Tensor logits = NaiveSequence(weights, of, length).logits(input, sigma);
    for (const Term& term : terms) total = total + term.weight * naive_term(of, logits, term);
  }
  return total;
}

}  // namespace dlm::testing
