// Every metric that a run or `score` can store.
#pragma once

#include <string>
#include <vector>

namespace dlm {

// Their names, without variants: of likelihoods, of sampled text, of answers and programs, and what
// follows from the rows (derived_metrics of results/repro.h). Each once, in no order.
std::vector<std::string> known_metrics();

// Throws ConfigError, with the nearest known one, where `metric` ("accuracy", "accuracy:strict") is
// none of them.
void check_metric_name(const std::string& metric, const std::string& source);

}  // namespace dlm
