// Comparing tensors in tests.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <gtest/gtest.h>

namespace dlm::testing {

inline at::Tensor ids_tensor(const std::vector<std::vector<std::int64_t>>& rows) {
  std::size_t width = 0;
  for (const auto& row : rows) width = std::max(width, row.size());
  at::Tensor ids = at::empty(
      {static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(width)}, at::kLong);
  ids.zero_();
  for (std::size_t b = 0; b < rows.size(); ++b) {
    std::copy(rows[b].begin(), rows[b].end(), ids.mutable_data_ptr<std::int64_t>() + b * width);
  }
  return ids;
}

inline at::Tensor float_tensor(const std::vector<double>& values) {
  at::Tensor out = at::empty({static_cast<std::int64_t>(values.size())}, at::kDouble);
  std::copy(values.begin(), values.end(), out.mutable_data_ptr<double>());
  return out;
}

// The largest |actual - expected|; NaN where either holds one.
inline double max_difference(const at::Tensor& actual, const at::Tensor& expected) {
  if (actual.sizes() != expected.sizes()) {
    ADD_FAILURE() << "shape " << actual.sizes() << ", expected " << expected.sizes();
    return 1e300;
  }
  if (actual.numel() == 0)
    return 0;
  return actual.to(at::kDouble).sub(expected.to(at::kDouble)).abs().max().item().toDouble();
}

// Fails unless every |actual - expected| is at most `tolerance`; NaN fails.
inline void expect_close(const at::Tensor& actual, const at::Tensor& expected, double tolerance,
                         const std::string& what = "") {
  const double difference = max_difference(actual, expected);
  EXPECT_TRUE(difference <= tolerance) << what << ": differs by " << difference;
}

}  // namespace dlm::testing
