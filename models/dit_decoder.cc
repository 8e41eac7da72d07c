// DitModel::new_decoder: diffusion transformers sampled block by block.
#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ops/full.h>

#include "harness/base/error.h"
#include "models/diffusion_transformer/decode_pass.h"
#include "models/diffusion_transformer/dit_head.h"
#include "models/dit.h"
#include "models/hidden_states.h"
#include "models/transformer/inference_scope.h"

namespace dlm {
namespace {

using CountPass = std::function<void(const PassCounts&, std::int64_t head_rows)>;

// Positions a row needs: a text that outgrows the context moves its window through as many again
// before the window goes back to the front.
std::int64_t cache_places(const DecoderOptions& options, std::int64_t max_length) {
  if (options.longest <= max_length)
    return options.longest;
  return std::min(options.longest, 2 * max_length) + options.block_size;
}

class DitDecoder final : public BlockDecoder, public HiddenSource {
 public:
  DitDecoder(const Dit& dit, const ModelInfo& info, const DecoderOptions& options, CountPass count)
      : dit_(dit),
        info_(info),
        options_(options),
        count_(std::move(count)),
        cache_(dit, options.rows, cache_places(options, info.max_length)),
        clean_(static_cast<std::size_t>(options.rows)),
        stored_(static_cast<std::size_t>(options.rows), 0),
        states_(static_cast<std::size_t>(options.rows)),
        block_(static_cast<std::size_t>(options.block_size)) {
    std::iota(block_.begin(), block_.end(), std::int64_t{0});
  }

  std::int64_t rows() const override { return options_.rows; }

  std::int64_t context_length(std::int64_t row) const override {
    return std::min(stored_.at(static_cast<std::size_t>(row)), context());
  }

  void clear(std::int64_t row) override {
    cache_.clear(row);
    clean_.at(static_cast<std::size_t>(row)).clear();
    stored_.at(static_cast<std::size_t>(row)) = 0;
  }

  std::span<float> step(std::span<const DecodeStep> steps) override {
    const InferenceScope scope;
    DecodeShape shape{options_.block_size, context(), {}};
    std::vector<DecodeStep> own(steps.begin(), steps.end());
    for (DecodeStep& step : own) {
      check_step(step);
      shape.sigma.push_back(dit_.sigma_map ? noise_level(dit_.config.noise, step.t).sigma : 0);
      stored_[static_cast<std::size_t>(step.row)] += std::ssize(step.completed);
      if (options_.cache == ContextCache::kOff)
        start_over(step);
      if (options_.keeps_hidden)
        step.wanted = block_;
    }
    const DecodeResult pass = decode_pass(dit_, own, shape, cache_);
    const at::Tensor rows = options_.keeps_hidden ? keep_states(steps, pass.rows) : pass.rows;
    logits_ = head_logits(dit_, rows).cpu().contiguous();
    if (dit_.config.parameterization == DitParameterization::kSedd)
      turn_into_log_scores(steps);
    logits_.select(1, dit_.config.mask_id).fill_(-std::numeric_limits<double>::infinity());
    count_(pass.cost, logits_.size(0));
    return {logits_.mutable_data_ptr<float>(), static_cast<std::size_t>(logits_.numel())};
  }

  const HiddenSource* hidden_source() const override {
    return options_.keeps_hidden ? this : nullptr;
  }

  RowStates hidden(std::int64_t row) const override {
    return states_.at(static_cast<std::size_t>(row));
  }

 private:
  // Keeps what the pass gave of every position of the blocks; returns the wanted rows of it.
  at::Tensor keep_states(std::span<const DecodeStep> steps, const at::Tensor& rows) {
    const std::int64_t size = options_.block_size;
    std::vector<std::int64_t> wanted;
    for (std::size_t s = 0; s < steps.size(); ++s) {
      const auto row = static_cast<std::size_t>(steps[s].row);
      const std::int64_t begin = static_cast<std::int64_t>(s) * size;
      states_[row] = {rows.narrow(0, begin, size), stored_[row]};
      for (const std::int64_t position : steps[s].wanted) wanted.push_back(begin + position);
    }
    return rows.index_select(0, index_tensor(wanted, rows.device()));
  }

  std::int64_t context() const {
    return std::max<std::int64_t>(0, info_.max_length - options_.block_size);
  }

