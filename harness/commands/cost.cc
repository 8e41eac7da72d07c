// `cost`: how many network passes two estimators need for the same Monte-Carlo standard error.
#include <cmath>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/text.h"
#include "harness/cli.h"
#include "harness/commands/command.h"
#include "harness/commands/measured_sequences.h"
#include "harness/estimator_settings.h"
#include "harness/read_settings.h"
#include "harness/scorers/scored_run.h"
#include "models/diffusion/compare_cost.h"

namespace dlm {
namespace {

constexpr const char* kText =
    "Estimates the same sequences again and again under other seeds, with the published estimator "
    "and with the one that\n"
    "the settings name, and compares variance x passes: what a Monte-Carlo standard error costs. "
    "passes_ratio 10 means\n"
    "that the published estimator needs ten times the passes.\n\n"
    "  dlmbench cost --model 'exact:markov?v=8' --task 'draws:markov?v=8&documents=40' "
    "--block-size 4\n"
    "  dlmbench cost --model bd3lm/ --task wikitext2 --packing packed --draws 8 --repeats 16 -n 20";

CostQuestion question_of(const ParsedOptions& options, const EstimatorOptions& estimator,
                         const MeasuredSequences& sequences) {
  CostQuestion question{sequences.ids, sequences.examples, {}, estimator};
  const std::string repeats = options.get("repeats", "32");
  const auto count = parse_int(repeats);
  if (!count || *count < 2)
    throw ConfigError("repeats", repeats, "must be a whole number from 2");
  question.repeats = *count;
  question.baseline.name = "reference";
  question.baseline.block_size = estimator.block_size;
  question.baseline.first_token = estimator.first_token;
  question.baseline.seed = estimator.seed;
  return question;
}

// The Monte-Carlo standard error of the nats per token after one pass over the sequences.
Estimate error_per_pass(const EstimatorCost& cost, const std::string& name, double tokens) {
  Estimate estimate;
  estimate.metric = "mc_error_one_pass";
  estimate.variant = name;
  estimate.value = std::sqrt(cost.variance * cost.passes) / tokens;
  return estimate;
}

void add_results(const CostComparison& found, const CostQuestion& question, FinishedRun& run) {
  double tokens = 0;
  const std::size_t given = question.candidate.first_token == "clean" ? 1 : 0;
  for (const auto& ids : question.sequences) tokens += static_cast<double>(ids.size() - given);
  Estimate ratio;
  ratio.metric = "passes_ratio";
  ratio.variant = question.candidate.name + " / " + question.baseline.name;
  ratio.value = found.passes_ratio;
  ratio.se_data = found.std_error;
  run.estimates = {ratio, error_per_pass(found.baseline, question.baseline.name, tokens)};
  if (question.candidate.name != question.baseline.name)
    run.estimates.push_back(error_per_pass(found.candidate, question.candidate.name, tokens));
  for (Estimate& estimate : run.estimates) estimate.n = std::ssize(question.sequences);
  run.definitions = {{"passes_ratio", "passes/pass", "hi", "ratio of variance x passes",
                      "passes of the published estimator for one of this, at equal error"},
                     {"mc_error_one_pass", "nats/token", "lo", "spread over repeats",
                      "Monte-Carlo standard error, scaled to one pass over the sequences"}};
}

}  // namespace

int cost_command(const Arguments& args) {
  CommandOptions cli("cost --model M --task T [settings]", kText);
  add_scored_run_options(cli);
  cli.value("repeats", "estimates of each (32)")
      .fields(settings_without(SpecPart::kScore, {"metrics", "estimator.target_ci"}));
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  MeasuringCommand command(*options);
  const MeasuredSequences sequences = command.sequences();
  const CostQuestion question = question_of(*options, command.estimator(), sequences);
  command.start();
  const CostComparison found = compare_cost(*command.measurement().run.model->denoiser, question);
  FinishedRun finished;
  add_results(found, question, finished);
  return command.finish(std::move(finished), "cost",
                        {{"repeats", question.repeats}, {"baseline", question.baseline.name}},
                        args);
}

}  // namespace dlm
