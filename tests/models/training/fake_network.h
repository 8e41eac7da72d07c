// Networks whose best weights are known, behind the interface of the real ones.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "models/training/trainable.h"

namespace dlm::testing {

// One logit for each token, whatever is before it: the loss is the cross-entropy of a unigram law,
// whose best value is the entropy of the ids' frequencies.
class UnigramNetwork : public Trainable {
 public:
  explicit UnigramNetwork(std::int64_t vocab_size);

  std::span<Parameter> parameters() override { return parameters_; }

  BatchLoss accumulate_gradients(const TrainBatch& batch, double scale) override;
  BatchLoss evaluate(const TrainBatch& batch) override;

  void set_noise_interval(NoiseInterval interval) override { interval_ = interval; }

  Json config_json() const override;

  NoiseInterval interval() const { return interval_; }

  // From here on the gradient is NaN, or the network throws as one whose loss is not finite.
  void break_gradient() { gradient_is_nan_ = true; }

  void break_loss() { loss_throws_ = true; }

 private:
  std::vector<double> law() const;

  std::vector<Parameter> parameters_;
  NoiseInterval interval_;
  bool gradient_is_nan_ = false;
  bool loss_throws_ = false;
};

}  // namespace dlm::testing
