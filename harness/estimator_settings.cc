#include "harness/estimator_settings.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "tasks/presets.h"

namespace dlm {
namespace {

bool is_automatic(const std::string& name) {
  return name == "auto" || name == "exact";
}

bool has_draws(const EstimatorOptions& options) {
  return options.name != "enumerate" && options.name != "order";
}

// Where the model knows one length only, a whole sequence is one block.
std::int64_t block_size_of(const RunSpec& spec, const Denoiser& denoiser) {
  const std::int64_t trained = denoiser.trained_block_size();
  const std::int64_t asked = spec.block_size;
  if (asked > 0 && trained > 0 && asked != trained && !spec.any_block_size)
    throw ConfigError("block_size", std::to_string(asked),
                      fmt::format("{}, as the model was trained; --any-block-size true allows "
                                  "others",
                                  trained));
  if (asked > 0)
    return asked;
  return trained == denoiser.info().max_length ? 0 : trained;
}

}  // namespace

bool scores_by_diffusion(const RunSpec& spec, const LoadedModel& model) {
  const std::string& name = spec.estimator.name;
  if (model.model == nullptr) {
    if (name == "exact")
      throw ConfigError("estimator", name,
                        "an estimator of a diffusion likelihood; at L' = 1 all are exact");
    return true;
  }
  if (model.denoiser != nullptr)
    return !is_automatic(name);
  if (!is_automatic(name))
    throw ConfigError("estimator", name, "exact: this model is autoregressive");
  return false;
}

std::string estimator_name(const RunSpec& spec, const LoadedModel& model) {
  if (!scores_by_diffusion(spec, model))
    return "exact";
  if (spec.estimator.name != "auto")
    return spec.estimator.name;
  return model.denoiser->loss() == DenoiserLoss::kScoreEntropy ? "reference" : "stratified";
}

bool scores_first_token(const RunSpec& spec, const LoadedModel& model) {
  const std::string& asked = spec.estimator.first_token;
  const bool is_defined = model.info().scores_first_token;
  if (!scores_by_diffusion(spec, model)) {
    if (asked != "auto" && (asked == "scored") != is_defined)
      throw ConfigError("estimator.first_token", asked,
                        "auto: what an autoregressive model scores is set by scoring.bos");
    return is_defined;  // a preset's rule is for models that hide tokens
  }
  const std::string rule = with_preset(spec).estimator.first_token;
  return rule == "auto" ? is_defined : rule == "scored";
}

bool draws_are_alike(const EstimatorOptions& options) {
  return options.block_size == 1 && (options.name == "stratified" || options.t_min == 1);
}

EstimatorOptions estimator_options(const RunSpec& spec, const LoadedModel& model) {
  const EstimatorSpec& asked = spec.estimator;
  const Denoiser& denoiser = *model.denoiser;
  EstimatorOptions options;
  options.name = estimator_name(spec, model);
  options.block_size = block_size_of(spec, denoiser);
  options.seed = spec.seed;
  options.t_min = asked.t_min;
  options.draws = std::max<std::int64_t>(1, asked.draws);
  if (asked.draws == 0 && has_draws(options) && !draws_are_alike(options))
    options.draws = std::max<std::int64_t>(2, asked.replicates);
  options.replicates = asked.replicates;
  options.t_max = asked.t_max;
  options.first_token = scores_first_token(spec, model) ? "scored" : "clean";
  options.strata = asked.strata;
  options.rows = asked.strata_rows;
  options.schedule = asked.schedule;
  options.reveal_order = asked.reveal_order;
  std::replace(options.reveal_order.begin(), options.reveal_order.end(), ':', ',');
  options.reveal_per_step = asked.reveal_per_step;
  (void)make_estimator(options, denoiser.loss());  // what does not fit ends it here
  return options;
}

std::string estimator_text(const EstimatorOptions& options) {
  std::string text = options.name;
  text += options.block_size == 0 ? ", L' = L" : fmt::format(", L' = {}", options.block_size);
  const EstimatorOptions resolved = resolved_options(options);
  if (has_draws(options)) {
    text += fmt::format(", {} draw{}", options.draws, options.draws == 1 ? "" : "s");
    if (options.t_min != -1 || options.t_max != 1)
      text += fmt::format(", t in [{}, {}]", resolved.t_min, resolved.t_max);
    if (options.schedule != "linear")
      text += fmt::format(", {} schedule", options.schedule);
    if (options.strata == "published")
      text += ", published strata";
  }
  if (options.name == "order")
    text += fmt::format(", {}, {} at a time", options.reveal_order, options.reveal_per_step);
  return text;
}

std::string pilot_pairing_key(const EstimatorOptions& options, std::span<const ScoringUnit> units,
                              const PilotQuestion& question) {
  return sha256_hex(canonical_json({{"asked", run_pairing_key(options, units)},
                                    {"target", question.target},
                                    {"weights", question.model.weights_sha256},
                                    {"config", sha256_hex(question.model.config_json)},
                                    {"dtype", question.model.info().dtype}}));
}

std::string run_pairing_key(const EstimatorOptions& options, std::span<const ScoringUnit> units) {
  std::vector<std::int64_t> ids;
  for (const ScoringUnit& unit : units) {
    for (const ScoringWindow& window : unit.windows) {
      ids.push_back(-1 - window.first_scored);  // no id: where a window begins, and its rule
      ids.insert(ids.end(), window.ids.begin(), window.ids.end());
    }
  }
  return sha256_hex(pairing_key(options) + sha256_hex(std::as_bytes(std::span(ids))));
}

}  // namespace dlm
