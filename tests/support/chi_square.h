// Pearson's chi-square for laws known in full.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include <gtest/gtest.h>

namespace dlm::testing {

// A value that chi-square with `degrees` degrees of freedom exceeds with probability at most 1e-6
// (Wilson and Hilferty's cube root, at a normal quantile of 5: 5e-8 to 3e-7 for 2 to 1000
// degrees).
inline double chi_square_limit(std::int64_t degrees) {
  const double spread = 2.0 / (9.0 * static_cast<double>(degrees));
  return static_cast<double>(degrees) * std::pow(1.0 - spread + 5.0 * std::sqrt(spread), 3);
}

// Fails where `counts` of draws could hardly come from `law`: a draw of probability 0, or a
// chi-square beyond its limit. Cells expected fewer than five times are taken together,
// or with another.
inline void expect_follows(std::span<const std::int64_t> counts, std::span<const double> law) {
  ASSERT_EQ(counts.size(), law.size());
  double draws = 0;
  for (std::int64_t n : counts) draws += static_cast<double>(n);

  struct Cell {
    double seen = 0;
    double expected = 0;
  };

  std::vector<Cell> cells;
  Cell rare;
  for (std::size_t i = 0; i < law.size(); ++i) {
    const Cell cell{static_cast<double>(counts[i]), draws * law[i]};
    if (law[i] == 0) {
      EXPECT_EQ(counts[i], 0) << "cell " << i << " has probability 0";
    } else if (cell.expected >= 5) {
      cells.push_back(cell);
    } else {
      rare = {rare.seen + cell.seen, rare.expected + cell.expected};
    }
  }
  ASSERT_GE(cells.size(), 3U) << "too few cells to tell laws apart";
  if (rare.expected >= 5) {
    cells.push_back(rare);
  } else {
    cells.back() = {cells.back().seen + rare.seen, cells.back().expected + rare.expected};
  }
  double chi2 = 0;
  for (const Cell& cell : cells)
    chi2 += (cell.seen - cell.expected) * (cell.seen - cell.expected) / cell.expected;
  EXPECT_LT(chi2, chi_square_limit(std::ssize(cells) - 1))
      << cells.size() << " cells, " << draws << " draws";
}

}  // namespace dlm::testing
