// A denoiser that notes the noise level of every pass, and is otherwise the one inside.
#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "models/wrapped_denoiser.h"

namespace dlm::testing {

class NotingDecoder final : public WrappedDecoder {
 public:
  NotingDecoder(std::unique_ptr<BlockDecoder> inner, std::vector<double>& levels)
      : WrappedDecoder(std::move(inner)), levels_(levels) {}

  std::span<float> step(std::span<const DecodeStep> steps) override {
    for (const DecodeStep& step : steps) levels_.push_back(step.t);
    return WrappedDecoder::step(steps);
  }

 private:
  std::vector<double>& levels_;
};

class NotingDenoiser final : public WrappedDenoiser {
 public:
  using WrappedDenoiser::WrappedDenoiser;

  std::unique_ptr<BlockDecoder> new_decoder(const DecoderOptions& options) const override {
    return std::make_unique<NotingDecoder>(inner().new_decoder(options), levels);
  }

  mutable std::vector<double> levels;
};

}  // namespace dlm::testing