  void check_step(const DecodeStep& step) const {
    const std::int64_t size = options_.block_size;
    DLM_CHECK(step.row >= 0 && step.row < options_.rows && std::ssize(step.block) == size &&
                  std::ssize(step.completed) % size == 0,
              "row {}: a block of {} ids behind {}", step.row, step.block.size(),
              step.completed.size());
    const std::int64_t end =
        stored_[static_cast<std::size_t>(step.row)] + std::ssize(step.completed) + size;
    if (end > options_.longest)
      throw ConfigError("text", fmt::format("{} positions", end),
                        fmt::format("at most {}", options_.longest));
    for (const auto ids : {step.completed, step.block}) {
      for (const std::int64_t id : ids) {
        if (id < 0 || id >= info_.vocab_size)
          throw ConfigError("token", fmt::to_string(id),
                            fmt::format("ids in [0, {})", info_.vocab_size));
      }
    }
    if (std::find(step.completed.begin(), step.completed.end(), dit_.config.mask_id) !=
        step.completed.end())
      throw ConfigError("token", fmt::to_string(dit_.config.mask_id),
                        "finished blocks without the mask");
    if (dit_.sigma_map && !(step.t > 0 && step.t <= 1))
      throw ConfigError("t", fmt::format("{}", step.t), "above 0, at most 1");
  }

  void turn_into_log_scores(std::span<const DecodeStep> steps) {
    std::int64_t row = 0;
    for (const DecodeStep& step : steps) {
      const auto count = std::ssize(step.wanted);
      const at::Tensor part = logits_.narrow(0, row, count);
      const at::Tensor hidden = at::full({1, count}, dit_.config.mask_id, at::kLong);
      const double sigma = noise_level(dit_.config.noise, step.t).sigma;
      part.copy_(sedd_log_scores(dit_.config, part.unsqueeze(0), hidden, {&sigma, 1}).squeeze(0));
      row += count;
    }
  }

  // Without a cache, what the row holds is computed again.
  void start_over(DecodeStep& step) {
    std::vector<std::int64_t>& clean = clean_[static_cast<std::size_t>(step.row)];
    clean.insert(clean.end(), step.completed.begin(), step.completed.end());
    if (std::ssize(clean) > context())
      clean.erase(clean.begin(), clean.end() - context());
    cache_.clear(step.row);
    step.completed = clean;
  }

  const Dit& dit_;
  const ModelInfo& info_;
  DecoderOptions options_;
  CountPass count_;
  BlockCache cache_;
  std::vector<std::vector<std::int64_t>> clean_;  // ContextCache::kOff: what each row holds
  std::vector<std::int64_t> stored_;              // positions given to each row so far
  std::vector<RowStates> states_;                 // keeps_hidden: of each row's block
  std::vector<std::int64_t> block_;               // every position of a block
  at::Tensor logits_;
};

}  // namespace

std::unique_ptr<BlockDecoder> DitModel::new_decoder(const DecoderOptions& options) const {
  const InferenceScope scope;
  const DitConfig& config = dit_.config;
  if (options.rows < 1)
    throw ConfigError("batch_size", std::to_string(options.rows), "at least 1");
  check_sees_blocks_only(options);
  if (options.keeps_hidden && hidden_model() == nullptr)
    throw ConfigError("adjust", "with a score entropy model", "none: it gives no probabilities");
  const bool one_block = options.longest <= options.block_size;
  if (!config.cross_attention && !one_block)
    throw ConfigError("length", std::to_string(options.longest),
                      fmt::format("at most the block size, {}: the model sees no earlier block",
                                  options.block_size));
  const bool fits = options.block_size >= 1 && options.block_size <= info_.max_length;
  if (!fits || (config.cross_attention && info_.max_length % options.block_size != 0))
    throw ConfigError("block_size", std::to_string(options.block_size),
                      fmt::format("a divisor of the model's length, {}", info_.max_length));
  if (sizes_ == BlockSizes::kTrained && config.cross_attention &&
      options.block_size != config.block_size)
    throw ConfigError("block_size", std::to_string(options.block_size),
                      fmt::format("{}, as the model was trained; any_block_size allows others",
                                  config.block_size));
  if (config.cross_attention && config.time_conditioning && !one_block &&
      options.cache == ContextCache::kOn)
    throw ConfigError("cache", "on",
                      "off: in this model the noise level enters the clean context too");
  return std::make_unique<DitDecoder>(
      dit_, info_, options,
      [this](const PassCounts& cost, std::int64_t head_rows) { count(cost, head_rows); });
}

}  // namespace dlm
