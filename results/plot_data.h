// Plots made from stored runs.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "results/plot.h"
#include "results/store.h"

namespace dlm {

struct PlotRequest {
  std::string kind;    // a name of plot_kinds()
  std::string metric;  // y, as metric_value takes it; empty: the kind's own
  std::string x;       // a setting's dotted name (by); empty: the kind's own
};

// "frontier": quality against tokens per second, intervals on both axes, the Pareto front and the
// area under it. "perplexity": against the block size L'. "mauve": against the tokens per step K.
// "variance": Monte-Carlo variance of the NELBO, from the rows, against a setting of the estimator
// (--x). "history": a metric over the commits that measured it. "by": a metric against any setting.
const std::vector<std::string>& plot_kinds();

// The plot of these runs; runs of several tasks are never one series. Throws ConfigError for an
// unknown kind, a frontier of several tasks, a metric that could mean several values
// (metric_value.h), or where no run has what is to be drawn, with what they have.
Plot make_plot(Store& store, std::span<const std::string> run_ids, const PlotRequest& request);

}  // namespace dlm
