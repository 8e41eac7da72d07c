// The block loop on worlds whose conditionals are known: what it asks the model, what it keeps,
// when it stops.
#include "models/sampling/block_sampler.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>
#include <omp.h>

#include "harness/base/error.h"
#include "models/exact/exact_denoiser.h"
#include "models/exact/markov.h"
#include "models/sampling/sliding_window.h"

namespace dlm {
namespace {

using Ids = std::vector<std::int64_t>;

std::unique_ptr<ExactDenoiser> markov() {
  return make_exact_denoiser("exact:markov?v=8&seed=2&concentration=0.7");
}

BlockSampleOptions options_of(std::string policy, std::int64_t block_size, std::int64_t tokens) {
  BlockSampleOptions options;
  options.block_size = block_size;
  options.max_new_tokens = tokens;
  options.reveal.policy = std::move(policy);
  return options;
}

std::vector<Prompt> prompts_of(std::uint64_t count) {
  std::vector<Prompt> prompts;
  for (std::uint64_t i = 0; i < count; ++i)
    prompts.push_back({.ids = Ids(i % 6, static_cast<std::int64_t>(i % 8)), .example = i});
  return prompts;
}

std::vector<BlockSampleOptions> every_policy() {
  std::vector<BlockSampleOptions> all;
  for (const std::string& policy : reveal_policy_names()) {
    all.push_back(options_of(policy, 4, 18));
    if (policy.starts_with("ancestral") || policy == "origin")
      all.back().reveal.steps = 5;
    else if (policy != "first_hitting" && policy != "threshold" && !policy.starts_with("factor"))
      all.back().reveal.tokens_per_step = 2;
    all.back().filter.nucleus_p = 0.9;
  }
  return all;
}

TEST(BlockSampler, TellsThePassThatRevealedEachToken) {
  const auto model = markov();
  const auto prompts = prompts_of(9);
  for (const BlockSampleOptions& options : every_policy()) {
    const auto samples = sample_blocks(*model, prompts, options);
    for (std::size_t i = 0; i < samples.size(); ++i) {
      const Ids& passes = samples[i].revealed_in;
      ASSERT_EQ(passes.size(), samples[i].ids.size()) << options.reveal.policy;
      const auto begin = passes.begin() + samples[i].prompt_tokens;
      EXPECT_EQ(std::count(passes.begin(), begin, 0), samples[i].prompt_tokens);
      EXPECT_EQ(*std::min_element(begin, passes.end()), 1) << options.reveal.policy;
      EXPECT_LE(*std::max_element(begin, passes.end()), samples[i].nfe) << options.reveal.policy;
    }
  }
  BlockSampleOptions options = options_of("left_to_right", 4, 10);
  options.reveal.tokens_per_step = 2;
  const std::vector<Prompt> one = {{.ids = {3}, .example = 1}};
  // A token of the first block is given; the last block is written whole, then cut.
  EXPECT_EQ(sample_blocks(*model, one, options)[0].revealed_in,
            (Ids{0, 1, 1, 2, 3, 3, 4, 4, 5, 5, 6}));
}

TEST(BlockSampler, FillsEveryPositionAndKeepsThePrompt) {
  const auto model = markov();
  const auto prompts = prompts_of(9);
  for (const BlockSampleOptions& options : every_policy()) {
    const auto samples = sample_blocks(*model, prompts, options);
    for (std::size_t i = 0; i < samples.size(); ++i) {
      const Ids& ids = samples[i].ids;
      ASSERT_EQ(ids.size(), prompts[i].ids.size() + 18) << options.reveal.policy;
      EXPECT_TRUE(std::equal(prompts[i].ids.begin(), prompts[i].ids.end(), ids.begin()));
      for (const std::int64_t id : ids) EXPECT_TRUE(id >= 0 && id < 8);
      EXPECT_EQ(samples[i].finish, FinishReason::kLength);
      EXPECT_GE(samples[i].margin, 0);
    }
  }
}

TEST(BlockSampler, BatchThreadsAndCacheChangeNothing) {
  const auto model = markov();
  const auto prompts = prompts_of(23);
  for (BlockSampleOptions options : every_policy()) {
    options.batch_size = 1;
    const auto expected = sample_blocks(*model, prompts, options);
    for (const std::int64_t batch : {3, 16}) {
      for (const ContextCache cache : {ContextCache::kOn, ContextCache::kOff}) {
        for (const int threads : {1, 2}) {
          omp_set_num_threads(threads);
          options.batch_size = batch;
          options.cache = cache;
          const auto actual = sample_blocks(*model, prompts, options);
          for (std::size_t i = 0; i < prompts.size(); ++i) {
            ASSERT_EQ(actual[i].ids, expected[i].ids) << options.reveal.policy;
            EXPECT_EQ(actual[i].nfe, expected[i].nfe);
            EXPECT_EQ(actual[i].margin, expected[i].margin);
          }
        }
      }
    }
  }
}

TEST(BlockSampler, BlocksOfOneAreLeftToRight) {
  const auto model = markov();
  const auto prompts = prompts_of(20);
  for (const char* policy : {"first_hitting", "entropy", "left_to_right"}) {
    const auto samples = sample_blocks(*model, prompts, options_of(policy, 1, 9));
    for (const BlockSample& sample : samples) EXPECT_EQ(sample.nfe, 9);
  }
  // The same texts as the autoregressive sampler's where both see the same laws and numbers.
  BlockSampleOptions greedy = options_of("left_to_right", 1, 9);
  greedy.filter.temperature = 0;
  const auto blocks = sample_blocks(*model, prompts, greedy);
  const auto tokens =
      generate(model->world(), prompts, {.max_new_tokens = 9, .filter = greedy.filter});
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const Ids fresh(blocks[i].ids.begin() + std::ssize(prompts[i].ids), blocks[i].ids.end());
    EXPECT_EQ(fresh, tokens[i].ids);
  }
}

TEST(BlockSampler, HeadSeesOnlyRowsThatAreRevealed) {
  const auto model = markov();
  const std::vector<Prompt> one(1);
  PassCounts before = model->counts();
  sample_blocks(*model, one, options_of("first_hitting", 4, 12));
  PassCounts pass = model->counts() - before;
  EXPECT_EQ(pass.passes, 12);
  EXPECT_EQ(pass.head_rows, 12);
  // Twelve steps of four positions, and two finished blocks stored along with a step.
  EXPECT_EQ(pass.positions, 12 * 4 + 2 * 4);
  EXPECT_EQ(pass.cached_positions, 4 * 0 + 3 * 4 + 3 * 8 + 4);
  before = model->counts();
  sample_blocks(*model, one, options_of("confidence", 4, 12));
  pass = model->counts() - before;
  EXPECT_EQ(pass.passes, 12);
  EXPECT_EQ(pass.head_rows, 3 * (4 + 3 + 2 + 1)) << "every hidden position is ranked";
}

TEST(BlockSampler, StepsThatRevealNothingNeedNoPass) {
  const auto model = markov();
  BlockSampleOptions options = options_of("ancestral", 4, 8);
  options.reveal.steps = 500;
  const auto sample = sample_blocks(*model, std::vector<Prompt>(1), options).front();
  EXPECT_LE(sample.nfe, 8);
  EXPECT_GE(sample.nfe, 6);
  EXPECT_EQ(model->counts().passes, sample.nfe);
}

TEST(BlockSampler, PassesFallWithTokensPerStep) {
  const auto model = markov();
  for (const std::int64_t per_step : {1, 2, 3, 4, 7}) {
    BlockSampleOptions options = options_of("entropy", 4, 12);
    options.reveal.tokens_per_step = per_step;
    const auto sample = sample_blocks(*model, std::vector<Prompt>(1), options).front();
    EXPECT_EQ(sample.nfe, 3 * ((4 + per_step - 1) / per_step));
  }
}

TEST(BlockSampler, ABlockPartlyAskedForIsGeneratedWholeAndCut) {
  const auto model = markov();
  const auto whole = sample_blocks(*model, std::vector<Prompt>(1), options_of("random", 4, 12));
  const auto cut = sample_blocks(*model, std::vector<Prompt>(1), options_of("random", 4, 9));
  EXPECT_EQ(cut.front().canvas, 12);
  EXPECT_EQ(cut.front().ids, Ids(whole.front().ids.begin(), whole.front().ids.begin() + 9));
}

TEST(BlockSampler, FillsHiddenTokensOfThePrompt) {
  // Two states that always alternate: the known neighbours leave no choice.
  const auto world = std::make_shared<MarkovWorld>(std::vector<double>{0, 1, 1, 0},
                                                   std::optional<std::vector<double>>({0.5, 0.5}));
  const ExactDenoiser model(world);
  const std::int64_t mask = model.mask_id();
  const Prompt prompt{.ids = {mask, 1, mask, mask, mask, mask, 0}};
  const auto sample =
      sample_blocks(model, std::vector<Prompt>{prompt}, options_of("random", 4, 2)).front();
  EXPECT_EQ(sample.ids, (Ids{0, 1, 0, 1, 0, 1, 0, 1, 0}));
  EXPECT_EQ(sample.prompt_tokens, 7);
  EXPECT_EQ(sample.nfe, 3 + 3 + 4) << "the last block is generated whole";
}

TEST(BlockSampler, StopsAtAStopIdAndAtLowEntropy) {
  const auto cycle = std::make_shared<MarkovWorld>(std::vector<double>{0, 1, 0, 0, 0, 1, 1, 0, 0},
                                                   std::optional<std::vector<double>>({1, 0, 0}));
  const ExactDenoiser model(cycle);
  BlockSampleOptions options = options_of("random", 4, 400);
  options.stop.stop_ids = {2};
  const Prompt given{.ids = {0, 1, 2, 0}};
  auto sample = sample_blocks(model, std::vector<Prompt>{given}, options).front();
  EXPECT_EQ(sample.ids, (Ids{0, 1, 2, 0, 1, 2})) << "what the prompt holds stops nothing";
  EXPECT_EQ(sample.finish, FinishReason::kStop);
  EXPECT_EQ(sample.canvas, 4);
  options.stop = {.stop_ids = {}, .entropy_floor = 4};
  sample = sample_blocks(model, std::vector<Prompt>(1), options).front();
  EXPECT_EQ(sample.finish, FinishReason::kEntropy);
  EXPECT_EQ(std::ssize(sample.ids), 260 - 256);
  // A prompt that repeats itself ends nothing; behind it 256 tokens do.
  Prompt dull{.ids = Ids(300, 0)};
  for (std::size_t i = 0; i < dull.ids.size(); ++i) dull.ids[i] = static_cast<std::int64_t>(i % 3);
  sample = sample_blocks(model, std::vector<Prompt>{dull}, options).front();
  EXPECT_EQ(sample.finish, FinishReason::kEntropy);
  EXPECT_EQ(sample.canvas, 256);
  EXPECT_EQ(std::ssize(sample.ids), 300);
}

TEST(BlockSampler, AFinishedRowMakesPlaceForTheNextPrompt) {
  const auto model = markov();
  BlockSampleOptions options = options_of("random", 2, 64);
  options.stop.stop_ids = {3};
  options.batch_size = 4;
  const auto prompts = prompts_of(40);
  const auto samples = sample_blocks(*model, prompts, options);
  std::int64_t longest = 0;
  std::int64_t total = 0;
  for (const BlockSample& sample : samples) {
    longest = std::max(longest, sample.nfe);
    total += sample.nfe;
  }
  EXPECT_EQ(model->counts().head_rows, total) << "finished rows cost nothing";
  EXPECT_LT(model->counts().passes, total / 4 + longest + 1);
}

TEST(BlockSampler, StopsWhereTheContextIsFull) {
  const auto model = make_exact_denoiser("exact:tabular?v=3&l=6");
  const auto sample =
      sample_blocks(*model, std::vector<Prompt>{{.ids = {1, 0, 2}}}, options_of("random", 2, 30))
          .front();
  EXPECT_EQ(sample.finish, FinishReason::kContext);
  EXPECT_EQ(std::ssize(sample.ids), 6);
  EXPECT_EQ(std::ssize(sample_blocks(*model, std::vector<Prompt>{{.ids = {1, 0, 2, 2, 1}}},
                                     options_of("random", 4, 30))
                           .front()
                           .ids),
            5)
      << "a block that does not fit is not begun; the prompt stays";
}

TEST(BlockSampler, GreedyTakesTheMostProbableToken) {
  const auto model = make_exact_denoiser("exact:tabular?v=4&l=3&seed=8&concentration=1");
  BlockSampleOptions options = options_of("confidence", 3, 3);
  options.filter.temperature = 0;
  const auto sample = sample_blocks(*model, std::vector<Prompt>(1), options).front();
  Ids known(3, -1);
  for (int step = 0; step < 3; ++step) {
    const auto laws = model->world().conditionals(known);
    double best = 0;
    std::size_t where = 0;
    for (std::size_t i = 0; i < laws.size(); ++i) {
      if (known[i / 4] < 0 && laws[i] > best) {
        best = laws[i];
        where = i;
      }
    }
    known[where / 4] = static_cast<std::int64_t>(where % 4);
  }
  EXPECT_EQ(sample.ids, known);
}

// Hides the first revealed position of every block once more.
class HideOnce final : public Remask {
 public:
  std::vector<std::int64_t> hide_again(const RemaskView& view) override {
    EXPECT_EQ(view.given.size(), 1U);
    if (view.step > 0)
      return {};
    for (std::int64_t i = 1; i < std::ssize(view.block); ++i) {
      if (view.block[static_cast<std::size_t>(i)] != 8)
        return {i};
    }
    ADD_FAILURE() << "nothing was revealed";
    return {};
  }
};

TEST(BlockSampler, RemaskedTokensAreDrawnAgain) {
  const auto model = markov();
  HideOnce remask;
  BlockSampleOptions options = options_of("random", 4, 3);
  options.hooks.remask = &remask;
  const auto sample = sample_blocks(*model, std::vector<Prompt>{{.ids = {5}}}, options).front();
  EXPECT_EQ(sample.nfe, 4);
  EXPECT_EQ(sample.canvas, 4);
  EXPECT_EQ(std::ssize(sample.ids), 4);
}

TEST(SlidingWindow, EachHalfSeesTheOneBefore) {
  // Two states that always alternate: a window that did not see the last one would break the order
  // half of the time.
  const auto world = std::make_shared<MarkovWorld>(std::vector<double>{0, 1, 1, 0},
                                                   std::optional<std::vector<double>>({0.5, 0.5}));
  const ExactDenoiser model(world);
  const auto samples = sample_sliding_windows(
      model, std::vector<Prompt>{{.ids = {1}, .example = 0}, {.ids = {0, 1, 0}, .example = 1}},
      options_of("random", 8, 27));
  for (const BlockSample& sample : samples) {
    ASSERT_EQ(std::ssize(sample.ids), sample.prompt_tokens + 27);
    for (std::size_t i = 1; i < sample.ids.size(); ++i) EXPECT_NE(sample.ids[i], sample.ids[i - 1]);
    ASSERT_EQ(sample.revealed_in.size(), sample.ids.size());
    EXPECT_EQ(std::count(sample.revealed_in.begin(), sample.revealed_in.end(), 0),
              sample.prompt_tokens);
  }
  EXPECT_EQ(samples[0].nfe, 7 + 5 * 4) << "a whole window, then half windows";
  EXPECT_EQ(*std::max_element(samples[0].revealed_in.begin(), samples[0].revealed_in.end()),
            samples[0].nfe);
}

TEST(SlidingWindow, WindowsDrawNumbersOfTheirOwn) {
  // Independent fair coins: the same numbers would give the same half window again.
  const auto world = std::make_shared<MarkovWorld>(std::vector<double>{0.5, 0.5, 0.5, 0.5},
                                                   std::optional<std::vector<double>>({0.5, 0.5}));
  const ExactDenoiser model(world);
  const Ids text =
      sample_sliding_windows(model, std::vector<Prompt>(1), options_of("left_to_right", 64, 128))
          .front()
          .ids;
  EXPECT_FALSE(std::equal(text.begin() + 64, text.begin() + 96, text.begin() + 96));
  EXPECT_THROW(sample_sliding_windows(model, std::vector<Prompt>(1), options_of("random", 7, 20)),
               ConfigError);
  EXPECT_THROW(sample_sliding_windows(model, std::vector<Prompt>{{.ids = Ids(9, 0)}},
                                      options_of("random", 8, 20)),
               ConfigError);
}

TEST(BlockSampler, RefusesBadInput) {
  const auto model = make_exact_denoiser("exact:tabular?v=3&l=6");
  const auto refused = [&](const BlockSampleOptions& options, Prompt prompt,
                           const std::string& field) {
    try {
      sample_blocks(*model, std::vector<Prompt>{std::move(prompt)}, options);
      ADD_FAILURE() << field << " accepted";
    } catch (const ConfigError& error) {
      EXPECT_NE(std::string(error.what()).find(field), std::string::npos) << error.what();
    }
  };
  const BlockSampleOptions good = options_of("random", 2, 4);
  const auto with = [&](auto change) {
    BlockSampleOptions options = good;
    change(options);
    return options;
  };
  refused(with([](auto& o) { o.block_size = 0; }), {}, "block_size");
  refused(with([](auto& o) { o.block_size = -4; }), {}, "block_size");
  refused(with([](auto& o) { o.block_size = 7; }), {}, "block_size");
  refused(with([](auto& o) { o.max_new_tokens = -1; }), {}, "max_new_tokens");
  refused(with([](auto& o) { o.batch_size = 0; }), {}, "batch_size");
  refused(with([](auto& o) { o.reveal.tokens_per_step = 0; }), {}, "tokens_per_step");
  refused(with([](auto& o) { o.reveal.policy = "ancestral"; }), {}, "steps");
  refused(with([](auto& o) { o.filter.nucleus_p = 0; }), {}, "nucleus_p");
  refused(with([](auto& o) { o.filter.temperature = -1; }), {}, "temperature");
  refused(with([](auto& o) { o.stop.stop_ids = {3}; }), {}, "stop_ids");
  refused(with([](auto& o) { o.stop.entropy_floor = -1; }), {}, "entropy_floor");
  refused(good, {.ids = {0, 1, 2, 0, 1, 2, 0}}, "prompt 0");
  refused(good, {.ids = {0, 4}}, "prompt 0");
  refused(good, {.ids = {-1}}, "prompt 0");
  EXPECT_TRUE(sample_blocks(*model, {}, good).empty());
}

}  // namespace
}  // namespace dlm
