// `schedule`: the variance of the NELBO for every clipped interval of noise levels, and the best.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/log.h"
#include "harness/base/text.h"
#include "harness/cli.h"
#include "harness/commands/command.h"
#include "harness/commands/measured_sequences.h"
#include "harness/nelbo_variance.h"
#include "harness/read_settings.h"
#include "harness/scorers/scored_run.h"
#include "models/diffusion/clipped_schedule.h"

namespace dlm {
namespace {

constexpr const char* kText =
    "Measures \"Var. NELBO\" as the block diffusion paper does, on the same batches of "
    "--batch-size "
    "sequences for every\n"
    "candidate interval [t_min, t_max] of noise levels, and names the interval with the smallest "
    "one: the schedule to\n"
    "train with. One noise level and one mask a block; unbiased variance of the blocks' mean "
    "losses "
    "inside a batch,\n"
    "averaged over batches; standard error over batches. Source: arXiv:2503.09573, section 5.2.\n\n"
    "  dlmbench schedule --model bd3lm-owt-block_size4/ --task wikitext2 --packing packed\n"
    "  dlmbench schedule --model 'exact:markov?v=8' --task 'draws:markov?v=8' --block-size 4";

std::vector<double> parse_widths(const std::string& text) {
  std::vector<double> widths;
  for (const std::string& item : split(text, ',')) {
    const auto width = parse_double(item);
    if (!width)
      throw ConfigError("widths", item, "must be numbers in (0, 1], separated by commas");
    widths.push_back(*width);
  }
  return widths;
}

ClippedSearchOptions search_options(const ParsedOptions& options, const Measurement& measurement) {
  ClippedSearchOptions search;
  const EstimatorOptions& estimator = *measurement.scoring->estimator();
  search.block_size = estimator.block_size;
  if (search.block_size == 0)
    search.block_size = std::ssize(measurement.scoring->plan().units.front().windows.front().ids);
  search.seed = measurement.run.spec.seed;
  search.keeps_first_clean = estimator.first_token == "clean";
  search.resamples = !options.has("no-resample");
  if (options.has("widths"))
    search.grid.widths = parse_widths(options.get("widths", ""));
  const std::string delta = options.get("delta", "0.05");
  const auto step = parse_double(delta);
  if (!step)
    throw ConfigError("delta", delta, "must be a number above 0");
  search.grid.delta = *step;
  for (const NoiseInterval& interval : candidate_intervals(search.grid, search.block_size)) {
    if (interval.high > 1 + 1e-6)  // f32
      throw ConfigError("delta", delta,
                        fmt::format("a divisor of 1 less each width: [{:.3g}, {:.3g}] ends above 1",
                                    interval.low, interval.high));
  }
  const std::string most = options.get("batches", "100");
  const auto batches = parse_int(most);
  if (!batches || *batches < 1)
    throw ConfigError("batches", most, "must be a whole number from 1");
  search.max_batches = static_cast<std::size_t>(*batches);
  return search;
}

// Full batches only: the variance inside a smaller one is of other strata.
std::vector<std::vector<std::vector<std::int64_t>>> full_batches(
    const std::vector<std::vector<std::int64_t>>& sequences, std::int64_t size) {
  std::vector<std::vector<std::vector<std::int64_t>>> batches;
  const auto step = static_cast<std::size_t>(size);
  for (std::size_t first = 0; first + step <= sequences.size(); first += step)
    batches.emplace_back(sequences.begin() + static_cast<std::ptrdiff_t>(first),
                         sequences.begin() + static_cast<std::ptrdiff_t>(first + step));
  if (batches.empty())
    throw ConfigError("batch_size", std::to_string(size),
                      fmt::format("at most {}, the sequences there are", sequences.size()));
  return batches;
}

std::string interval_text(const NoiseInterval& interval) {
  return fmt::format("[{:.3g}, {:.3g}]", interval.low, interval.high);
}

void add_results(const ScheduleSearch& search, std::int64_t n, FinishedRun& run) {
  for (const IntervalVariance& one : search.intervals) {
    Estimate estimate;
    estimate.metric = kNelboVariance;
    estimate.variant = interval_text(one.interval);
    estimate.value = one.mean;
    estimate.se_data = one.std_error;
    estimate.n = n;
    run.estimates.push_back(estimate);
  }
  const NoiseInterval& best = search.intervals[search.best].interval;
  for (const auto& [metric, value] :
       {std::pair("best_t_min", best.low), std::pair("best_t_max", best.high)}) {
    Estimate estimate;
    estimate.metric = metric;
    estimate.value = value;
    estimate.n = n;
    run.estimates.push_back(estimate);
    run.definitions.push_back({metric, "noise level", "none", "smallest NELBO variance",
                               "end of the interval to train on"});
  }
  run.definitions.push_back(nelbo_variance_definition());
}

}  // namespace

int schedule_command(const Arguments& args) {
  CommandOptions cli("schedule --model M --task T [settings]", kText);
  add_scored_run_options(cli);
  cli.value("widths", "widths of the candidate intervals (0.5,0.6,0.7,0.8,0.9)")
      .value("delta", "between their lower ends (0.05)")
      .value("batches", "use only the first N batches (100, as published)")
      .flag("no-resample", "keep masks whose fraction falls outside the interval")
      .fields(settings_without(SpecPart::kScore, estimator_settings()));
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  MeasuringCommand command(*options);
  const ClippedSearchOptions search = search_options(*options, command.measurement());
  const std::int64_t batch_size = command.spec().batch_size;
  const auto batches = full_batches(command.sequences().ids, batch_size);
  log_info("{} batches of {} sequences, {} intervals", std::min(batches.size(), search.max_batches),
           batch_size, candidate_intervals(search.grid, search.block_size).size());
  command.start();
  const ScheduleSearch found =
      search_clipped_schedule(*command.measurement().run.model->denoiser, batches, search);
  FinishedRun finished;
  add_results(found, std::ssize(batches) * batch_size, finished);
  return command.finish(
      std::move(finished), "schedule",
      {{"widths", search.grid.widths},
       {"delta", search.grid.delta},
       {"batches", static_cast<std::int64_t>(std::min(batches.size(), search.max_batches))},
       {"resample", search.resamples}},
      args);
}

}  // namespace dlm
