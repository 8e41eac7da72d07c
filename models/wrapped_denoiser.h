// A denoiser around another one: it does what that one does, and something beside (notes when its
// passes begin, say). What is derived says what is beside.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "models/block_decoder.h"

namespace dlm {

class WrappedDecoder : public BlockDecoder {
 public:
  explicit WrappedDecoder(std::unique_ptr<BlockDecoder> inner) : inner_(std::move(inner)) {}

  std::int64_t rows() const override { return inner_->rows(); }

  std::int64_t context_length(std::int64_t row) const override {
    return inner_->context_length(row);
  }

  void clear(std::int64_t row) override { inner_->clear(row); }

  std::span<float> step(std::span<const DecodeStep> steps) override { return inner_->step(steps); }

  const HiddenSource* hidden_source() const override { return inner_->hidden_source(); }

 private:
  std::unique_ptr<BlockDecoder> inner_;
};

class WrappedDenoiser : public BlockDenoiser {
 public:
  // `inner` must outlive it.
  explicit WrappedDenoiser(const BlockDenoiser& inner) : inner_(inner) {}

  const BlockDenoiser& inner() const { return inner_; }

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

  const HiddenModel* hidden_model() const override { return inner_.hidden_model(); }

  PassCounts counts() const override { return inner_.counts(); }

 private:
  const BlockDenoiser& inner_;
};

// The model inside every wrapper: for what its own type alone can say.
inline const BlockDenoiser& innermost(const BlockDenoiser& model) {
  const auto* wrapped = dynamic_cast<const WrappedDenoiser*>(&model);
  return wrapped != nullptr ? innermost(wrapped->inner()) : model;
}

}  // namespace dlm
