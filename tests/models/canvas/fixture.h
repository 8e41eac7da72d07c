// The tiny models of shared/fixtures that see the whole text, and what was recorded of them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/checkpoint/safetensors.h"
#include "models/checkpoint/weights.h"
#include "models/runtime.h"
#include "models/wrapped_denoiser.h"
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
class RecordingDecoder final : public WrappedDecoder {
 public:
  RecordingDecoder(std::unique_ptr<BlockDecoder> decoder, std::int64_t mask,
                   std::vector<SeenPass>& passes)
      : WrappedDecoder(std::move(decoder)), mask_(mask), passes_(passes) {}

  std::span<float> step(std::span<const DecodeStep> steps) override {
    const DecodeStep& first = steps.front();
    known_.insert(known_.end(), first.completed.begin(), first.completed.end());
    SeenPass pass{known_, std::ssize(known_), std::ssize(known_) + std::ssize(first.block)};
    pass.text.insert(pass.text.end(), first.block.begin(), first.block.end());
    pass.text.insert(pass.text.end(), static_cast<std::size_t>(first.masks_behind), mask_);
    passes_.push_back(std::move(pass));
    return WrappedDecoder::step(steps);
  }

 private:
  std::int64_t mask_;
  std::vector<SeenPass>& passes_;
  Ids known_;
};

class RecordingModel final : public WrappedDenoiser {
 public:
  using WrappedDenoiser::WrappedDenoiser;

  std::unique_ptr<BlockDecoder> new_decoder(const DecoderOptions& options) const override {
    return std::make_unique<RecordingDecoder>(inner().new_decoder(options), mask_id(), passes);
  }

  mutable std::vector<SeenPass> passes;
};

}  // namespace dlm::testing
