// What passes shared by several examples cost and took, shared out among them.
#pragma once

#include <cstdint>

#include "harness/base/record.h"

namespace dlm {

class PassCost {
 public:
  // `whole`: the sum of the weights by which the shares will be taken.
  PassCost(const PassCounts& counts, std::int64_t wall_ns, std::int64_t whole)
      : counts_(counts), wall_ns_(wall_ns), whole_(whole) {}

  // Adds the next share to the row: positions, head rows, cached positions, FLOPs and time. The
  // shares of all rows add up to the whole. Passes are the row's own, and not touched.
  void take_share(std::int64_t weight, ExampleRow& row);

 private:
  std::int64_t slice(std::int64_t quantity, std::int64_t weight) const;
  std::int64_t up_to(std::int64_t quantity, std::int64_t weight) const;

  PassCounts counts_;
  std::int64_t wall_ns_;
  std::int64_t whole_;
  std::int64_t taken_ = 0;
};

}  // namespace dlm
