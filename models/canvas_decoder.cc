// CanvasModel::new_decoder: texts that the model sees whole, block by block.
#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "harness/base/error.h"
#include "models/canvas_model.h"
#include "models/transformer/inference_scope.h"

namespace dlm {
namespace {

class CanvasDecoder final : public BlockDecoder, public HiddenSource {
 public:
  CanvasDecoder(const CanvasModel& model, const DecoderOptions& options)
      : model_(model),
        options_(options),
        known_(static_cast<std::size_t>(options.rows)),
        begun_(static_cast<std::size_t>(options.rows), -1),
        hidden_(static_cast<std::size_t>(options.rows)) {
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
      std::vector<MaskedText> texts;
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const auto prompt = steps[i].prompt;
        texts.push_back({std::move(rows[i].ids),
                         std::move(rows[i].wanted),
                         {},
                         {prompt.begin(), prompt.end()}});
      }
      logits = model_.guided_logits(texts, options_.guidance);
    } else if (options_.keeps_hidden) {
      logits = kept_logits(std::move(rows));
    } else {
      logits = model_.logits_of(model_.hidden_of(rows, cache_.get()));
      after_pass(steps);
    }
    logits_ = logits.cpu().contiguous();
    return {logits_.mutable_data_ptr<float>(), static_cast<std::size_t>(logits_.numel())};
  }

  const HiddenSource* hidden_source() const override {
    return options_.keeps_hidden ? this : nullptr;
  }

  RowStates hidden(std::int64_t row) const override {
    return {hidden_.at(static_cast<std::size_t>(row)), 0};
  }

 private:
  // A pass whose hidden states stay, all of them, while the head sees the wanted ones.
  at::Tensor kept_logits(std::vector<CanvasRow> rows) {
    std::vector<std::int64_t> wanted;
    std::int64_t offset = 0;
    for (CanvasRow& row : rows) {
      for (const std::int64_t position : row.wanted) wanted.push_back(offset + position);
      row.wanted.resize(row.ids.size());
      std::iota(row.wanted.begin(), row.wanted.end(), std::int64_t{0});
      offset += std::ssize(row.ids);
    }
    const at::Tensor all = normalise(model_.decoder().final_norm, model_.hidden_of(rows, nullptr));
    offset = 0;
    for (const CanvasRow& row : rows) {
      hidden_[static_cast<std::size_t>(row.row)] = all.narrow(0, offset, std::ssize(row.ids));
      offset += std::ssize(row.ids);
    }
    return model_.head_logits_of(all.index_select(0, index_tensor(wanted, all.device())));
  }

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

  const CanvasModel& model_;
  DecoderOptions options_;
  std::vector<std::vector<std::int64_t>> known_;  // clean tokens of each row
  std::vector<std::int64_t> begun_;               // where the block begins that the cache holds
  std::unique_ptr<TransformerCache> cache_;
  std::vector<at::Tensor> hidden_;  // keeps_hidden: of each row
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
  if (options.keeps_hidden && (options.guidance != 1 || options.stale_keys != StaleKeys::kNone))
    throw ConfigError("adjust", "with guidance or stale keys",
                      "alone: its layer needs the states of one whole pass");
  return std::make_unique<CanvasDecoder>(*this, options);
}

}  // namespace dlm
