// Scores planned windows in batches: which windows share a pass, and what becomes a row.
//
// The batches are a function of the plan and the batch size alone, so a resumed run computes the
// same passes as one that was never stopped, and its rows are the same to the bit.
#pragma once

#include <cstddef>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "harness/base/record.h"
#include "harness/window_scorer.h"
#include "tasks/windows.h"

namespace dlm {

struct WindowRef {
  std::size_t unit;
  std::size_t window;
};

using BatchRefs = std::vector<WindowRef>;

enum class BatchOrder {
  // Sorted by length inside stretches of 32 batches: little padding, and the estimate so far still
  // comes from a cross-section of the documents.
  kByLength,
  kAsPlanned,  // units are finished in their order: where a stopping rule watches
};

std::vector<BatchRefs> make_batches(std::span<const ScoringUnit> units, std::int64_t batch_size,
                                    BatchOrder order = BatchOrder::kByLength);

// Called after a batch with the rows of the units it finished (possibly none) and the tokens it
// scored. // What it returns says whether to go on.
enum class Continue { kYes, kNo };
using RowSink = std::function<Continue(std::span<const ExampleRow> rows, std::int64_t tokens)>;

// Scores every unit whose id is not in `done`. A batch is skipped when all its units are done.
void score_units(const WindowScorer& scorer, std::span<const ScoringUnit> units,
                 std::span<const BatchRefs> batches, const std::set<std::string>& done,
                 const RowSink& sink);

}  // namespace dlm
