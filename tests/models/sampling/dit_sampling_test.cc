// Diffusion transformers sampled: the same text whatever shares a pass, with the cache and without,
// in memory that does not grow.
#include <cmath>
#include <memory>
#include <string>

#include <ATen/Parallel.h>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "models/factory.h"
#include "models/sampling/block_sampler.h"
#include "tests/models/dit/random_dit.h"
#include "tests/support/data.h"

namespace dlm::testing {
namespace {

using Ids = std::vector<std::int64_t>;

std::unique_ptr<BlockDenoiser> random_model(const RandomDit& dit, bool any_block_size = false) {
  const TemporaryFolder folder;
  write_random_dit(folder.path(), dit);
  ModelOptions options;
  options.any_block_size = any_block_size;
  return load_denoiser(folder.path(), options);
}

std::vector<Prompt> prompts_of(std::uint64_t count) {
  std::vector<Prompt> prompts;
  for (std::uint64_t i = 0; i < count; ++i) {
    prompts.push_back({.ids = {}, .example = i});
    for (std::uint64_t j = 0; j <= i % 9; ++j)
      prompts.back().ids.push_back(static_cast<std::int64_t>((i + j * j) % 12));
  }
  return prompts;
}

BlockSampleOptions options_of(std::string policy, std::int64_t per_step, std::int64_t tokens) {
  BlockSampleOptions options;
  options.max_new_tokens = tokens;
  options.reveal.policy = std::move(policy);
  options.reveal.tokens_per_step = per_step;
  options.filter.nucleus_p = 0.9;
  options.batch_size = 16;
  return options;
}

struct Setting {
  std::int64_t batch;
  int threads;
  ContextCache cache;
};

// Returns how many tokens have been compared.
std::int64_t expect_same(const BlockDenoiser& model, std::span<const Prompt> prompts,
                         BlockSampleOptions options, std::span<const Setting> settings) {
  at::set_num_threads(1);
  const auto expected = sample_blocks(model, prompts, options);
  std::int64_t tokens = 0;
  for (const Setting& setting : settings) {
    at::set_num_threads(setting.threads);
    options.batch_size = setting.batch;
    options.cache = setting.cache;
    const auto actual = sample_blocks(model, prompts, options);
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      EXPECT_EQ(actual[i].ids, expected[i].ids)
          << options.reveal.policy << ", batch " << setting.batch << ", threads " << setting.threads
          << ", example " << i << ": smallest margin " << expected[i].margin;
      EXPECT_EQ(actual[i].nfe, expected[i].nfe);
      tokens += expected[i].canvas;
    }
  }
  at::set_num_threads(1);
  return tokens;
}

// Two threads where passes are fewest: on a busy machine they wait for each other.
constexpr Setting kSettings[] = {{1, 1, ContextCache::kOn},
                                 {3, 1, ContextCache::kOn},
                                 {16, 2, ContextCache::kOn},
                                 {16, 1, ContextCache::kOff}};

TEST(DitSampling, BatchThreadsAndCacheChangeNoToken) {
  const auto model = random_model({.length = 64});
  const auto prompts = prompts_of(9);
  expect_same(*model, prompts, options_of("first_hitting", 1, 21), kSettings);
  expect_same(*model, prompts, options_of("entropy", 2, 21), kSettings);
}

TEST(DitSamplingSlow, AHundredThousandTokensWithoutADifference) {
  std::int64_t tokens = 0;
  for (const std::int64_t block_size : {4, 16}) {
    const auto model =
        random_model({.vocab_size = 131, .width = 32, .length = 64, .block_size = block_size});
    const auto prompts = prompts_of(110);
    for (const char* policy : {"first_hitting", "confidence"})
      tokens +=
          expect_same(*model, prompts, options_of(policy, policy[0] == 'f' ? 1 : 2, 55), kSettings);
  }
  EXPECT_GE(tokens, 100000);
}

TEST(DitSampling, CountsWhatAPassComputes) {
  const auto model = random_model({.length = 48});
  const auto sample =
      sample_blocks(*model, std::vector<Prompt>(1), options_of("first_hitting", 1, 12)).front();
  EXPECT_EQ(sample.nfe, 12);
  const PassCounts counts = model->counts();
  EXPECT_EQ(counts.passes, 12);
  EXPECT_EQ(counts.head_rows, 12);
  EXPECT_EQ(counts.positions, 12 * 4 + 2 * 4) << "storing a block is part of the next one's pass";
  EXPECT_EQ(counts.cached_positions, 3 * 4 + 3 * 8 + 4);
  // 3 layers of 12 x 24^2 weights for each position (the last one's rest for wanted rows only),
  // attention, 13 x 24 of the head.
  const double d = 24;
  const double pairs = 4 * (4 * 4 + 4 * 8 + 4 * 12) + 4 * 4 + 4 * 8;
  const double expected =
      2 * (3 * 56 * 3 * d * d + (2 * 56 + 12) * 9 * d * d) + 3 * pairs * 4 * d + 12 * 2 * 13 * d;
  EXPECT_NEAR(counts.flops, expected, 1e-6 * expected);
}

TEST(DitSampling, FullDiffusionIsOneBlock) {
  const auto model = random_model({.model_type = "mdlm", .length = 48, .cross_attention = false});
  auto options = options_of("random", 4, 30);
  options.block_size = 32;
  const auto samples = sample_blocks(*model, std::vector<Prompt>{{.ids = {3, 4}}}, options);
  EXPECT_EQ(samples.front().nfe, 8) << "30 hidden positions, 4 a step";
  EXPECT_EQ(std::ssize(samples.front().ids), 32);
  options.max_new_tokens = 40;
  EXPECT_THROW(sample_blocks(*model, std::vector<Prompt>(1), options), ConfigError)
      << "nothing is seen of an earlier block";
  options.block_size = 0;
  EXPECT_EQ(std::ssize(sample_blocks(*model, std::vector<Prompt>(1), options).front().ids), 40);
}

TEST(DitSampling, PromptsThatEndInsideABlockAndHiddenTokensInThem) {
  const auto model = random_model({.length = 48});
  const std::int64_t mask = model->mask_id();
  const std::vector<Prompt> prompts = {{.ids = {1, 2, mask, 4, 5, mask}, .example = 0},
                                       {.ids = {mask, mask}, .example = 1},
                                       {.ids = {}, .example = 2}};
  for (const BlockSample& sample : sample_blocks(*model, prompts, options_of("margin", 2, 9))) {
    for (const std::int64_t id : sample.ids) EXPECT_TRUE(id >= 0 && id < mask);
  }
  const auto filled = sample_blocks(*model, prompts, options_of("random", 1, 0));
  EXPECT_EQ(filled[0].ids[1], 2);
  EXPECT_EQ(filled[0].ids[3], 4);
  EXPECT_EQ(filled[0].nfe, 1 + 3) << "the second block is generated whole";
  EXPECT_TRUE(filled[2].ids.empty());
}

TEST(DitSampling, TimeConditionedModelsSeeTheNoiseLevel) {
  const RandomDit alone = {
      .length = 16, .block_size = 16, .cross_attention = false, .time_conditioning = true};
  const auto model = random_model(alone);
  auto options = options_of("first_hitting", 1, 16);
  options.block_size = 16;
  const auto sample = sample_blocks(*model, std::vector<Prompt>(1), options).front();
  EXPECT_EQ(std::ssize(sample.ids), 16);
  const auto blocks = random_model({.length = 16, .time_conditioning = true});
  options.block_size = 4;
  EXPECT_THROW(sample_blocks(*blocks, std::vector<Prompt>(1), options), ConfigError);
  options.cache = ContextCache::kOff;
  EXPECT_EQ(std::ssize(sample_blocks(*blocks, std::vector<Prompt>(1), options).front().ids), 16);
}

TEST(DitSampling, SlidesInMemoryThatDoesNotGrow) {
  const auto model = random_model({.width = 16, .layers = 2, .heads = 2, .length = 32});
  auto options = options_of("left_to_right", 4, 2000);
  const auto stopped = sample_blocks(*model, std::vector<Prompt>(1), options).front();
  EXPECT_EQ(stopped.finish, FinishReason::kContext);
  EXPECT_EQ(std::ssize(stopped.ids), 32);
  options.past_context = PastContext::kSlide;
  const auto slid = sample_blocks(*model, std::vector<Prompt>(3), options);
  for (const BlockSample& sample : slid) {
    EXPECT_EQ(sample.finish, FinishReason::kLength);
    EXPECT_EQ(std::ssize(sample.ids), 2000);
    EXPECT_TRUE(std::equal(stopped.ids.begin(), stopped.ids.end(), sample.ids.begin()));
  }
  // The window at its longest is read in every pass but the first few.
  const auto decoder = model->new_decoder({1, 4, 4000, ContextCache::kOn});
  const Ids block(4, model->mask_id());
  const Ids clean = {1, 2, 3, 4};
  const Ids wanted = {0};
  const PassCounts before = model->counts();
  for (int i = 0; i < 900; ++i)
    decoder->step(std::vector<DecodeStep>{{0, clean, block, wanted, 1}});
  EXPECT_EQ(decoder->context_length(0), 28);
  EXPECT_LT((model->counts() - before).cached_positions, 900 * 28);
}

// Moving the window to the front turns its keys back; at what place it lies must not matter.
TEST(DitSampling, WindowsPlaceDoesNotMatter) {
  const auto model = random_model({.length = 32});
  const Ids block(4, model->mask_id());
  const Ids wanted = {0, 1, 2, 3};
  std::vector<std::vector<float>> runs;
  // A row has up to twice the model's length; more room means fewer moves.
  for (const std::int64_t longest : {204, 4000}) {
    const auto decoder = model->new_decoder({1, 4, longest, ContextCache::kOn});
    std::vector<float> last;
    for (std::int64_t i = 0; i < 50; ++i) {
      const Ids clean = {i % 12, (i * 5) % 12, (i * 7) % 12, 3};
      const auto logits = decoder->step(std::vector<DecodeStep>{{0, clean, block, wanted, 1}});
      last.assign(logits.begin(), logits.end());
    }
    runs.push_back(last);
  }
  for (const auto& run : runs) {
    for (std::size_t i = 0; i < run.size(); ++i) {
      if (std::isfinite(run[i])) {
        EXPECT_NEAR(run[i], runs.front()[i], 2e-5);
      }
    }
  }
}

TEST(DitSampling, RefusesWhatTheModelCannotDo) {
  const auto model = random_model({.length = 48});
  EXPECT_THROW(model->new_decoder({1, 8, 16, ContextCache::kOn}), ConfigError);
  EXPECT_THROW(model->new_decoder({0, 4, 16, ContextCache::kOn}), ConfigError);
  EXPECT_NO_THROW(random_model({.length = 48}, true)->new_decoder({1, 8, 16, ContextCache::kOn}));
  EXPECT_THROW(random_model({.length = 48}, true)->new_decoder({1, 7, 14, ContextCache::kOn}),
               ConfigError);
  auto options = options_of("random", 1, 8);
  EXPECT_THROW(sample_blocks(*model, std::vector<Prompt>{{.ids = Ids(49, 1)}}, options),
               ConfigError);
  EXPECT_THROW(sample_blocks(*model, std::vector<Prompt>{{.ids = {13}}}, options), ConfigError);
  const auto decoder = model->new_decoder({1, 4, 8, ContextCache::kOn});
  const Ids masks(4, model->mask_id());
  const Ids clean = {1, 2, 3, 4};
  const Ids wanted = {0};
  EXPECT_THROW(decoder->step(std::vector<DecodeStep>{{0, masks, masks, wanted, 1}}), ConfigError)
      << "masks are not stored";
  decoder->step(std::vector<DecodeStep>{{0, clean, masks, wanted, 1}});
  EXPECT_THROW(decoder->step(std::vector<DecodeStep>{{0, clean, masks, wanted, 1}}), ConfigError)
      << "longer than promised";
}

}  // namespace
}  // namespace dlm::testing
