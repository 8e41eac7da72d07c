// What a training leaves on disk, in one folder: the model as any other (config.json,
// model.safetensors, tokenizer files), and beside it in training/ all that a later process needs to
// go on from the last checkpoint as if there had been no end.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "harness/base/curve.h"
#include "harness/base/record.h"
#include "models/diffusion/clipped_schedule.h"
#include "models/training/adamw.h"
#include "models/training/trainable.h"

namespace dlm {

// Sums over the steps since the curve's last point.
struct StepSums {
  double loss = 0, nelbo = 0;               // nats a token
  std::int64_t steps = 0, nelbo_steps = 0;  // a clipped interval may leave no bound to estimate
};

// Everything but tensors.
struct TrainingProgress {
  std::int64_t steps = 0;
  NoiseInterval interval;  // in use
  double tokens = 0;       // trained on
  double seconds = 0;      // spent, of all processes
  std::vector<TrainingPoint> curve;
  std::vector<MetricDefinition> metrics;  // of the curve, once each
  StepSums sums;

  // A point of the curve, with what its metric is.
  void note(std::int64_t step, const MetricDefinition& metric, double value);
};

// Throws ConfigError naming `out` where the path is no folder, or one that holds files and no
// training.
void check_training_folder(const std::string& path);

class TrainingFolder {
 public:
  // Takes the folder for this training, and makes it where it is missing. `identity_json` says what
  // the training is. Throws ConfigError naming `out` where another process trains in it now, where
  // it holds another training (naming the settings that differ) or other files; DataError where it
  // cannot be made or written to.
  TrainingFolder(std::string path, std::string identity_json);
  ~TrainingFolder();

  TrainingFolder(const TrainingFolder&) = delete;
  TrainingFolder& operator=(const TrainingFolder&) = delete;

  const std::string& path() const { return path_; }

  // The last checkpoint, put into weights and moments; nothing where there is none yet. Throws
  // DataError for a damaged file.
  std::optional<TrainingProgress> restore(std::span<Parameter> parameters, AdamW& optimizer) const;

  // The checkpoint of now, whole or not at all: the one before stays until then. Throws DataError,
  // also where the disk is full.
  void save(std::span<const Parameter> parameters, AdamW& optimizer,
            const TrainingProgress& progress) const;

  // The model that other commands load: what AdamW::published says, rounded to `dtype`, and
  // config.json. Throws DataError.
  void publish(std::span<const Parameter> parameters, const AdamW& optimizer, const Json& config,
               at::ScalarType dtype) const;

  // The files of a tokenizer folder, beside the model. Throws DataError.
  void copy_tokenizer(const std::string& folder) const;

 private:
  std::string state_path() const;
  void check_identity(bool is_new) const;

  std::string path_, identity_json_;
  int lock_ = -1;
};

}  // namespace dlm
