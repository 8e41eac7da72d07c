// What to train: every setting of a recipe file (models/recipes/*.toml) with its default, kept in
// one field table that the file, the command line, --help and the identity of a training are made
// from. Torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "harness/base/field.h"

namespace dlm {

struct RecipeModel {
  std::int64_t length = 128;  // L
  std::int64_t hidden_size = 128;
  std::int64_t layers = 4;
  std::int64_t heads = 4;
  std::int64_t cond_dim = 128;  // width of the noise level's embedding
  bool adaln = true;            // shift, scale and gate of the layers from it
  double dropout = 0.1;
};

struct RecipeNoise {
  double low = 1e-3;  // of the noise levels t that are drawn; the loss keeps the schedule's weights
  double high = 1;
  bool search = false;    // look for the interval of least NELBO variance at every validation
  bool resample = false;  // draw masks again until their fraction lies in the interval
  std::string draw = "permuted";  // make_trainable.h
};

struct RecipeData {
  // draws:WORLD (no end to it), tokens:FILE (dlmbench draw), a named set or text:FILE and its like
  // (text_task.h), cut into rows of the model's length.
  std::string source;
  std::string validation;  // the same; empty = none, or for draws: another seed of the world
  std::int64_t validation_rows = 256;
  std::string tokenizer;        // of text
  std::string preset = "none";  // of text: a published preparation (tasks/presets.h)
};

// Of objective "adjust": the layer and the trajectories it is trained on (adjust_trainable.h,
// trajectories.h).
struct RecipeAdjust {
  std::string base;              // model folder
  std::int64_t layer_heads = 0;  // 0 = the base's
  std::int64_t inner = 0;        // width of the layer's MLP; 0 = the base's
  std::int64_t depth = 3;        // passes of the layer behind one of the base: K - 1
  std::string loss = "all";      // passes of a window that carry loss: all, last
  double next_share = 0;         // of a pass's loss, on the positions that are revealed next
  std::int64_t states_mib = 0;   // memory for the base's states of whole trajectories
  std::int64_t trajectories = 1000;
  std::string policy = "entropy";  // which position a pass of the base reveals
  double temperature = 1;
  std::int64_t prompt_tokens = 1;  // first tokens of the data's rows, which are given
};

struct TrainRecipe {
  std::string name;
  std::string objective = "bd3lm";  // ar, mdlm, sedd, bd3lm, adjust
  std::int64_t block_size = 0;      // L' of bd3lm; of adjust, 0 = the base's
  RecipeModel model;
  RecipeNoise noise;
  RecipeAdjust adjust;
  RecipeData data;
  std::string fine_tune_from;   // model folder whose weights it begins with
  std::string pass = "single";  // bd3lm: both streams in one pass, or the clean one first
  std::string dtype = "f32";
  std::int64_t steps = 0;
  std::int64_t batch_size = 16;   // rows of a pass
  std::int64_t accumulation = 1;  // passes of a step
  double learning_rate = 3e-4;
  std::int64_t warmup_steps = 100;
  std::string schedule = "constant";  // after the warm-up: constant, cosine
  double final_learning_rate = 0;     // cosine: as a share of learning_rate
  double weight_decay = 0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double clip_norm = 1;  // of all gradients together; 0 = off
  double ema_decay = 0.9999;
  bool average_on_disk = true;  // of large tensors the moving average lies in a file
  std::uint64_t seed = 1;
  std::int64_t log_every = 50;          // steps between points of the curve
  std::int64_t validate_every = 0;      // steps; 0 = at the end alone
  std::int64_t checkpoint_every = 500;  // steps
  std::string published_dtype = "f32";  // of model.safetensors
};

const FieldTable<TrainRecipe>& recipe_fields();

// Throws ConfigError for bad TOML (with line), an unknown key (with the nearest known one), a value
// of a wrong type or out of its range. Does not check what several settings say together.
TrainRecipe parse_recipe(std::string_view toml, const std::string& source);

// Throws ConfigError for settings that do not go together, naming the field.
void check_recipe(const TrainRecipe& recipe);

// L' that the objective is trained with: 1 for ar, L for mdlm and sedd. Not of adjust.
std::int64_t trained_block_size(const TrainRecipe& recipe);

}  // namespace dlm
