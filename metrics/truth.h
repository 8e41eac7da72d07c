// How far a measured NLL is from the entropy of a source whose law is known.
#pragma once

#include <memory>

#include "metrics/metric.h"

namespace dlm {

// Two estimates: `entropy`, the truth in nats/token, and `nll_minus_entropy` with its standard
// error over documents and 95 % t interval; zero for an exact model of the source, in expectation.
std::unique_ptr<Metric> make_truth_metric(double entropy_per_token);

}  // namespace dlm
