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
#include "models/language_model.h"
#include "tasks/windows.h"

namespace dlm {

struct WindowRef {
  std::size_t unit;
  std::size_t window;
};

using BatchRefs = std::vector<WindowRef>;

// Windows in unit order, sorted by length inside stretches of 32 batches: little padding, and the
// estimate so far still comes from a cross-section of the documents.
std::vector<BatchRefs> make_batches(std::span<const ScoringUnit> units, std::int64_t batch_size);

// Called after a batch with the rows of the units it finished (possibly none) and the tokens it
// scored.
using RowSink = std::function<void(std::span<const ExampleRow> rows, std::int64_t tokens)>;

// Scores every unit whose id is not in `done`. A batch is skipped when all its units are done.
void score_units(const LanguageModel& model, std::span<const ScoringUnit> units,
                 std::span<const BatchRefs> batches, const std::set<std::string>& done,
                 const RowSink& sink);

}  // namespace dlm
