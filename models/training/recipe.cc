#include "models/training/recipe.h"

#include <limits>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/toml.h"

namespace dlm {
namespace {

using limits::any;
using limits::one_of;
using limits::range;

using Row = Field<TrainRecipe>;

template <class T>
using Get = T& (*)(TrainRecipe&);

constexpr double kMostSteps = 1e12;
constexpr double kAboveZero = std::numeric_limits<double>::min();
const double kBelowOne = 1 - std::numeric_limits<double>::epsilon();

std::vector<Row> model_rows() {
  return {
      {"name", 0, "of the recipe: names the trained model; empty = that of the file",
       Get<std::string>([](TrainRecipe & r) -> auto& { return r.name; }), any(), Identity::kNot},
      {"objective", 0, "what is trained",
       Get<std::string>([](TrainRecipe & r) -> auto& { return r.objective; }),
       one_of({"ar", "mdlm", "sedd", "bd3lm", "adjust"}), Identity::kPart},
      {"block_size", 0, "L' of bd3lm, a divisor of the length; of adjust, 0 = the base's",
       Get<std::int64_t>([](TrainRecipe & r) -> auto& { return r.block_size; }), range(0, 1 << 20),
       Identity::kPart},
      {"model.length", 0, "L, positions of the model and of every row it is trained on",
       Get<std::int64_t>([](TrainRecipe & r) -> auto& { return r.model.length; }),
       range(2, 1 << 20), Identity::kPart},
      {"model.hidden_size", 0, "width",
       Get<std::int64_t>([](TrainRecipe & r) -> auto& { return r.model.hidden_size; }),
       range(2, 1 << 16), Identity::kPart},
      {"model.layers", 0, "transformer blocks",
       Get<std::int64_t>([](TrainRecipe & r) -> auto& { return r.model.layers; }), range(1, 1024),
       Identity::kPart},
      {"model.heads", 0, "attention heads; a divisor of the width",
       Get<std::int64_t>([](TrainRecipe & r) -> auto& { return r.model.heads; }), range(1, 1024),
       Identity::kPart},
      {"model.cond_dim", 0, "width of the noise level's embedding",
       Get<std::int64_t>([](TrainRecipe & r) -> auto& { return r.model.cond_dim; }),
       range(2, 1 << 16), Identity::kPart},
      {"model.adaln", 0, "shift, scale and gate of the layers from the noise level",
       Get<bool>([](TrainRecipe & r) -> auto& { return r.model.adaln; }), any(), Identity::kPart},
      {"model.dropout", 0, "share of activations that are dropped in training",
       Get<double>([](TrainRecipe & r) -> auto& { return r.model.dropout; }), range(0, kBelowOne),
       Identity::kPart},
      {"fine_tune_from", 0, "model folder whose weights it begins with; empty = random weights",
       Get<std::string>([](TrainRecipe & r) -> auto& { return r.fine_tune_from; }), any(),
       Identity::kNot},
  };
}

std::vector<Row> noise_rows() {
  return {
      {"noise.low", 0, "lowest noise level that is drawn",
       Get<double>([](TrainRecipe & r) -> auto& { return r.noise.low; }), range(0, 1),
       Identity::kPart},
      {"noise.high", 0, "highest noise level that is drawn",
       Get<double>([](TrainRecipe & r) -> auto& { return r.noise.high; }), range(0, 1),
       Identity::kPart},
      {"noise.search", 0, "at every validation, go on with the interval of least NELBO variance",
       Get<bool>([](TrainRecipe & r) -> auto& { return r.noise.search; }), any(), Identity::kPart},
      {"noise.resample", 0, "draw masks again until their fraction lies in the interval",
       Get<bool>([](TrainRecipe & r) -> auto& { return r.noise.resample; }), any(),
       Identity::kPart},
      {"noise.draw", 0,
       "strata of t: published = tied to row and block, permuted = dealt at random, independent = "
       "none; counts = of mask counts",
       Get<std::string>([](TrainRecipe & r) -> auto& { return r.noise.draw; }),
       one_of({"published", "independent", "permuted", "counts"}), Identity::kPart},
  };
}

std::vector<Row> adjust_rows() {
  return {
      {"adjust.base", 0, "model folder that the layer is for",
       Get<std::string>([](TrainRecipe & r) -> auto& { return r.adjust.base; }), any(),
       Identity::kNot},
      {"adjust.layer_heads", 0, "attention heads of the layer; 0 = the base's",
       Get<std::int64_t>([](TrainRecipe & r) -> auto& { return r.adjust.layer_heads; }),
       range(0, 1024), Identity::kPart},
      {"adjust.inner", 0, "width of the layer's MLP; 0 = the base's",
       Get<std::int64_t>([](TrainRecipe & r) -> auto& { return r.adjust.inner; }),
       range(0, 1 << 20), Identity::kPart},
      {"adjust.depth", 0, "passes of the layer behind one of the base: K - 1",
       Get<std::int64_t>([](TrainRecipe & r) -> auto& { return r.adjust.depth; }), range(1, 1024),
       Identity::kPart},
      {"adjust.loss", 0,
       "passes of a window that carry loss: all = every one; last = the last of a drawn number",
       Get<std::string>([](TrainRecipe & r) -> auto& { return r.adjust.loss; }),
       one_of({"all", "last"}), Identity::kPart},
      {"adjust.next_share", 0,
       "share of a pass's loss on the positions that the trajectory reveals next, halved from each "
       "to the following; 0 = all hidden positions alike, as published",
       Get<double>([](TrainRecipe & r) -> auto& { return r.adjust.next_share; }), range(0, 1),
       Identity::kPart},
      {"adjust.states_mib", 0,
       "memory for the base's states of all trajectories, each then computed once; where they need "
       "more, and at 0, every window runs the base",
       Get<std::int64_t>([](TrainRecipe & r) -> auto& { return r.adjust.states_mib; }),
       range(0, 1 << 24), Identity::kPart},
      {"adjust.trajectories", 0, "texts of the base, one token a pass, that it is trained on",
       Get<std::int64_t>([](TrainRecipe & r) -> auto& { return r.adjust.trajectories; }),
       range(1, 1e9), Identity::kPart},
      {"adjust.policy", 0, "which position a pass of the base reveals",
       Get<std::string>([](TrainRecipe & r) -> auto& { return r.adjust.policy; }), any(),
       Identity::kPart},
      {"adjust.temperature", 0, "of the tokens of trajectories",
       Get<double>([](TrainRecipe & r) -> auto& { return r.adjust.temperature; }),
       range(kAboveZero, 100), Identity::kPart},
      {"adjust.prompt_tokens", 0, "first tokens of the data's rows, which are given",
       Get<std::int64_t>([](TrainRecipe & r) -> auto& { return r.adjust.prompt_tokens; }),
       range(0, 1 << 20), Identity::kPart},
  };
}

std::vector<Row> data_rows() {
  return {
      {"data.source", 0,
       "draws:WORLD, tokens:FILE (see `draw`), a named set, text:FILE, jsonl:FILE",
       Get<std::string>([](TrainRecipe & r) -> auto& { return r.data.source; }), any(),
       Identity::kNot},
      {"data.validation", 0, "the same; empty = none, of draws:WORLD those of the next seed",
       Get<std::string>([](TrainRecipe & r) -> auto& { return r.data.validation; }), any(),
       Identity::kNot},
      {"data.validation_rows", 0, "rows of it that are used",
       Get<std::int64_t>([](TrainRecipe & r) -> auto& { return r.data.validation_rows; }),
       range(2, 1 << 20), Identity::kPart},
      {"data.tokenizer", 0,
       "tokenizer folder of a text, or of tokens: the model then holds it; or data:FOLDER",
       Get<std::string>([](TrainRecipe & r) -> auto& { return r.data.tokenizer; }), any(),
       Identity::kNot},
      {"data.preset", 0, "of text: a published preparation (`data presets`)",
       Get<std::string>([](TrainRecipe & r) -> auto& { return r.data.preset; }), any(),
       Identity::kPart},
  };
}

std::vector<Row> step_rows() {
  return {
      {"steps", 0, "updates of the weights",
       Get<std::int64_t>([](TrainRecipe & r) -> auto& { return r.steps; }), range(0, kMostSteps),
       Identity::kPart},
      {"batch_size", 'b', "rows of one network pass",
       Get<std::int64_t>([](TrainRecipe & r) -> auto& { return r.batch_size; }), range(1, 1 << 20),
       Identity::kPart},
      {"accumulation", 0, "passes of one update, their gradients averaged",
       Get<std::int64_t>([](TrainRecipe & r) -> auto& { return r.accumulation; }),
       range(1, 1 << 20), Identity::kPart},
      {"pass", 0, "bd3lm: single = noisy and clean stream together; two = the clean one first",
       Get<std::string>([](TrainRecipe & r) -> auto& { return r.pass; }), one_of({"single", "two"}),
       Identity::kPart},
      {"dtype", 0, "of the matrix products; weights, sums and the optimizer are f32",
       Get<std::string>([](TrainRecipe & r) -> auto& { return r.dtype; }), one_of({"f32", "bf16"}),
       Identity::kPart},
      {"seed", 's', "first weights, order of rows, noise and dropout are functions of it",
       Get<std::uint64_t>([](TrainRecipe & r) -> auto& { return r.seed; }), any(), Identity::kPart},
  };
}

std::vector<Row> optimizer_rows() {
  return {
      {"learning_rate", 0, "of AdamW, after the warm-up",
       Get<double>([](TrainRecipe & r) -> auto& { return r.learning_rate; }), range(0, 10),
       Identity::kPart},
      {"warmup_steps", 0, "steps over which it rises from 0",
       Get<std::int64_t>([](TrainRecipe & r) -> auto& { return r.warmup_steps; }),
       range(0, kMostSteps), Identity::kPart},
      {"schedule", 0, "of the learning rate after the warm-up",
       Get<std::string>([](TrainRecipe & r) -> auto& { return r.schedule; }),
       one_of({"constant", "cosine"}), Identity::kPart},
      {"final_learning_rate", 0, "cosine: what it ends at, as a share of learning_rate",
       Get<double>([](TrainRecipe & r) -> auto& { return r.final_learning_rate; }), range(0, 1),
       Identity::kPart},
      {"weight_decay", 0, "decoupled, of every parameter",
       Get<double>([](TrainRecipe & r) -> auto& { return r.weight_decay; }), range(0, 10),
       Identity::kPart},
      {"beta1", 0, "decay of the first moment",
       Get<double>([](TrainRecipe & r) -> auto& { return r.beta1; }), range(0, kBelowOne),
       Identity::kPart},
      {"beta2", 0, "decay of the second moment",
       Get<double>([](TrainRecipe & r) -> auto& { return r.beta2; }), range(0, kBelowOne),
       Identity::kPart},
      {"epsilon", 0, "added to the root of the second moment",
       Get<double>([](TrainRecipe & r) -> auto& { return r.epsilon; }), range(kAboveZero, 1),
       Identity::kPart},
      {"clip_norm", 0, "largest norm of all gradients together; 0 = off",
       Get<double>([](TrainRecipe & r) -> auto& { return r.clip_norm; }), range(0, 1e9),
       Identity::kPart},
      {"ema_decay", 0, "of the moving average of the weights, which is published; 0 = none",
       Get<double>([](TrainRecipe & r) -> auto& { return r.ema_decay; }), range(0, kBelowOne),
       Identity::kPart},
      {"average_on_disk", 0,
       "of tensors of 1 MiB and more the moving average lies in a file of the trained model's "
       "folder: a fifth less memory, the same weights",
       Get<bool>([](TrainRecipe & r) -> auto& { return r.average_on_disk; }), any(),
       Identity::kNot},
  };
}

std::vector<Row> output_rows() {
  return {
      {"log_every", 0, "steps between points of the curve",
       Get<std::int64_t>([](TrainRecipe & r) -> auto& { return r.log_every; }),
       range(1, kMostSteps), Identity::kNot},
      {"validate_every", 0, "steps between validations; 0 = at the end alone",
       Get<std::int64_t>([](TrainRecipe & r) -> auto& { return r.validate_every; }),
       range(0, kMostSteps), Identity::kPart},
      {"checkpoint_every", 0, "steps between checkpoints, which a killed training goes on from",
       Get<std::int64_t>([](TrainRecipe & r) -> auto& { return r.checkpoint_every; }),
       range(1, kMostSteps), Identity::kNot},
      {"published_dtype", 0, "of the weights in model.safetensors",
       Get<std::string>([](TrainRecipe & r) -> auto& { return r.published_dtype; }),
       one_of({"f32", "bf16", "f16"}), Identity::kPart},
  };
}

std::vector<Row> all_rows() {
  std::vector<Row> rows;
  for (auto part :
       {model_rows, noise_rows, adjust_rows, data_rows, step_rows, optimizer_rows, output_rows}) {
    const std::vector<Row> more = part();
    rows.insert(rows.end(), more.begin(), more.end());
  }
  return rows;
}

[[noreturn]] void refuse(const char* field, std::int64_t value, const std::string& allowed) {
  throw ConfigError(field, std::to_string(value), allowed);
}

// What is asked for and would not be read.
void check_adjust(const TrainRecipe& recipe) {
  if (recipe.objective != "adjust") {
    if (!recipe.adjust.base.empty())
      throw ConfigError("adjust.base", recipe.adjust.base,
                        fmt::format("empty: the objective is {}", recipe.objective));
    return;
  }
  const RecipeModel& model = recipe.model;
  const RecipeModel unset;
  const bool is_default = model.hidden_size == unset.hidden_size && model.layers == unset.layers &&
                          model.heads == unset.heads && model.cond_dim == unset.cond_dim &&
                          model.adaln == unset.adaln && model.dropout == unset.dropout;
  if (!is_default)
    throw ConfigError("model", "settings of a network",
                      "model.length alone: an ADJUST layer has its base's width and one layer");
  if (recipe.adjust.base.empty())
    throw ConfigError("adjust.base", "", "is needed: the model that the layer is for");
  if (recipe.dtype != "f32")
    throw ConfigError("dtype", recipe.dtype, "f32: an ADJUST layer is trained in it");
}

void check_block_size(const TrainRecipe& recipe) {
  if (recipe.objective == "adjust")
    return;  // the base has its own
  if (recipe.objective != "bd3lm") {
    if (recipe.block_size != 0 && recipe.block_size != trained_block_size(recipe))
      refuse("block_size", recipe.block_size,
             fmt::format("0: {} has blocks of {}", recipe.objective, trained_block_size(recipe)));
    return;
  }
  if (recipe.block_size < 1 || recipe.model.length % recipe.block_size != 0)
    refuse("block_size", recipe.block_size,
           fmt::format("a divisor of {}, the length", recipe.model.length));
}

void check_noise(const TrainRecipe& recipe) {
  const RecipeNoise& noise = recipe.noise;
  const bool is_default =
      noise.low == RecipeNoise().low && noise.high == 1 && !noise.search && !noise.resample;
  if (noise.high < noise.low || noise.high == 0)
    throw ConfigError("noise.high", fmt::format("{}", noise.high),
                      fmt::format("at least {}, noise.low, and above 0", noise.low));
  if ((recipe.objective == "ar" || recipe.objective == "adjust") && !is_default)
    throw ConfigError(
        "noise", recipe.objective,
        fmt::format("settings of a diffusion objective: {} has no noise", recipe.objective));
  if (noise.search && recipe.data.validation.empty() && !recipe.data.source.starts_with("draws:"))
    throw ConfigError("noise.search", "true", "a data.validation to search on");
  if (noise.search && recipe.objective != "bd3lm")
    throw ConfigError("noise.search", "true", "false, but for bd3lm");
  if (noise.resample && noise.draw == "counts")
    throw ConfigError("noise.resample", "true", "false: noise.draw = counts never draws again");
}

}  // namespace

const FieldTable<TrainRecipe>& recipe_fields() {
  static const FieldTable<TrainRecipe> table(all_rows());
  return table;
}

TrainRecipe parse_recipe(std::string_view toml, const std::string& source) {
  TrainRecipe recipe;
  for (const auto& [key, value] : flatten(parse_toml(toml, source))) {
    const Row* field = recipe_fields().find(key);
    if (field == nullptr || field->key != key)
      throw unknown_name(source + ": key", key, recipe_fields().keys());
    recipe_fields().set_json(recipe, *field, value);
  }
  return recipe;
}

std::int64_t trained_block_size(const TrainRecipe& recipe) {
  if (recipe.objective == "ar")
    return 1;
  return recipe.objective == "bd3lm" ? recipe.block_size : recipe.model.length;
}

void check_recipe(const TrainRecipe& recipe) {
  if (recipe.data.source.empty())
    throw ConfigError("data.source", "",
                      "is needed: draws:WORLD, tokens:FILE, a named set or text:FILE");
  if (recipe.steps < 1)
    refuse("steps", recipe.steps, "at least 1");
  if (recipe.model.hidden_size % recipe.model.heads != 0)
    refuse("model.heads", recipe.model.heads,
           fmt::format("a divisor of {}, the width", recipe.model.hidden_size));
  if (recipe.model.hidden_size / recipe.model.heads % 2 != 0)
    refuse("model.heads", recipe.model.heads, "heads of even width, for rotary positions");
  check_block_size(recipe);
  check_noise(recipe);
  check_adjust(recipe);
}

}  // namespace dlm
