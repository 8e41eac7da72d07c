// What a trained ADJUST layer is worth, exactly: on languages small enough that the law of every
// sampler can be enumerated, a network is trained, then a layer for it.
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "models/adjust_layer.h"
#include "models/checkpoint/checkpoint.h"
#include "models/exact/markov.h"
#include "models/exact/policy_law.h"
#include "models/exact/tabular.h"
#include "models/factory.h"
#include "models/sampler_law.h"
#include "models/training/adjust_trainable.h"
#include "models/training/make_trainable.h"
#include "models/training/trainer.h"
#include "models/training/trajectories.h"
#include "tests/models/training/small_network.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

TrainRecipe optimizer_settings(std::int64_t steps, std::int64_t batch_size, double rate) {
  TrainRecipe recipe;
  recipe.steps = steps;
  recipe.batch_size = batch_size;
  recipe.learning_rate = rate;
  recipe.warmup_steps = 20;
  recipe.schedule = "cosine";
  recipe.final_learning_rate = 0.02;
  recipe.ema_decay = 0;
  return recipe;
}

void train(Trainable& network, const RowSource& rows, const TrainRecipe& recipe) {
  Trainer trainer(network, rows, recipe);
  while (trainer.steps() < recipe.steps) trainer.step();
}

// A masked diffusion model of the world's documents, and a layer for it.
class SmallLanguage {
 public:
  SmallLanguage(std::unique_ptr<ExactWorld> world, std::int64_t length)
      : world_(std::move(world)), length_(length) {}

  void train_base(std::int64_t steps) {
    TrainableSpec spec;
    spec.objective = "mdlm";
    spec.layers = 2;
    spec.width = 32;
    spec.heads = 2;
    spec.cond_dim = 4;
    spec.vocab_size = world_->info().vocab_size + 1;
    spec.length = length_;
    spec.dropout = 0;
    spec.noise_draw = NoiseDraw::kMaskCounts;
    spec.keeps_first_clean = false;
    const auto network = make_trainable(spec);
    const std::int64_t length = length_;
    train(*network, WorldRows(std::move(world_), 1, length), optimizer_settings(steps, 64, 4e-3));
    const std::string path = folder_.file("base");
    testing::save_network(*network, path);
    base_ = load_denoiser(path, {});
    sha256_ = Checkpoint::open(path).weights_sha256();
  }

  void train_layer(std::int64_t depth, std::int64_t steps, double rate) {
    TrajectorySpec trajectories;
    trajectories.base_sha256 = sha256_;
    trajectories.length = length_;
    trajectories.count = 4096;
    trajectories.policy = kPolicy;
    const std::vector<std::vector<std::int64_t>> prompts = {{}};
    const Trajectories set = make_trajectories(*base_, prompts, trajectories,
                                               folder_.file("trajectories"), {256, 4096, {}});
    AdjustTrainingSpec spec;
    spec.base_sha256 = sha256_;
    spec.length = length_;
    spec.heads = 2;
    spec.inner = 64;
    spec.depth = depth;
    const auto network = make_adjust_trainable(*base_, spec);
    train(*network, *trajectory_rows(set, 1), optimizer_settings(steps, 32, rate));
    const std::string path = folder_.file("layer");
    testing::save_network(*network, path);
    layer_ = load_adjust_network(path, hidden_model_of(*base_), sha256_);
  }

  std::vector<double> law(std::int64_t tokens_per_step, const AdjustNetwork* layer) const {
    SamplerLawOptions options;
    options.length = length_;
    options.reveal = {kPolicy, tokens_per_step};
    options.batch_size = 1024;
    return sampler_law(*base_, layer, options);
  }

  const AdjustNetwork& layer() const { return layer_; }

 private:
  static constexpr const char* kPolicy = "entropy";

  testing::TemporaryFolder folder_;
  std::unique_ptr<ExactWorld> world_;
  std::int64_t length_;
  std::unique_ptr<BlockDenoiser> base_;
  std::string sha256_;
  AdjustNetwork layer_;
};

TEST(AdjustEffectSlow, TwoTokensThatAreAlwaysEqual) {
  SmallLanguage language(std::make_unique<TabularWorld>(2, 2, std::vector<double>{0.5, 0, 0, 0.5}),
                         2);
  language.train_base(150);
  language.train_layer(1, 1200, 1e-2);
  const std::vector<double> joint = language.law(1, nullptr);
  const double marginal = kl_divergence(joint, language.law(2, nullptr));
  const double adjusted = kl_divergence(joint, language.law(2, &language.layer()));
  RecordProperty("marginal_millinats", static_cast<int>(1e3 * marginal));
  RecordProperty("adjusted_millinats", static_cast<int>(1e3 * adjusted));
  EXPECT_NEAR(marginal, std::log(2), 0.03);
  EXPECT_LT(adjusted, 0.02);
}

TEST(AdjustEffectSlow, RemovesMostOfTheDivergenceFromTheJoint) {
  SmallLanguage language(
      std::make_unique<MarkovWorld>(MarkovSpec{.vocab_size = 4, .seed = 5, .concentration = 0.3}),
      8);
  language.train_base(600);
  language.train_layer(7, 900, 3e-3);
  const std::vector<double> joint = language.law(1, nullptr);
  const auto removed = [&](std::int64_t tokens_per_step) {
    const double marginal = kl_divergence(joint, language.law(tokens_per_step, nullptr));
    const double adjusted = kl_divergence(joint, language.law(tokens_per_step, &language.layer()));
    EXPECT_GT(marginal, 0.3) << tokens_per_step << ": nothing to remove";
    std::printf("K = %d: KL of marginals %.4f nats, with the layer %.4f: %.1f %% removed\n",
                static_cast<int>(tokens_per_step), marginal, adjusted,
                100 * (1 - adjusted / marginal));
    return 1 - adjusted / marginal;
  };
  EXPECT_GE(removed(2), 0.8);
  EXPECT_GE(removed(4), 0.8);
  EXPECT_GE(removed(8), 0.6);
}

}  // namespace
}  // namespace dlm
