#include "models/transformer/rotary.h"

#include <algorithm>
#include <numbers>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/where.h>

#include "harness/base/error.h"
#include "models/transformer/row_kernels.h"

namespace dlm {
namespace {

constexpr std::int64_t kFirstLength = 256;

at::Tensor llama3_frequencies(const RotaryConfig& config, const at::Tensor& plain) {
  const auto length = static_cast<double>(config.original_max_length);
  const double low_wavelength = length / config.low_frequency_factor;
  const double high_wavelength = length / config.high_frequency_factor;
  const at::Tensor wavelength = (2 * std::numbers::pi) / plain;
  const at::Tensor stretched = at::where(wavelength > low_wavelength, plain / config.factor, plain);
  const at::Tensor smooth = (length / wavelength - config.low_frequency_factor) /
                            (config.high_frequency_factor - config.low_frequency_factor);
  const at::Tensor blended = (1 - smooth) * stretched / config.factor + smooth * stretched;
  const at::Tensor between =
      wavelength.ge(high_wavelength).logical_and(wavelength.le(low_wavelength));
  return at::where(between, blended, stretched);
}

}  // namespace

at::Tensor rotary_frequencies(const RotaryConfig& config) {
  const at::Tensor exponents =
      at::arange(0, config.head_dim, 2, at::kFloat) / static_cast<double>(config.head_dim);
  const at::Tensor plain = at::pow(config.theta, exponents).reciprocal();
  switch (config.scaling) {
    case RotaryScaling::kNone:
      return plain;
    case RotaryScaling::kLinear:
      return plain / config.factor;
    case RotaryScaling::kLlama3:
      return llama3_frequencies(config, plain);
  }
  DLM_CHECK(false, "rotary scaling {}", static_cast<int>(config.scaling));
}

at::Tensor rotate(const at::Tensor& x, const RotaryRows& rows) {
  const std::int64_t half = x.size(-1) / 2;
  at::Tensor out = x.mul(rows.cos);
  const at::Tensor sin = rows.sin.narrow(-1, 0, half);
  out.narrow(-1, 0, half).addcmul_(x.narrow(-1, half, half), sin, -1);
  out.narrow(-1, half, half).addcmul_(x.narrow(-1, 0, half), sin);
  return out;
}

void rotate_in_place(const at::Tensor& x, const RotaryRows& rows) {
  const bool brain = x.scalar_type() == at::kBFloat16;
  const bool fused = x.is_cpu() && (brain || x.scalar_type() == at::kFloat) &&
                     x.stride(1) == x.size(2) && vector_kernels_work();
  if (!fused) {
    x.copy_(rotate(x, rows));
    return;
  }
  auto* heads = static_cast<char*>(x.mutable_data_ptr());
  const auto* cos = static_cast<const char*>(rows.cos.const_data_ptr());
  const auto* sin = static_cast<const char*>(rows.sin.const_data_ptr());
  const std::int64_t bytes = x.element_size();
#pragma omp parallel for schedule(static)
  for (std::int64_t row = 0; row < x.size(0); ++row) {
    const std::int64_t at = row * rows.cos.stride(0) * bytes;
    rotate_row(
        {heads + row * x.stride(0) * bytes, x.size(1), x.size(2), cos + at, sin + at, brain});
  }
}

RotaryTable::RotaryTable(const RotaryConfig& config, at::ScalarType dtype, at::Device device)
    : frequencies_(rotary_frequencies(config)), dtype_(dtype), device_(device) {}

RotaryRows RotaryTable::rows(const at::Tensor& positions, std::int64_t length) const {
  const std::lock_guard lock(mutex_);
  if (!cos_.defined() || cos_.size(0) < length) {
    const std::int64_t held = cos_.defined() ? cos_.size(0) : kFirstLength;
    const std::int64_t wanted = std::max(length, 2 * held);
    const at::Tensor angles = at::outer(at::arange(wanted, at::kFloat), frequencies_);
    const at::Tensor both = at::cat({angles, angles}, 1);
    cos_ = both.cos().to(device_, dtype_);
    sin_ = both.sin().to(device_, dtype_);
  }
  return {cos_.index_select(0, positions).unsqueeze(1),
          sin_.index_select(0, positions).unsqueeze(1)};
}

}  // namespace dlm
