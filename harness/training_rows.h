// From a recipe's data settings to rows of token ids.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "harness/base/record.h"
#include "models/block_decoder.h"
#include "models/training/recipe.h"
#include "models/training/row_source.h"

namespace dlm {

// A value on the way, and what it is of.
struct MeasuredPoint {
  MetricDefinition metric;
  double value = 0;
};

struct TrainingData {
  std::unique_ptr<RowSource> rows;
  std::vector<std::vector<std::int64_t>> validation;  // of the same length; may be empty
  std::string name;                                   // of the source, for people
  std::string tokenizer_folder;                       // of text; else empty

  // Of objective "adjust" (adjust_training.h): the base, and what validates the folder that was
  // published, in place of `validation`.
  std::shared_ptr<const BlockDenoiser> base;
  std::function<std::vector<MeasuredPoint>(const std::string& folder)> validate;
};

// data.source and data.validation:
//   draws:WORLD   the world's documents, of seeds that no task draws with: recipe.seed + 2^32 to
//                 train on, recipe.seed + 2^33 to validate on;
//   tokens:FILE   documents of exactly model.length tokens; longer ones are cut into rows of it;
//   text          packed as data.preset says, EOS after each document where there is one, the
//                 remainder dropped.
// Throws ConfigError naming the field, DataError for the files.
TrainingData make_training_data(const TrainRecipe& recipe);

}  // namespace dlm
