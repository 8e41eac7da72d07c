#include "harness/base/record.h"

namespace dlm {

PassCounts& PassCounts::operator+=(const PassCounts& other) {
  passes += other.passes;
  positions += other.positions;
  head_rows += other.head_rows;
  cached_positions += other.cached_positions;
  flops += other.flops;
  return *this;
}

PassCounts PassCounts::operator-(const PassCounts& other) const {
  return {passes - other.passes, positions - other.positions, head_rows - other.head_rows,
          cached_positions - other.cached_positions, flops - other.flops};
}

}  // namespace dlm
