// What the options of an estimator may be, and what they say about its masks.
#include <algorithm>
#include <string>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "models/diffusion/estimator.h"
#include "models/diffusion/estimator_checks.h"
#include "models/diffusion/noise_schedule.h"
#include "models/diffusion/order.h"

namespace dlm {
namespace {

constexpr double kPublishedLowest = 1e-3;

// Relative, of the mean: what the published lowest t may change at most.
constexpr double kPublishedError = 1e-4;

// Part of the pairing key: raised when the same options begin to draw other masks.
constexpr int kMaskVersion = 1;

void check_choice(std::string_view field, const std::string& value,
                  std::initializer_list<std::string> known) {
  if (std::find(known.begin(), known.end(), value) == known.end())
    throw unknown_name(field, value, std::vector<std::string>(known));
}

void check_at_least(std::string_view field, std::int64_t value, std::int64_t least) {
  if (value < least)
    throw ConfigError(field, fmt::to_string(value), fmt::format("an integer >= {}", least));
}

void check_interval(const EstimatorOptions& options) {
  const std::string interval = fmt::format("[{}, {}]", options.t_min, options.t_max);
  if (options.name == "order") {
    if (options.t_min != 0 || options.t_max != 1)
      throw ConfigError("t_min, t_max", interval, "left out: `order` has no noise level");
    return;
  }
  if (!(options.t_min >= 0 && options.t_min <= options.t_max && options.t_max <= 1 &&
        options.t_max > 0))
    throw ConfigError("t_min, t_max", interval, "an interval inside [0, 1] that is more than 0");
  if (options.name == "llada" && (options.t_min != 0 || options.t_max != 1))
    throw ConfigError("t_min, t_max", interval, "left out: `llada` draws how many are hidden");
  if (options.name == "dream" && (options.t_min == 0 || options.t_max != 1))
    throw ConfigError("t_min, t_max", interval, "above 0, and 1: `dream` weighs by 1 / t");
  if (options.name == "reference" && options.t_min == 0)
    throw ConfigError("t_min", "0", "above 0: `reference` weighs by 1 / t");
}

void check_reference(const EstimatorOptions& options) {
  const bool is_reference = options.name == "reference";
  check_choice("strata", options.strata, {"rotated", "published"});
  parse_noise_schedule(options.schedule);
  const bool has_strata = is_reference || options.name == "llada";
  if ((!has_strata && options.strata != "rotated") ||
      (!is_reference && options.schedule != "linear"))
    throw ConfigError(
        "strata, schedule", options.strata + ", " + options.schedule,
        fmt::format("{}linear with estimator = {}", has_strata ? "" : "rotated, ", options.name));
  if (is_reference && options.strata == "published")
    check_at_least("rows", options.rows, 1);
  if ((!is_reference || options.strata != "published") && options.rows != 0)
    throw ConfigError("rows", fmt::to_string(options.rows),
                      is_reference ? "0 unless strata = published"
                                   : fmt::format("0 with estimator = {}", options.name));
}

void check_order(const EstimatorOptions& options) {
  check_at_least("reveal_per_step", options.reveal_per_step, 1);
  if (options.name == "order") {
    if (options.block_size > 0)
      reveal_order(options.reveal_order, options.block_size);
    return;
  }
  if (options.reveal_order != "left_to_right" || options.reveal_per_step != 1)
    throw ConfigError("reveal_order, reveal_per_step",
                      fmt::format("{}, {}", options.reveal_order, options.reveal_per_step),
                      fmt::format("left out with estimator = {}", options.name));
}

void check_draws(const EstimatorOptions& options) {
  check_at_least("draws", options.draws, 1);
  if (is_sampled(options) && (options.replicates < 1 || options.draws % options.replicates != 0))
    throw ConfigError("replicates", fmt::to_string(options.replicates),
                      fmt::format("a divisor of draws = {}, or 0", options.draws));
}

std::int64_t smallest_divisor_above_one(std::int64_t n) {
  for (std::int64_t d = 2; d * d <= n; ++d) {
    if (n % d == 0)
      return d;
  }
  return std::max<std::int64_t>(1, n);
}

}  // namespace

bool is_sampled(const EstimatorOptions& options) {
  return options.name != "enumerate" && options.name != "order";
}

void check_estimator_options(const EstimatorOptions& options, DenoiserLoss loss) {
  check_at_least("block_size", options.block_size, 0);
  check_at_least("encode_positions", options.encode_positions, 1);
  check_at_least("chunk_positions", options.chunk_positions, 1);
  check_choice("first_token", options.first_token, {"clean", "scored"});
  check_draws(options);
  check_interval(options);
  check_reference(options);
  check_order(options);
  if (loss != DenoiserLoss::kScoreEntropy)
    return;
  if (options.name != "reference")
    throw ConfigError("estimator", options.name,
                      "reference: a score entropy depends on the noise level");
  if (options.schedule != "linear" && options.schedule != "mdlm")
    throw ConfigError("schedule", options.schedule,
                      "linear or mdlm: a score entropy holds the weight of that schedule");
}

EstimatorOptions resolved_options(const EstimatorOptions& options) {
  EstimatorOptions resolved = options;
  if (options.t_min == -1)
    resolved.t_min = options.name == "reference" || options.name == "dream" ? kPublishedLowest : 0;
  if (options.replicates == 0 && options.draws >= 1)
    resolved.replicates =
        options.name == "reference" ? options.draws : smallest_divisor_above_one(options.draws);
  return resolved;
}

LikelihoodKind likelihood_kind(const EstimatorOptions& options, DenoiserLoss loss) {
  const EstimatorOptions resolved = resolved_options(options);
  if (resolved.name == "order")
    return LikelihoodKind::kExact;
  const bool rounds_to_even = resolved.name == "llada" && resolved.strata == "published" &&
                              resolved.draws > resolved.replicates;
  if (resolved.name == "dream" || rounds_to_even)
    return LikelihoodKind::kClipped;
  const bool is_whole = resolved.t_min <= kPublishedLowest && resolved.t_max == 1;
  const bool is_all_masked = resolved.t_min == 1;
  const bool is_single = resolved.block_size == 1;
  const double weight =
      mean_token_weight(parse_noise_schedule(resolved.schedule), resolved.t_min, resolved.t_max);
  if (weight < 1 - kPublishedError)
    return LikelihoodKind::kClipped;
  if (loss == DenoiserLoss::kScoreEntropy)
    return is_whole ? LikelihoodKind::kBound : LikelihoodKind::kClipped;
  if (is_single && (is_whole || is_all_masked) && weight <= 1 + kPublishedError)
    return LikelihoodKind::kExact;
  return is_whole ? LikelihoodKind::kBound : LikelihoodKind::kClipped;
}

std::string pairing_key(const EstimatorOptions& options) {
  const EstimatorOptions resolved = resolved_options(options);
  Json key = {{"version", kMaskVersion},
              {"estimator", resolved.name},
              {"block_size", resolved.block_size},
              {"first_token", resolved.first_token}};
  if (resolved.name == "order") {
    key["reveal_order"] = resolved.reveal_order;
    key["reveal_per_step"] = resolved.reveal_per_step;
  } else {
    key["t_min"] = resolved.t_min;
    key["t_max"] = resolved.t_max;
  }
  if (is_sampled(resolved)) {
    key["seed"] = resolved.seed;
    key["draws"] = resolved.draws;
    key["replicates"] = resolved.replicates;
  }
  if (resolved.name == "reference") {
    key["strata"] = resolved.strata;
    key["rows"] = resolved.rows;
    key["schedule"] = resolved.schedule;
  }
  if (resolved.name == "llada")
    key["strata"] = resolved.strata;
  return sha256_hex(canonical_json(key));
}

}  // namespace dlm
