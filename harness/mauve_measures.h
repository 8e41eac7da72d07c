// MAUVE of two sets of features with its errors, its spread between seeds and its ceiling: what
// `score mauve` and a generating run store.
#pragma once

#include "harness/workload.h"
#include "metrics/mauve.h"

namespace dlm {

// Also the same measurement on two parts of the reference, as variant "ceiling": what a perfect
// model scores.
enum class MauveCeiling { kMeasure, kLeaveOut };

// Estimates mauve, frontier_integral and both starred, and seed_deviation of each. se_mc is that of
// the mean over seeds, se_data a bootstrap over texts. Throws as mauve and mauve_ceiling.
Measures mauve_measures(const MauveInputs& inputs, const MauveOptions& options,
                        MauveCeiling ceiling);

// Of its estimates.
std::vector<MetricDefinition> mauve_definitions();

}  // namespace dlm
