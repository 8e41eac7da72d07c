// The tiny models of shared/fixtures that see the whole text, and what was recorded of them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/block_decoder.h"
#include "models/checkpoint/safetensors.h"
#include "models/checkpoint/weights.h"
#include "models/runtime.h"
#include "tests/support/data.h"

namespace dlm::testing {

using Ids = std::vector<std::int64_t>;

class CanvasFixture {
 public:
  explicit CanvasFixture(const std::string& name) : folder_(data_path("fixtures/" + name)) {
    set_threads(1);  // networks this small gain nothing from more
    for (const TensorView& view : open_safetensors(folder_ + "/expected.safetensors"))
      expected_[view.name] = as_tensor(view);
  }

  const at::Tensor& operator[](const std::string& name) const { return expected_.at(name); }

  Ids ids(const std::string& name) const { return flat((*this)[name]); }

  // A tensor whose last dimension is tokens, as rows; padding of -1 left off.
  std::vector<Ids> rows(const std::string& name) const {
    const at::Tensor& all = (*this)[name];
    const at::Tensor table = all.contiguous().view({-1, all.size(-1)});
    std::vector<Ids> rows;
    for (std::int64_t i = 0; i < table.size(0); ++i) {
      rows.push_back(flat(table.select(0, i)));
      std::erase(rows.back(), -1);
    }
    return rows;
  }

  double value(const std::string& name) const {
    return (*this)[name].view({-1})[0].item().toDouble();
  }

  const std::string& folder() const { return folder_; }

 private:
  static Ids flat(const at::Tensor& tensor) {
    const at::Tensor flat = tensor.contiguous().view({-1});
    const auto* data = flat.const_data_ptr<std::int64_t>();
    return {data, data + flat.numel()};
  }

  std::string folder_;
  std::map<std::string, at::Tensor> expected_;
};

// A pass as the network sees row 0: its whole text, and where its block lies.
struct SeenPass {
  Ids text;
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

// Notes what a decoder is given.
class RecordingDecoder final : public BlockDecoder {
 public:
  RecordingDecoder(std::unique_ptr<BlockDecoder> decoder, std::int64_t mask,
                   std::vector<SeenPass>& passes)
      : decoder_(std::move(decoder)), mask_(mask), passes_(passes) {}

  std::int64_t rows() const override { return decoder_->rows(); }

  std::int64_t context_length(std::int64_t row) const override {
    return decoder_->context_length(row);
  }

  void clear(std::int64_t row) override { decoder_->clear(row); }

  std::span<float> step(std::span<const DecodeStep> steps) override {
    const DecodeStep& first = steps.front();
    known_.insert(known_.end(), first.completed.begin(), first.completed.end());
    SeenPass pass{known_, std::ssize(known_), std::ssize(known_) + std::ssize(first.block)};
    pass.text.insert(pass.text.end(), first.block.begin(), first.block.end());
    pass.text.insert(pass.text.end(), static_cast<std::size_t>(first.masks_behind), mask_);
    passes_.push_back(std::move(pass));
    return decoder_->step(steps);
  }

 private:
  std::unique_ptr<BlockDecoder> decoder_;
  std::int64_t mask_;
  std::vector<SeenPass>& passes_;
  Ids known_;
};

class RecordingModel final : public BlockDenoiser {
 public:
  explicit RecordingModel(const BlockDenoiser& model) : model_(model) {}

  const ModelInfo& info() const override { return model_.info(); }

  DenoiserLoss loss() const override { return model_.loss(); }

  std::int64_t mask_id() const override { return model_.mask_id(); }

  std::int64_t trained_block_size() const override { return model_.trained_block_size(); }

  bool sees_whole_text() const override { return model_.sees_whole_text(); }

  std::unique_ptr<CleanContext> encode(std::span<const Ids> sequences,
                                       std::int64_t block_size) const override {
    return model_.encode(sequences, block_size);
  }

  std::vector<std::vector<double>> token_terms(const CleanContext& context,
                                               std::span<const MaskQuery> queries) const override {
    return model_.token_terms(context, queries);
  }

  std::unique_ptr<BlockDecoder> new_decoder(const DecoderOptions& options) const override {
    return std::make_unique<RecordingDecoder>(model_.new_decoder(options), model_.mask_id(),
                                              passes);
  }

  PassCounts counts() const override { return model_.counts(); }

  mutable std::vector<SeenPass> passes;

 private:
  const BlockDenoiser& model_;
};

}  // namespace dlm::testing
