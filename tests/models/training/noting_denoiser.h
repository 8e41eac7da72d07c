// A denoiser that notes the noise level of every pass, and is otherwise the one inside.
#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "models/block_decoder.h"

namespace dlm::testing {

class NotingDecoder final : public BlockDecoder {
 public:
  NotingDecoder(std::unique_ptr<BlockDecoder> inner, std::vector<double>& levels)
      : inner_(std::move(inner)), levels_(levels) {}

  std::int64_t rows() const override { return inner_->rows(); }

  std::int64_t context_length(std::int64_t row) const override {
    return inner_->context_length(row);
  }

  void clear(std::int64_t row) override { inner_->clear(row); }

  std::span<float> step(std::span<const DecodeStep> steps) override {
    for (const DecodeStep& step : steps) levels_.push_back(step.t);
    return inner_->step(steps);
  }

  const HiddenSource* hidden_source() const override { return inner_->hidden_source(); }

 private:
  std::unique_ptr<BlockDecoder> inner_;
  std::vector<double>& levels_;
};

class NotingDenoiser final : public BlockDenoiser {
 public:
  explicit NotingDenoiser(const BlockDenoiser& inner) : inner_(inner) {}

  const ModelInfo& info() const override { return inner_.info(); }

  DenoiserLoss loss() const override { return inner_.loss(); }

  std::int64_t mask_id() const override { return inner_.mask_id(); }

  std::int64_t trained_block_size() const override { return inner_.trained_block_size(); }

  bool sees_whole_text() const override { return inner_.sees_whole_text(); }

  std::unique_ptr<CleanContext> encode(std::span<const std::vector<std::int64_t>> sequences,
                                       std::int64_t block_size) const override {
    return inner_.encode(sequences, block_size);
  }

  std::vector<std::vector<double>> token_terms(const CleanContext& context,
                                               std::span<const MaskQuery> queries) const override {
    return inner_.token_terms(context, queries);
  }

  std::unique_ptr<BlockDecoder> new_decoder(const DecoderOptions& options) const override {
    return std::make_unique<NotingDecoder>(inner_.new_decoder(options), levels);
  }

  const HiddenModel* hidden_model() const override { return inner_.hidden_model(); }

  PassCounts counts() const override { return inner_.counts(); }

  mutable std::vector<double> levels;

 private:
  const BlockDenoiser& inner_;
};

}  // namespace dlm::testing
