#include "models/training/head_loss.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <c10/util/BFloat16.h>

#include "harness/base/error.h"
#include "models/diffusion_transformer/noise.h"
#include "models/training/products.h"
#include "models/training/row_loops.h"

namespace dlm {
namespace {

constexpr float kMaskLogit = -1e6F;  // as published

// The gradient of weight x term in a row's logits is factor e^(logit - shift) away from the mask,
// less `target` at the target.
struct RowGradient {
  double term = 0;
  double shift = 0;
  double factor = 0;
  double target = 0;
};

RowGradient cross_entropy(double log_sum, double logit) {
  return {log_sum - logit, log_sum, 1, 1};
}

// Source: bd3lms diffusion.py _sedd_parameterization, _score_entropy.
RowGradient score_entropy(double log_sum, double logit, double t, std::int64_t vocab_size) {
  const NoiseLevel level = noise_level(NoiseConvention::kClipped, t);
  const double ratio = 1 / std::expm1(level.sigma);
  const double offset =
      std::log(std::expm1(level.sigma)) + std::log(static_cast<double>(vocab_size - 1));
  const double entropy =
      std::exp(log_sum - offset) - ratio * (logit - offset) + ratio * (std::log(ratio) - 1);
  return {level.rate * entropy, offset, level.rate, level.rate * ratio};
}

class LogitRows {
 public:
  LogitRows(const HeadLoss& loss, const at::Tensor& logits)
      : loss_(loss),
        data_(static_cast<char*>(logits.mutable_data_ptr())),
        columns_(logits.size(1)),
        brain_(logits.scalar_type() == at::kBFloat16) {}

  RowGradient measure(std::int64_t row, const LossRow& of) {
    put(row, loss_.mask_id, kMaskLogit);
    const double log_sum = log_sum_exp(values(row));
    const double logit = get(row, of.target);
    return loss_.kind == LossKind::kCrossEntropy ? cross_entropy(log_sum, logit)
                                                 : score_entropy(log_sum, logit, of.t, columns_);
  }

  // scale x gradient in place of the logits.
  void differentiate(std::int64_t row, const LossRow& of, const RowGradient& gradient,
                     double scale) {
    exp_scaled(values(row), static_cast<float>(gradient.shift),
               static_cast<float>(scale * gradient.factor));
    put(row, loss_.mask_id, 0);
    put(row, of.target, static_cast<float>(get(row, of.target) - scale * gradient.target));
  }

 private:
  void* begin(std::int64_t row) const { return data_ + row * columns_ * (brain_ ? 2 : 4); }

  ValueRow values(std::int64_t row) const { return {begin(row), columns_, brain_}; }

  double get(std::int64_t row, std::int64_t column) const {
    if (brain_)
      return static_cast<double>(
          static_cast<float>(static_cast<const c10::BFloat16*>(begin(row))[column]));
    return static_cast<double>(static_cast<const float*>(begin(row))[column]);
  }

  void put(std::int64_t row, std::int64_t column, float value) const {
    if (brain_)
      static_cast<c10::BFloat16*>(begin(row))[column] = value;
    else
      static_cast<float*>(begin(row))[column] = value;
  }

  const HeadLoss& loss_;
  char* data_;
  std::int64_t columns_;
  bool brain_;
};

void check_finite(const HeadLoss& loss, const std::vector<double>& terms) {
  for (std::size_t row = 0; row < terms.size(); ++row) {
    if (!std::isfinite(terms[row])) {
      throw InternalError(fmt::format("training: the loss of sequence {}, position {} is {}",
                                      loss.rows[row].sequence, loss.rows[row].position,
                                      terms[row]));
    }
  }
}

// Calls visit(first, logits) for each chunk of rows.
template <class Visit>
void each_chunk(const HeadLoss& loss, const Affine& head, const at::Tensor& rows,
                const Visit& visit) {
  for (std::int64_t first = 0; first < rows.size(0); first += loss.chunk_rows) {
    const std::int64_t count = std::min(loss.chunk_rows, rows.size(0) - first);
    visit(first, product(rows.narrow(0, first, count), head.weight, head.bias));
  }
}

}  // namespace

std::vector<double> head_terms(const HeadLoss& loss, const Affine& head, const at::Tensor& rows) {
  std::vector<double> terms(loss.rows.size());
  each_chunk(loss, head, rows, [&](std::int64_t first, const at::Tensor& logits) {
    LogitRows in(loss, logits);
#pragma omp parallel for schedule(static)
    for (std::int64_t row = 0; row < logits.size(0); ++row) {
      const auto at = static_cast<std::size_t>(first + row);
      terms[at] = in.measure(row, loss.rows[at]).term;
    }
  });
  check_finite(loss, terms);
  return terms;
}

std::vector<double> head_backward(const HeadLoss& loss, const Affine& head, const at::Tensor& rows,
                                  const HeadGradient& gradient) {
  std::vector<double> terms(loss.rows.size());
  each_chunk(loss, head, rows, [&](std::int64_t first, const at::Tensor& logits) {
    LogitRows in(loss, logits);
#pragma omp parallel for schedule(static)
    for (std::int64_t row = 0; row < logits.size(0); ++row) {
      const auto at = static_cast<std::size_t>(first + row);
      const RowGradient measured = in.measure(row, loss.rows[at]);
      terms[at] = measured.term;
      in.differentiate(row, loss.rows[at], measured, gradient.scale * loss.rows[at].weight);
    }
    const std::int64_t count = logits.size(0);
    add_weight_gradient(gradient.head.weight, logits, rows.narrow(0, first, count));
    add_bias_gradient(gradient.head.bias, logits);
    gradient.rows.narrow(0, first, count).copy_(product_backward(logits, head.weight));
  });
  check_finite(loss, terms);
  return terms;
}

}  // namespace dlm
