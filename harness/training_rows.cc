#include "harness/training_rows.h"

#include <utility>

#include "harness/base/error.h"
#include "harness/base/log.h"
#include "harness/data_root.h"
#include "harness/draws.h"
#include "harness/token_task.h"
#include "harness/tokenized_text.h"
#include "harness/window_settings.h"
#include "models/exact/exact_world.h"
#include "models/tokenizer/tokenizer.h"
#include "models/training/token_file.h"
#include "tasks/presets.h"
#include "tasks/text_task.h"

namespace dlm {
namespace {

using Rows = std::vector<std::vector<std::int64_t>>;

constexpr std::uint64_t kTrainingSeeds = std::uint64_t{1} << 32;
constexpr std::uint64_t kValidationSeeds = std::uint64_t{1} << 33;

std::unique_ptr<ExactWorld> world_of(const std::string& source) {
  constexpr std::string_view kPrefix = "draws:";
  return make_exact_world("exact:" + source.substr(kPrefix.size()));
}

// What of a file comes to whole rows.
struct FileRows {
  std::vector<std::int32_t> ids;
  std::int64_t vocab_size = 0;
  std::int64_t dropped = 0;  // tokens
};

FileRows token_rows(const std::string& source, std::int64_t length) {
  const TokenFile file = read_token_file(token_file_path(source));
  FileRows rows;
  rows.vocab_size = file.vocab_size;
  auto next = file.ids.begin();
  for (const std::int64_t size : file.lengths) {
    const std::int64_t whole = size / length * length;
    rows.ids.insert(rows.ids.end(), next, next + whole);
    rows.dropped += size - whole;
    next += size;
  }
  return rows;
}

// The settings that cut a text, as `run` would have them for a diffusion model of this length.
RunSpec text_settings(const TrainRecipe& recipe, const std::string& source) {
  RunSpec spec;
  spec.task = source;
  spec.scoring.preset = recipe.data.preset;
  spec.scoring.length = recipe.model.length;
  spec = with_preset(spec);
  spec.scoring.packing = "packed";
  spec.scoring.remainder = "drop";
  return spec;
}

FileRows text_rows(const TrainRecipe& recipe, const std::string& source,
                   const Tokenizer& tokenizer) {
  const RunSpec settings = text_settings(recipe, source);
  const std::string detokenizer = settings.detokenizer == "auto" ? "" : settings.detokenizer;
  const TextTask task = make_text_task({source, detokenizer, 0}, data_root());
  ModelInfo info;
  info.vocab_size = tokenizer.id_limit();
  info.max_length = recipe.model.length;
  WindowModel model{info, &tokenizer};
  model.fills_blocks = true;
  const auto documents = tokenize_documents(task.documents(), tokenizer);
  const WindowPlan plan =
      plan_windows(documents, window_settings(settings.scoring, model, recipe.model.length));
  FileRows rows;
  rows.vocab_size = tokenizer.id_limit();
  rows.dropped = plan.counts.dropped_tokens;
  for (const ScoringUnit& unit : plan.units) {
    for (const ScoringWindow& window : unit.windows)
      rows.ids.insert(rows.ids.end(), window.ids.begin(), window.ids.end());
  }
  return rows;
}

std::unique_ptr<Tokenizer> tokenizer_of(const TrainRecipe& recipe) {
  if (recipe.data.tokenizer.empty())
    throw ConfigError("data.tokenizer", "",
                      fmt::format("is needed for {}: a tokenizer folder", recipe.data.source));
  return load_tokenizer(resolve_data_path(recipe.data.tokenizer));
}

FileRows file_rows(const TrainRecipe& recipe, const std::string& source,
                   const Tokenizer* tokenizer) {
  FileRows rows = is_token_task(source) ? token_rows(source, recipe.model.length)
                                        : text_rows(recipe, source, *tokenizer);
  if (rows.ids.empty())
    throw ConfigError("model.length", std::to_string(recipe.model.length),
                      fmt::format("a length that {} has a row of", source));
  if (rows.dropped > 0)
    log_info("{}: {} tokens beside whole rows are left out", source, rows.dropped);
  return rows;
}

Rows as_rows(const FileRows& file, std::int64_t length, std::int64_t most) {
  Rows rows;
  for (auto next = file.ids.begin(); next != file.ids.end() && std::ssize(rows) < most;
       next += length)
    rows.emplace_back(next, next + length);
  return rows;
}

Rows world_rows(const ExactWorld& world, const TrainRecipe& recipe) {
  Rows rows;
  for (std::int64_t i = 0; i < recipe.data.validation_rows; ++i)
    rows.push_back(world.draw(recipe.seed + kValidationSeeds, static_cast<std::uint64_t>(i),
                              recipe.model.length));
  return rows;
}

}  // namespace

TrainingData make_training_data(const TrainRecipe& recipe) {
  const std::string& source = recipe.data.source;
  const std::string& validation = recipe.data.validation;
  TrainingData data;
  data.name = source;
  std::unique_ptr<Tokenizer> tokenizer;
  const auto is_text = [](const std::string& name) {
    return !name.empty() && !is_draws_task(name) && !is_token_task(name);
  };
  if (is_text(source) || is_text(validation))
    tokenizer = tokenizer_of(recipe);
  // Of tokens too, where it is known: the model's folder then holds it.
  if (!recipe.data.tokenizer.empty())
    data.tokenizer_folder = resolve_data_path(recipe.data.tokenizer);
  if (is_draws_task(source)) {
    data.rows = std::make_unique<WorldRows>(world_of(source), recipe.seed + kTrainingSeeds,
                                            recipe.model.length);
  } else {
    FileRows rows = file_rows(recipe, source, tokenizer.get());
    data.rows = std::make_unique<StoredRows>(std::move(rows.ids), recipe.model.length,
                                             rows.vocab_size, recipe.seed);
  }
  if (validation.empty() ? is_draws_task(source) : is_draws_task(validation))
    data.validation = world_rows(*world_of(validation.empty() ? source : validation), recipe);
  else if (!validation.empty())
    data.validation = as_rows(file_rows(recipe, validation, tokenizer.get()), recipe.model.length,
                              recipe.data.validation_rows);
  return data;
}

}  // namespace dlm
