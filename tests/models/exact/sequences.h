// Enumeration of small worlds, and the comparisons of their laws.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"

namespace dlm::testing {

using Ids = std::vector<std::int64_t>;
using Law = std::vector<double>;

// All sequences of `length` values in [lowest, end), the last varying fastest.
inline std::vector<Ids> all_sequences(std::size_t length, std::int64_t lowest, std::int64_t end) {
  std::vector<Ids> sequences;
  Ids ids(length, lowest);
  while (true) {
    sequences.push_back(ids);
    std::size_t i = length;
    while (i > 0 && ++ids[i - 1] == end) ids[--i] = lowest;
    if (i == 0)
      return sequences;
  }
}

// Whether `ids` has every token that `known` names (-1 = unknown).
inline bool agrees(std::span<const std::int64_t> ids, std::span<const std::int64_t> known) {
  for (std::size_t i = 0; i < known.size(); ++i) {
    if (known[i] >= 0 && known[i] != ids[i])
      return false;
  }
  return true;
}

inline void expect_near(const Law& a, const Law& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], tolerance) << "cell " << i;
}

// The text of the ConfigError that `call` throws.
template <class Call>
std::string error_of(const Call& call) {
  try {
    call();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no ConfigError was thrown";
}

}  // namespace dlm::testing
