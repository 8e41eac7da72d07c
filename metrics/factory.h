// Metrics by name: the one table of what can be computed.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "metrics/diffusion_likelihood.h"
#include "metrics/metric.h"

namespace dlm {

struct MetricOptions {
  // Each row's nll is exact given the document (no Monte-Carlo draw): se_mc is 0. Otherwise it is
  // absent: one draw per document does not tell it from the error over documents.
  bool exact = true;
  // Of rows that an estimator of a diffusion likelihood made, with their Monte-Carlo error.
  std::optional<DiffusionLikelihoodOptions> diffusion;
  std::optional<double> entropy_per_token;  // nats, where the documents' source is known
};

// "nll", "perplexity", "bits_per_byte", "word_perplexity", "entropy", "nll_minus_entropy". Throws
// ConfigError for another name, and for the last two where the entropy is not known.
std::unique_ptr<Metric> make_metric(std::string_view name, const MetricOptions& options = {});

std::vector<std::string> metric_names();

}  // namespace dlm
