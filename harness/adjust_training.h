// From a recipe of objective "adjust" to what is trained: the base, its trajectories, the layer.
#pragma once

#include <memory>
#include <string>

#include "harness/training_rows.h"
#include "models/training/recipe.h"
#include "models/training/trainable.h"

namespace dlm {

struct Training {
  TrainingData data;
  std::unique_ptr<Trainable> network;
};

// Loads the base and makes its trajectories, or goes on with those in OUT/training: of prompts from
// data.source, drawn with recipe.seed + 2^34, and held out, from data.validation or else the same,
// with recipe.seed + 2^35. Throws ConfigError, DataError.
Training make_adjust_training(const TrainRecipe& recipe, const std::string& out);

}  // namespace dlm
