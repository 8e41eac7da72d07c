// How far a measured NLL is from the entropy of a source whose law is known.
#pragma once

#include <memory>

#include "metrics/metric.h"

namespace dlm {

// `entropy`: the truth in nats/token, exact.
std::unique_ptr<Metric> make_entropy_metric(double entropy_per_token);

// `nll_minus_entropy`: `nll`, a metric that gives one estimate in nats/token, less that truth, with
// its errors and interval; zero for an exact model of the source, in expectation.
std::unique_ptr<Metric> make_truth_metric(double entropy_per_token, std::unique_ptr<Metric> nll);

}  // namespace dlm
