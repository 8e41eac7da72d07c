#include "harness/pass_cost.h"

namespace dlm {

void PassCost::take_share(std::int64_t weight, ExampleRow& row) {
  row.counts.positions += slice(counts_.positions, weight);
  row.counts.head_rows += slice(counts_.head_rows, weight);
  row.counts.cached_positions += slice(counts_.cached_positions, weight);
  row.counts.flops += counts_.flops * static_cast<double>(weight) / static_cast<double>(whole_);
  row.wall_ns += slice(wall_ns_, weight);
  taken_ += weight;
}

std::int64_t PassCost::slice(std::int64_t quantity, std::int64_t weight) const {
  return up_to(quantity, taken_ + weight) - up_to(quantity, taken_);
}

std::int64_t PassCost::up_to(std::int64_t quantity, std::int64_t weight) const {
  return static_cast<std::int64_t>(static_cast<double>(quantity) * static_cast<double>(weight) /
                                   static_cast<double>(whole_));
}

}  // namespace dlm
