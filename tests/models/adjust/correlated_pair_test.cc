// Two tokens that are always alike: drawn from one pass they cost ln 2, and one pass of a layer
// whose weights are set by hand takes the cost away.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/ops/eye.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "models/exact/policy_law.h"
#include "models/sampler_law.h"
#include "models/transformer/packed_rows.h"

namespace dlm::testing {
namespace {

constexpr std::int64_t kWidth = 4;
constexpr std::int64_t kMask = 2;  // after the tokens 0 and 1
constexpr double kCertainty = 20;  // logits of what is known

// State of a position: the unit vector of the other position's token, 0 where that is hidden. Its
// head multiplies by kCertainty.
class PairDecoder final : public BlockDecoder, public HiddenSource {
 public:
  explicit PairDecoder(const HiddenModel& model, const DecoderOptions& options)
      : model_(model), options_(options), states_(static_cast<std::size_t>(options.rows)) {}

  std::int64_t rows() const override { return options_.rows; }

  std::int64_t context_length(std::int64_t row) const override { return 0 * row; }

  void clear(std::int64_t row) override { states_.at(static_cast<std::size_t>(row)) = {}; }

  std::span<float> step(std::span<const DecodeStep> steps) override {
    std::vector<float> logits;
    for (const DecodeStep& step : steps) {
      at::Tensor states = at::zeros({2, kWidth});
      for (std::int64_t i = 0; i < 2; ++i) {
        const std::int64_t other = step.block[static_cast<std::size_t>(1 - i)];
        if (other != kMask)
          states.select(0, i).select(0, other).fill_(1);
      }
      states_[static_cast<std::size_t>(step.row)] = {states, 0};
      const at::Tensor all = model_.head_logits_of(states).contiguous();
      for (const std::int64_t position : step.wanted) {
        const float* row = all.const_data_ptr<float>() + position * all.size(1);
        logits.insert(logits.end(), row, row + all.size(1));
      }
    }
    logits_ = std::move(logits);
    return logits_;
  }

  const HiddenSource* hidden_source() const override {
    return options_.keeps_hidden ? this : nullptr;
  }

  RowStates hidden(std::int64_t row) const override {
    return states_.at(static_cast<std::size_t>(row));
  }

 private:
  const HiddenModel& model_;
  DecoderOptions options_;
  std::vector<RowStates> states_;
  std::vector<float> logits_;
};

class PairModel final : public BlockDenoiser, public HiddenModel {
 public:
  PairModel() {
    info_.family = "pair";
    info_.vocab_size = 3;
    info_.max_length = 2;
    shape_ = {3, kWidth, 1, 1, 1, kWidth, kWidth, 2};
  }

  const ModelInfo& info() const override { return info_; }

  DenoiserLoss loss() const override { return DenoiserLoss::kMaskedCrossEntropy; }

  std::int64_t mask_id() const override { return kMask; }

  std::int64_t trained_block_size() const override { return 2; }

  std::unique_ptr<CleanContext> encode(std::span<const std::vector<std::int64_t>> sequences,
                                       std::int64_t block_size) const override {
    throw ConfigError("pair", std::to_string(sequences.size()), std::to_string(block_size));
  }

  std::vector<std::vector<double>> token_terms(const CleanContext& context,
                                               std::span<const MaskQuery> queries) const override {
    throw ConfigError("pair", std::to_string(queries.size()), std::to_string(context.block_size()));
  }

  std::unique_ptr<BlockDecoder> new_decoder(const DecoderOptions& options) const override {
    return std::make_unique<PairDecoder>(*this, options);
  }

  const HiddenModel* hidden_model() const override { return this; }

  PassCounts counts() const override { return {}; }

  const DecoderShape& network_shape() const override { return shape_; }

  const Compute& network_compute() const override { return compute_; }

  at::Tensor embedded(const at::Tensor& ids) const override {
    return at::eye(3, kWidth).index_select(0, ids);
  }

  at::Tensor head_logits_of(const at::Tensor& states) const override {
    at::Tensor logits = states.narrow(1, 0, 3).mul(kCertainty).contiguous();
    logits.select(1, kMask).fill_(-std::numeric_limits<double>::infinity());
    return logits;
  }

  void count_flops(double flops) const override { (void)flops; }

 private:
  ModelInfo info_;
  DecoderShape shape_;
  Compute compute_;
};

// project keeps the token's channels of the embedding; queries and keys are 0, so attention is the
// mean of both positions; values and output pass the channels on; no MLP.
AdjustNetwork copying_layer(const PairModel& base) {
  const Json json = {{"model_type", "adjust"}, {"base_weights_sha256", std::string(64, '0')}};
  const AdjustConfig config = parse_adjust_config(json, base.network_shape(), "config.json");
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, shape] : adjust_tensor_shapes(config)) {
    const bool norm = name.find("norm") != std::string::npos;
    tensors[name] = at::full(shape, norm ? 1.0 : 0.0);
  }
  for (std::int64_t token = 0; token < 2; ++token) {
    for (const char* name : {"down_project.0.weight", "layers.0.0.self_attn.v_proj.weight",
                             "layers.0.0.self_attn.o_proj.weight"})
      tensors.at(name).select(0, token).select(0, token).fill_(1);
  }
  return make_adjust_network(config, tensors, base.network_compute());
}

TEST(CorrelatedPair, ALayerTakesTheCostOfTwoAtOnceAway) {
  const PairModel base;
  const AdjustNetwork layer = copying_layer(base);
  for (const char* policy : {"random", "left_to_right", "entropy"}) {
    SamplerLawOptions options;
    options.length = 2;
    options.reveal.policy = policy;
    const auto joint = sampler_law(base, nullptr, options);
    EXPECT_NEAR(joint[0], 0.5, 1e-6);
    EXPECT_NEAR(joint[3], 0.5, 1e-6);
    options.reveal.tokens_per_step = 2;
    EXPECT_NEAR(kl_divergence(joint, sampler_law(base, nullptr, options)), std::log(2.0), 1e-6);
    EXPECT_LT(std::abs(kl_divergence(joint, sampler_law(base, &layer, options))), 1e-6) << policy;
  }
}

}  // namespace
}  // namespace dlm::testing
