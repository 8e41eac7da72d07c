// Laws of samplers on small networks, enumerated: against the laws of exact worlds, against texts
// that were drawn, and what ADJUST must leave as it is.
#include "models/sampler_law.h"

#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <ATen/Parallel.h>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "models/exact/policy_law.h"
#include "models/factory.h"
#include "models/sampling/block_sampler.h"
#include "tests/models/adjust/random_adjust.h"
#include "tests/models/dit/random_dit.h"
#include "tests/support/chi_square.h"
#include "tests/support/data.h"

namespace dlm::testing {
namespace {

using Law = std::vector<double>;

std::unique_ptr<BlockDenoiser> small_dit(const RandomDit& dit) {
  const TemporaryFolder folder;
  write_random_dit(folder.path(), dit);
  return load_denoiser(folder.path(), {});
}

std::unique_ptr<BlockDenoiser> small_masked(std::int64_t tokens, std::int64_t length) {
  return small_dit({.model_type = "mdlm",
                    .vocab_size = tokens + 1,
                    .layers = 2,
                    .length = length,
                    .cross_attention = false,
                    .scale = 0.2});
}

AdjustNetwork small_layer(const BlockDenoiser& base, double post_norm) {
  const AdjustConfig config = random_adjust_config(base, std::string(64, '0'));
  return make_adjust_network(config, random_adjust_tensors(config, post_norm),
                             hidden_model_of(base).network_compute());
}

SamplerLawOptions law_options(std::int64_t length, const std::string& policy, std::int64_t K) {
  SamplerLawOptions options;
  options.length = length;
  options.reveal = {policy, K};
  return options;
}

double largest_difference(const Law& a, const Law& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

class SamplerLaw : public ::testing::Test {
 protected:
  SamplerLaw() { at::set_num_threads(1); }

  // Texts drawn by the block loop with small_layer(model, 1), counted.
  std::vector<std::int64_t> counts(const BlockDenoiser& model, const SamplerLawOptions& law,
                                   std::int64_t texts) {
    const auto layer = random_adjust_layer(model, 1);
    BlockSampleOptions options;
    options.block_size = law.block_size > 0 ? law.block_size : law.length;
    options.max_new_tokens = law.length;
    options.reveal = law.reveal;
    options.filter = law.filter;
    options.batch_size = 128;
    options.hooks.refresh = layer.get();
    std::vector<Prompt> prompts(static_cast<std::size_t>(texts));
    for (std::size_t i = 0; i < prompts.size(); ++i) prompts[i].example = i;
    const auto v = static_cast<std::size_t>(model.info().vocab_size - 1);
    std::vector<std::int64_t> seen(static_cast<std::size_t>(
        std::llround(std::pow(static_cast<double>(v), static_cast<double>(law.length)))));
    for (const BlockSample& text : sample_blocks(model, prompts, options)) {
      std::size_t cell = 0;
      for (const std::int64_t id : text.ids) cell = cell * v + static_cast<std::size_t>(id);
      ++seen.at(cell);
    }
    return seen;
  }
};

TEST_F(SamplerLaw, OfAnExactWorldIsItsPolicyLaw) {
  const TabularWorld world({3, 4, 7, 0.5});
  const auto model = load_denoiser(world.spec(), {});
  for (const char* policy : {"random", "left_to_right", "entropy", "confidence"}) {
    for (const std::int64_t K : {1, 2, 4}) {
      for (const std::int64_t block_size : {2, 4}) {
        if (K > block_size)
          continue;
        SamplerLawOptions options = law_options(4, policy, K);
        options.block_size = block_size;
        options.filter.nucleus_p = 0.9;
        const Law truth = policy_law(world, {block_size, options.reveal, options.filter});
        // The worlds' decoder gives logits in f32.
        EXPECT_LT(largest_difference(sampler_law(*model, nullptr, options), truth), 1e-6)
            << policy << " " << K << " " << block_size;
      }
    }
  }
}

TEST_F(SamplerLaw, OneTokenPerStepAsksNoLayer) {
  const auto model = small_masked(3, 4);
  const AdjustNetwork layer = small_layer(*model, 1);
  for (const char* policy : {"random", "left_to_right", "entropy", "first_hitting"}) {
    const SamplerLawOptions options = law_options(4, policy, 1);
    const Law joint = sampler_law(*model, nullptr, options);
    EXPECT_NEAR(std::accumulate(joint.begin(), joint.end(), 0.0), 1, 1e-6);
    EXPECT_EQ(kl_divergence(joint, sampler_law(*model, &layer, options)), 0) << policy;
  }
  const Law random = sampler_law(*model, nullptr, law_options(4, "random", 1));
  EXPECT_EQ(sampler_law(*model, nullptr, law_options(4, "first_hitting", 1)), random);
}

TEST_F(SamplerLaw, ZeroedPostNormIsTheMarginalSampler) {
  const auto model = small_masked(3, 4);
  const AdjustNetwork zero = small_layer(*model, 0);
  const AdjustNetwork other = small_layer(*model, 1);
  for (const char* policy : {"random", "left_to_right", "entropy"}) {
    for (const std::int64_t K : {2, 4}) {
      const SamplerLawOptions options = law_options(4, policy, K);
      const Law marginal = sampler_law(*model, nullptr, options);
      EXPECT_LT(largest_difference(sampler_law(*model, &zero, options), marginal), 1e-6);
      EXPECT_GT(largest_difference(sampler_law(*model, &other, options), marginal), 1e-3);
      const Law joint = sampler_law(*model, nullptr, law_options(4, policy, 1));
      EXPECT_GT(kl_divergence(joint, marginal), 1e-3) << policy << " " << K;
    }
  }
}

TEST_F(SamplerLaw, DrawnTextsFollowIt) {
  const auto model = small_masked(3, 4);
  const AdjustNetwork layer = small_layer(*model, 1);
  for (const char* policy : {"random", "left_to_right", "entropy"}) {
    for (const std::int64_t K : {2, 4}) {
      SamplerLawOptions options = law_options(4, policy, K);
      options.filter.temperature = 1.5;
      SCOPED_TRACE(fmt::format("{} {}", policy, K));
      expect_follows(counts(*model, options, 10000), sampler_law(*model, &layer, options));
    }
  }
}

TEST_F(SamplerLaw, DrawnBlocksFollowIt) {
  const auto model = small_dit({.vocab_size = 3, .layers = 2, .length = 8, .block_size = 4});
  const AdjustNetwork layer = small_layer(*model, 1);
  SamplerLawOptions options = law_options(8, "entropy", 4);
  options.block_size = 4;
  options.batch_size = 7;
  options.filter.temperature = 2;
  const Law law = sampler_law(*model, &layer, options);
  EXPECT_NEAR(std::accumulate(law.begin(), law.end(), 0.0), 1, 1e-6);
  expect_follows(counts(*model, options, 10000), law);
  const Law joint = sampler_law(*model, nullptr, options);
  EXPECT_GT(kl_divergence(joint, law), 1e-3) << "a law that says nothing of the layer";
}

TEST_F(SamplerLaw, BannedTokensHaveNoMass) {
  const auto model = small_masked(3, 4);
  const AdjustNetwork layer = small_layer(*model, 1);
  SamplerLawOptions options = law_options(4, "entropy", 4);
  options.banned_ids = {1};
  const Law law = sampler_law(*model, &layer, options);
  double kept = 0;
  for (std::size_t cell = 0; cell < law.size(); ++cell) {
    bool has = false;
    for (std::size_t rest = cell, i = 0; i < 4; ++i, rest /= 3) has = has || rest % 3 == 1;
    if (has)
      EXPECT_EQ(law[cell], 0) << cell;
    else
      kept += law[cell];
  }
  EXPECT_NEAR(kept, 1, 1e-6);
}

TEST_F(SamplerLaw, RefusesWhatItCannotEnumerate) {
  const auto model = small_masked(3, 4);
  const auto refused = [&](const SamplerLawOptions& options) {
    EXPECT_THROW((void)sampler_law(*model, nullptr, options), ConfigError);
  };
  refused(law_options(4, "maskgit_plus", 1));
  refused(law_options(13, "random", 1));
  refused(law_options(0, "random", 1));
  refused(law_options(4, "random", 5));
  SamplerLawOptions options = law_options(4, "random", 1);
  options.block_size = 3;
  refused(options);
  options = law_options(4, "random", 1);
  options.filter.temperature = 0;
  refused(options);
  options = law_options(4, "random", 1);
  options.banned_ids = {9};
  refused(options);
  const auto world = load_denoiser("exact:tabular?v=3&l=4", {});
  const AdjustNetwork layer = small_layer(*model, 1);
  EXPECT_THROW((void)sampler_law(*world, &layer, law_options(4, "random", 2)), ConfigError);
}

}  // namespace
}  // namespace dlm::testing
