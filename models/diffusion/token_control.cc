#include "models/diffusion/token_control.h"

namespace dlm {

TokenControl::TokenControl(std::int64_t length, std::int64_t first, std::int64_t replicates)
    : length_(length),
      first_(first),
      replicates_(replicates),
      weight_(static_cast<std::size_t>(length * replicates), 0.0),
      sum_(weight_.size(), 0.0),
      count_(weight_.size(), 0) {}

void TokenControl::add(std::int64_t replicate, std::int64_t position, double weight, double term) {
  const std::size_t i = at(replicate, position);
  weight_[i] += weight;
  sum_[i] += term;
  ++count_[i];
}

std::vector<double> TokenControl::corrections() const {
  const auto length = static_cast<std::size_t>(length_);
  std::vector<double> all_sum(length, 0.0);
  std::vector<std::int64_t> all_count(length, 0);
  for (std::size_t i = 0; i < sum_.size(); ++i) {
    all_sum[i % length] += sum_[i];
    all_count[i % length] += count_[i];
  }
  std::vector<double> corrections;
  for (std::int64_t g = 0; g < replicates_; ++g) {
    double total = 0;
    double seen = 0;
    for (std::int64_t l = first_; l < length_; ++l) {
      total += all_sum[at(0, l)] - sum_[at(g, l)];
      seen += static_cast<double>(all_count[at(0, l)] - count_[at(g, l)]);
    }
    const double mean = seen > 0 ? total / seen : 0;
    double correction = 0;
    for (std::int64_t l = first_; l < length_; ++l) {
      const double others = all_sum[at(0, l)] - sum_[at(g, l)];
      const auto n = static_cast<double>(all_count[at(0, l)] - count_[at(g, l)]);
      correction += (weight_[at(g, l)] - 1) * (others + mean) / (n + 1);
    }
    corrections.push_back(correction);
  }
  return corrections;
}

}  // namespace dlm
