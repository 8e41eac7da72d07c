// A training from recipe to finished folder: the loop around Trainer, with checkpoints, validation,
// the search for a noise interval, and the live line. What happens in it is a function of the
// recipe and the data alone, so that a training that was killed ends as one that was not.
#pragma once

#include <memory>
#include <string>

#include "harness/training_rows.h"
#include "models/training/recipe.h"
#include "models/training/trainable.h"
#include "models/training/trainer.h"
#include "models/training/training_folder.h"

namespace dlm {

class TrainingRun {
 public:
  // The network must be that of the recipe. Throws ConfigError, DataError as TrainingFolder does;
  // begins at the folder's last checkpoint where there is one.
  TrainingRun(TrainRecipe recipe, TrainingData data, std::unique_ptr<Trainable> network,
              std::string out);

  // Goes on to the last step and publishes the model; at once where that is done already. Throws
  // DivergedError naming the step and the checkpoint that stays, DataError where the disk is full.
  void run();

  const TrainRecipe& recipe() const { return recipe_; }

  const TrainingData& data() const { return data_; }

  const TrainingProgress& progress() const { return progress_; }

  Trainable& network() { return *network_; }

  const TrainingFolder& folder() const { return folder_; }

 private:
  StepReport step();
  void note_step(const StepReport& report);
  bool is_due(std::int64_t every) const;
  void publish();
  void validate();
  void save();

  TrainRecipe recipe_;
  TrainingData data_;
  std::unique_ptr<Trainable> network_;
  TrainingFolder folder_;
  Trainer trainer_;
  TrainingProgress progress_;
  double seconds_before_ = 0;     // of earlier processes
  std::int64_t saved_steps_ = 0;  // in the folder's checkpoint; 0 = there is none
};

// What makes two trainings the same one: settings that can change a weight, and content in place of
// the names it came by. Canonical JSON.
std::string training_identity(const TrainRecipe& recipe, const TrainingData& data);

}  // namespace dlm
