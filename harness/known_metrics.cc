#include "harness/known_metrics.h"

#include <algorithm>

#include "harness/base/error.h"
#include "harness/mauve_measures.h"
#include "harness/nelbo_variance.h"
#include "metrics/accuracy.h"
#include "metrics/factory.h"
#include "metrics/generative_perplexity.h"
#include "metrics/pass_at_k.h"
#include "metrics/text_statistics.h"
#include "models/exact/policy_law.h"
#include "results/repro.h"

namespace dlm {

std::vector<std::string> known_metrics() {
  std::vector<std::string> names = metric_names();
  const auto add = [&names](const std::vector<MetricDefinition>& definitions) {
    for (const MetricDefinition& one : definitions) names.push_back(one.metric);
  };
  add({nelbo_variance_definition(), kl_to_joint_definition()});
  add(text_statistics_definitions());
  add(generative_perplexity_definitions());
  add(mauve_definitions());
  for (const char* name : {"accuracy", "answers_found", "majority_accuracy"})
    add(Accuracy({name, ""}).definitions());
  add(PassAtK({}).definitions());
  add(ExecShare().definitions());
  names.emplace_back("judge_nll_minus_entropy");
  for (const std::string& name : derived_metrics()) names.push_back(name);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

void check_metric_name(const std::string& metric, const std::string& source) {
  const std::vector<std::string> known = known_metrics();
  const std::string name = metric.substr(0, metric.find(':'));
  if (std::find(known.begin(), known.end(), name) == known.end())
    throw unknown_name(source, name, known);
}

}  // namespace dlm
