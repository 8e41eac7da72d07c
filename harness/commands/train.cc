// `train`: a model by a recipe, from random weights or from another model's.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/adjust_training.h"
#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/log.h"
#include "harness/base/text.h"
#include "harness/cli.h"
#include "harness/commands/command.h"
#include "harness/commands/store_options.h"
#include "harness/data_root.h"
#include "harness/environment.h"
#include "harness/scorers/scored_run.h"
#include "harness/token_task.h"
#include "harness/training_run.h"
#include "models/checkpoint/checkpoint.h"
#include "models/runtime.h"
#include "models/training/make_trainable.h"

namespace dlm {
namespace {

constexpr const char* kText =
    "Trains a model and leaves it in --out as a folder that every other command loads. Started "
    "again with the same recipe it\n"
    "goes on at its last checkpoint and ends with the same weights, to the bit at the same number "
    "of threads. The moving average\n"
    "of the weights is what is published; the curve goes to the store.\n\n"
    "  dlmbench train models/recipes/stories-bd3lm4.toml --out models/bd3lm4\n"
    "  dlmbench train recipe.toml --learning-rate 1e-3 --steps 2000 --threads 1\n"
    "  dlmbench sql \"select step, value from v_curve where metric='validation_nelbo'\"";

TrainRecipe read_recipe(const ParsedOptions& options) {
  if (options.positionals.empty())
    throw ConfigError("recipe", "", "is needed: dlmbench train RECIPE.toml");
  const std::string& path = options.positionals.front();
  TrainRecipe recipe = parse_recipe(MappedFile::open(path)->text(), path);
  for (const auto& [key, text] : options.field_texts)
    recipe_fields().set_text(recipe, recipe_fields().at(key), text);
  if (recipe.name.empty())
    recipe.name = file_stem(path);
  check_recipe(recipe);
  return recipe;
}

std::int64_t thread_count(const ParsedOptions& options) {
  const std::string text = options.get("threads", "0");
  const auto threads = parse_int(text);
  if (!threads || *threads < 0 || *threads > 4096)
    throw ConfigError("threads", text, "a whole number from 0 to 4096");
  return *threads;
}

TrainableSpec network_spec(const TrainRecipe& recipe, const RowSource& rows) {
  TrainableSpec spec;
  spec.objective = recipe.objective;
  spec.layers = recipe.model.layers;
  spec.width = recipe.model.hidden_size;
  spec.heads = recipe.model.heads;
  spec.cond_dim = recipe.model.cond_dim;
  spec.vocab_size = rows.vocab_size() + 1;  // and the mask, which ar never sees
  spec.length = recipe.model.length;
  spec.block_size = recipe.block_size;
  spec.adaln = recipe.model.adaln;
  spec.dropout = recipe.model.dropout;
  spec.seed = recipe.seed;
  spec.dtype = recipe.dtype;
  spec.noise_draw = parse_noise_draw(recipe.noise.draw);
  spec.interval = {recipe.noise.low, recipe.noise.high};
  spec.resamples = recipe.noise.resample;
  spec.pass_form = recipe.pass == "two" ? PassForm::kTwoPass : PassForm::kSinglePass;
  if (!recipe.fine_tune_from.empty())
    spec.initial_weights = resolve_data_path(recipe.fine_tune_from);
  return spec;
}

// Rows, and the network that is trained on them.
Training made_training(const TrainRecipe& recipe, const std::string& out) {
  if (recipe.objective == "adjust")
    return make_adjust_training(recipe, out);
  Training made;
  made.data = make_training_data(recipe);
  made.network = make_trainable(network_spec(recipe, *made.data.rows));
  return made;
}

std::int64_t parameter_count(std::span<const Parameter> parameters) {
  std::int64_t count = 0;
  for (const Parameter& parameter : parameters) count += parameter.value.numel();
  return count;
}

RunHeader header_of(TrainingRun& run, const std::string& command) {
  const TrainRecipe& recipe = run.recipe();
  RunHeader header;
  header.identity_json =
      canonical_json({{"measures", "training"},
                      {"training", parse_json(training_identity(recipe, run.data()), "identity")}});
  header.run_key = sha256_hex(header.identity_json);
  header.spec_json = canonical_json(recipe_fields().to_json(recipe, false));
  const Checkpoint checkpoint = Checkpoint::open(run.folder().path());
  header.model_name = recipe.name;
  header.family = recipe.objective;
  header.dtype = recipe.published_dtype;
  header.parameters = parameter_count(run.network().parameters());
  header.weights_sha256 = checkpoint.weights_sha256();
  header.model_config_json = checkpoint.config_json;
  header.task_name = run.data().name;
  header.task_kind = "training";
  header.task_version = 1;
  header.data_sha256 = run.data().rows->sha256();
  header.task_config_json = "{}";
  header.n_docs = run.data().rows->rows();
  header.env_json = canonical_json(environment_json("cpu"));
  header.build_json = canonical_json(build_json());
  header.seed = recipe.seed;
  header.command = command;
  return header;
}

const MetricDefinition& definition_of(const TrainingProgress& progress, const std::string& metric) {
  const auto found =
      std::find_if(progress.metrics.begin(), progress.metrics.end(),
                   [&](const MetricDefinition& known) { return known.metric == metric; });
  DLM_CHECK(found != progress.metrics.end(), "the curve's {} is not defined", metric);
  return *found;
}

// The values at the last step, of what says how good the model is, and what the training cost.
void add_results(const TrainingProgress& progress, FinishedRun& finished) {
  const auto add = [&](const MetricDefinition& metric, double value) {
    Estimate estimate;
    estimate.metric = metric.metric;
    estimate.value = value;
    finished.estimates.push_back(estimate);
    finished.definitions.push_back(metric);
  };
  for (auto point = progress.curve.rbegin(); point != progress.curve.rend(); ++point) {
    if (point->step != progress.steps)
      break;
    const MetricDefinition& metric = definition_of(progress, point->metric);
    if (metric.better != "none")
      add(metric, point->value);
  }
  add({"trained_tokens", "tokens", "none", "of the training", "positions of the rows trained on"},
      progress.tokens);
  add({"training_tokens_per_second", "tokens/s", "hi", "of the training",
       "of training and validation together"},
      progress.tokens / std::max(progress.seconds, 1e-9));
}

}  // namespace

int train_command(const Arguments& args) {
  CommandOptions cli("train RECIPE.toml [--out DIR] [settings]", kText);
  add_scored_run_options(cli);
  cli.value("out", "folder of the trained model (default models/NAME)")
      .value("threads", "threads of the network and the optimizer; 0 = every core")
      .flag("quiet,q", "no progress and no log")
      .fields(recipe_fields())
      .positionals(1);
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  check_output_format(*options);
  if (options->has("quiet"))
    set_log_level(LogLevel::kQuiet);
  const TrainRecipe recipe = read_recipe(*options);
  set_threads(thread_count(*options));
  const std::string out = options->get("out", "models/" + recipe.name);
  auto [data, network] = made_training(recipe, out);
  log_info("{}: {} of {} parameters, {} steps of {} rows of {} tokens", recipe.name,
           recipe.objective, parameter_count(network->parameters()), recipe.steps,
           recipe.batch_size * recipe.accumulation, recipe.model.length);
  TrainingRun run(recipe, std::move(data), std::move(network), out);
  run.run();
  FinishedRun finished;
  finished.header = header_of(run, command_line("train", args));
  finished.curve = run.progress().curve;
  finished.wall_ns = static_cast<std::int64_t>(1e9 * run.progress().seconds);
  add_results(run.progress(), finished);
  return record_finished_run(*options, finished);
}

}  // namespace dlm
