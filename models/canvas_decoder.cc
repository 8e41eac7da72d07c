// CanvasModel::new_decoder: texts that the model sees whole, block by block.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "harness/base/error.h"
#include "models/canvas_model.h"
#include "models/transformer/inference_scope.h"

namespace dlm {
namespace {

class CanvasDecoder final : public BlockDecoder {
 public:
  CanvasDecoder(const CanvasModel& model, const DecoderOptions& options)
      : model_(model),
        options_(options),
        known_(static_cast<std::size_t>(options.rows)),
        begun_(static_cast<std::size_t>(options.rows), -1) {
    if (options.stale_keys != StaleKeys::kNone)
      cache_ = model.transformer_cache(options.rows, options.longest);
  }

  std::int64_t rows() const override { return options_.rows; }

  std::int64_t context_length(std::int64_t row) const override {
    return std::ssize(known_.at(static_cast<std::size_t>(row)));
  }

  void clear(std::int64_t row) override {
    known_.at(static_cast<std::size_t>(row)).clear();
    begun_.at(static_cast<std::size_t>(row)) = -1;
  }

  std::span<float> step(std::span<const DecodeStep> steps) override {
    const InferenceScope scope;
    std::vector<CanvasRow> rows;
    for (const DecodeStep& step : steps) rows.push_back(canvas_of(step));
    at::Tensor logits;
    if (options_.guidance != 1) {
      logits = guided(steps, std::move(rows));
    } else {
      logits = model_.logits_of(model_.hidden_of(rows, cache_.get()));
      after_pass(steps);
    }
    logits_ = logits.cpu().contiguous();
    return {logits_.mutable_data_ptr<float>(), static_cast<std::size_t>(logits_.numel())};
  }

 private:
  // Part of the text that this pass computes.
  CanvasRow canvas_of(const DecodeStep& step) {
    auto& known = known_.at(static_cast<std::size_t>(step.row));
    const std::int64_t mask = model_.mask_id();
    for (const std::int64_t id : step.completed) {
      if (id == mask)
        throw ConfigError("token", std::to_string(id), "finished blocks without the mask");
    }
    known.insert(known.end(), step.completed.begin(), step.completed.end());
    const std::int64_t begin = std::ssize(known);
    const std::int64_t end = begin + std::ssize(step.block);
    const std::int64_t length = end + step.masks_behind;
    if (length > options_.longest)
      throw ConfigError("text", fmt::format("{} positions", length),
                        fmt::format("at most {}", options_.longest));
    CanvasRow row;
    row.row = step.row;
    if (continues(step.row, begin)) {
      row.start = slice_start(begin);
      row.behind = options_.stale_keys == StaleKeys::kDual ? step.masks_behind : 0;
    }
    row.ids.assign(known.begin() + row.start, known.end());
    row.ids.insert(row.ids.end(), step.block.begin(), step.block.end());
    row.ids.insert(row.ids.end(), static_cast<std::size_t>(step.masks_behind - row.behind), mask);
    for (const std::int64_t position : step.wanted) row.wanted.push_back(begin + position);
    return row;
  }

  // Whether the cache holds the pass that began the row's block.
  bool continues(std::int64_t row, std::int64_t begin) const {
    return cache_ != nullptr && begun_.at(static_cast<std::size_t>(row)) == begin;
  }

  std::int64_t slice_start(std::int64_t begin) const {
    const bool looks_back = model_.traits().shift == LogitShift::kPrevious &&
                            options_.slice_start == SliceStart::kLookBack;
    return looks_back ? std::max<std::int64_t>(0, begin - 1) : begin;
  }

  void after_pass(std::span<const DecodeStep> steps) {
    if (cache_ == nullptr)
      return;
    for (const DecodeStep& step : steps) {
      const std::int64_t begin = context_length(step.row);
      begun_[static_cast<std::size_t>(step.row)] = begin;
      if (options_.stale_keys == StaleKeys::kPrefix)
        cache_->truncate(step.row, slice_start(begin));
    }
  }

  // The texts twice in one pass, the second time with their prompts hidden.
  at::Tensor guided(std::span<const DecodeStep> steps, std::vector<CanvasRow> rows) {
    const std::size_t count = rows.size();
    for (std::size_t i = 0; i < count; ++i) {
      rows[i].row = static_cast<std::int64_t>(i);
      CanvasRow without = rows[i];
      without.row = static_cast<std::int64_t>(count + i);
      const auto prompt = std::min(steps[i].prompt.size(), without.ids.size());
      for (std::size_t p = 0; p < prompt; ++p) {
        if (steps[i].prompt[p] != model_.mask_id())
          without.ids[p] = model_.mask_id();
      }
      rows.push_back(std::move(without));
    }
    const at::Tensor both = model_.logits_of(model_.hidden_of(rows, nullptr));
    const std::int64_t half = both.size(0) / 2;
    const at::Tensor without = both.narrow(0, half, half);
    at::Tensor logits = without + options_.guidance * (both.narrow(0, 0, half) - without);
    if (model_.traits().mask_logit == MaskLogit::kBanned)  // -inf - -inf
      logits.select(1, model_.mask_id()).copy_(both.narrow(0, 0, half).select(1, model_.mask_id()));
    return logits;
  }

  const CanvasModel& model_;
  DecoderOptions options_;
  std::vector<std::vector<std::int64_t>> known_;  // clean tokens of each row
  std::vector<std::int64_t> begun_;               // where the block begins that the cache holds
  std::unique_ptr<TransformerCache> cache_;
  at::Tensor logits_;
};

}  // namespace

std::unique_ptr<BlockDecoder> CanvasModel::new_decoder(const DecoderOptions& options) const {
  if (options.rows < 1)
    throw ConfigError("batch_size", std::to_string(options.rows), "at least 1");
  if (options.longest > info_.max_length)
    throw ConfigError("length", std::to_string(options.longest),
                      fmt::format("at most max_length = {}", info_.max_length));
  if (!(options.guidance >= 0 && options.guidance < 1e6))
    throw ConfigError("guidance", fmt::format("{}", options.guidance), "a number >= 0, 1 = off");
  if (options.guidance != 1 && options.stale_keys != StaleKeys::kNone)
    throw ConfigError("guidance", fmt::format("{}", options.guidance), "1 with stale keys");
  return std::make_unique<CanvasDecoder>(*this, options);
}

}  // namespace dlm
