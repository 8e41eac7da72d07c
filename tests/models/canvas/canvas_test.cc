// Models that see the whole text, on tiny random weights: what must not change a text, and what is
// refused.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "models/canvas_model.h"
#include "models/diffusion/estimator.h"
#include "models/exact/exact_denoiser.h"
#include "models/factory.h"
#include "models/judged_choice.h"
#include "models/runtime.h"
#include "models/sampling/block_sampler.h"
#include "models/sampling/sliding_window.h"
#include "tests/models/canvas/random_canvas.h"
#include "tests/support/data.h"
#include "tests/support/random_checkpoint.h"

namespace dlm::testing {
namespace {

using Ids = std::vector<std::int64_t>;

constexpr std::int64_t kMask = 38;

class CanvasTest : public ::testing::TestWithParam<const char*> {
 protected:
  CanvasTest() {
    if (std::string(GetParam()) == "dream")
      write_random_dream(folder_.path());
    else
      write_random_llada(folder_.path());
  }

  std::unique_ptr<BlockDenoiser> model(const std::string& parameterization = "auto") const {
    return load_denoiser(folder_.path(), {.parameterization = parameterization});
  }

  static std::vector<Ids> texts(const BlockDenoiser& model, const BlockSampleOptions& options) {
    const std::vector<Prompt> prompts = {
        {{3, 1, 4, 1, 5}, 0, 0}, {{2, 7}, 1, 0}, {{9, 9, 9, 9, 9, 9, 9}, 2, 0}, {{2, 7}, 1, 1}};
    std::vector<Ids> ids;
    for (BlockSample& sample : sample_blocks(model, prompts, options))
      ids.push_back(std::move(sample.ids));
    return ids;
  }

  static BlockSampleOptions options(const std::string& policy, std::int64_t K = 1) {
    BlockSampleOptions options;
    options.reveal = {policy, K};
    options.max_new_tokens = 16;
    return options;
  }

  TemporaryFolder folder_;
};

// Throws a ConfigError whose text holds `part`.
template <class Function>
void expect_refused(const Function& function, const std::string& part) {
  try {
    function();
    FAIL() << "accepted: " << part;
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST_P(CanvasTest, TextsDoNotDependOnBatchOrThreads) {
  const auto network = model();
  for (const std::string policy :
       {"entropy", "maskgit_plus", "low_confidence", "factor", "first_hitting", "random"}) {
    BlockSampleOptions one = options(policy, policy == "entropy" ? 4 : 1);
    one.block_size = 8;
    one.batch_size = 1;
    const auto alone = texts(*network, one);
    one.batch_size = 3;
    EXPECT_EQ(texts(*network, one), alone) << policy;
    set_threads(1);
    EXPECT_EQ(texts(*network, one), alone) << policy;
    set_threads(2);
    for (const Ids& text : alone)
      EXPECT_EQ(std::count(text.begin(), text.end(), kMask), 0) << policy;
  }
}

TEST_P(CanvasTest, EachStepIsOnePassAndHeadRowsAreThoseRanked) {
  const auto network = model();
  const Prompt prompt{{3, 1, 4}, 0, 0};
  const PassCounts before = network->counts();
  const BlockSample sample = sample_blocks(*network, {&prompt, 1}, options("entropy", 4)).front();
  const PassCounts counts = network->counts() - before;
  EXPECT_EQ(sample.nfe, 4);
  EXPECT_EQ(counts.passes, 4);
  EXPECT_EQ(counts.positions, 4 * 19);
  EXPECT_EQ(counts.head_rows, 16 + 12 + 8 + 4);
}

TEST_P(CanvasTest, StaleKeysOfASingleStepChangeNothing) {
  const auto network = model();
  BlockSampleOptions plain = options("entropy", 4);
  plain.block_size = 4;  // one step a block, so every pass begins one
  const auto expected = texts(*network, plain);
  for (const StaleKeys keys : {StaleKeys::kPrefix, StaleKeys::kDual}) {
    BlockSampleOptions stale = plain;
    stale.stale_keys = keys;
    EXPECT_EQ(texts(*network, stale), expected);
    stale.reveal.tokens_per_step = 1;
    stale.batch_size = 1;
    const auto alone = texts(*network, stale);
    stale.batch_size = 4;
    EXPECT_EQ(texts(*network, stale), alone);
  }
}

TEST_P(CanvasTest, StaleKeysComputeLess) {
  const Prompt prompt{{3, 1, 4, 1, 5}, 0, 0};
  std::vector<std::int64_t> positions;
  for (const StaleKeys keys : {StaleKeys::kNone, StaleKeys::kPrefix, StaleKeys::kDual}) {
    const auto network = model();
    BlockSampleOptions stale = options("entropy");
    stale.block_size = 8;
    stale.stale_keys = keys;
    sample_blocks(*network, {&prompt, 1}, stale);
    positions.push_back(network->counts().positions);
  }
  const std::int64_t back = std::string(GetParam()) == "dream" ? 1 : 0;
  EXPECT_EQ(positions[0], 16 * 21);
  EXPECT_EQ(positions[1], 2 * 21 + 7 * (16 + back) + 7 * (8 + back));
  EXPECT_EQ(positions[2], 2 * 21 + 14 * (8 + back));
}

TEST_P(CanvasTest, HiddenTokensOfThePromptAreFilledIn) {
  const auto network = model();
  const Prompt prompt{{3, kMask, 4, kMask}, 0, 0};
  const BlockSample sample = sample_blocks(*network, {&prompt, 1}, options("entropy")).front();
  ASSERT_EQ(sample.ids.size(), 20U);
  EXPECT_EQ(sample.ids[0], 3);
  EXPECT_EQ(sample.ids[2], 4);
  EXPECT_EQ(std::count(sample.ids.begin(), sample.ids.end(), kMask), 0);
  EXPECT_EQ(sample.nfe, 18);
}

TEST_P(CanvasTest, BannedTokensNeverAppearAndLateOnesComeLast) {
  const auto network = model();
  BlockSampleOptions banned = options("entropy", 2);
  for (std::int64_t id = 4; id < 40; ++id) {
    if (id != kMask)
      banned.banned_ids.push_back(id);
  }
  for (const Ids& text : texts(*network, banned)) {
    for (std::size_t i = text.size() - 16; i < text.size(); ++i) EXPECT_LT(text[i], 4);
  }
  // Where every token is late but one, those that draw it are revealed before the others.
  BlockSampleOptions late = options("low_confidence");
  late.filter.temperature = 3;
  for (std::int64_t id = 0; id < 40; ++id) {
    if (id != kMask && id % 2 == 0)
      late.late_ids.push_back(id);
  }
  late.block_size = 16;
  EXPECT_EQ(texts(*network, late).size(), 4U);
  expect_refused(
      [&] {
        BlockSampleOptions entropy = options("entropy");
        entropy.late_ids = {3};
        texts(*network, entropy);
      },
      "late_ids");
}

TEST_P(CanvasTest, GuidanceOfOneIsNone) {
  const auto network = model();
  const auto* whole = dynamic_cast<const CanvasModel*>(network.get());
  MaskedText text{{3, 1, kMask, kMask}, {2, 3}, {0, 0}, {3, 1}};
  MaskedText without = text;
  without.ids = {kMask, kMask, kMask, kMask};
  const at::Tensor c = whole->guided_logits({&text, 1}, 1);
  const at::Tensor u = whole->guided_logits({&without, 1}, 1);
  const at::Tensor guided = whole->guided_logits({&text, 1}, 3);
  for (std::int64_t v = 0; v < kMask; ++v) {
    const float expected =
        u[0][v].item<float>() + 3 * (c[0][v].item<float>() - u[0][v].item<float>());
    EXPECT_NEAR(guided[0][v].item<float>(), expected, 1e-3);
  }
  EXPECT_TRUE(std::isinf(guided[0][kMask].item<float>()));
}

// Where the mask is a token, it is drawn at times; the text holds none all the same.
TEST_P(CanvasTest, ACountedMaskLeavesItsPositionHidden) {
  const auto raw = model("raw");
  BlockSampleOptions hot = options("random", 4);
  hot.filter.temperature = 100;  // nearly uniform over 40 tokens
  std::int64_t more = 0;
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    hot.seed = seed;
    const Prompt prompt{{3, 1, 4}, 0, 0};
    const BlockSample sample = sample_blocks(*raw, {&prompt, 1}, hot).front();
    EXPECT_EQ(std::count(sample.ids.begin(), sample.ids.end(), kMask), 0);
    more += sample.nfe > 4 ? 1 : 0;
  }
  EXPECT_GT(more, 0);
}

TEST_P(CanvasTest, EstimatorsAgreeOnAWholeText) {
  const auto network = model();
  const Ids text = {3, 1, 4, 1, 5, 9};
  const std::uint64_t example = 0;
  const auto nats = [&](EstimatorOptions options) {
    options.block_size = 0;
    return estimate_likelihood(*network, {&text, 1}, {&example, 1}, options).sequences.front();
  };
  const SequenceEstimate exact = nats({.name = "enumerate"});
  EXPECT_EQ(exact.n_mc, 0);
  for (const std::string name : {"stratified", "llada", "reference"}) {
    EstimatorOptions options{.name = name, .draws = 4000, .replicates = 500};
    const SequenceEstimate drawn = nats(options);
    const double error = std::sqrt(drawn.m2 / (500.0 * 499.0));
    EXPECT_LT(std::abs(drawn.nats - exact.nats), 4.5 * error) << name;
    EXPECT_GT(error, 0) << name;
  }
  EXPECT_EQ(likelihood_kind({.name = "dream"}, network->loss()), LikelihoodKind::kClipped);
}

TEST_P(CanvasTest, JudgesDecideWhatIsRevealed) {
  const auto network = model();
  TemporaryFolder judge_folder;
  RandomModel shape;
  shape.vocab_size = 40;
  write_random_checkpoint(judge_folder.path(), shape);
  const auto judge = load_network(judge_folder.path(), {});
  JudgedChoiceOptions judged;
  judged.mask_id = kMask;
  BlockSampleOptions plain = options("entropy", 4);
  const auto reranked = make_rerank_choice(*judge, judged);
  plain.hooks.choice = reranked.get();
  const auto better = texts(*network, plain);
  plain.hooks.choice = nullptr;
  const auto without = texts(*network, plain);
  EXPECT_NE(better, without);
  judged.candidates = 1;  // nothing to choose from: the sampler as it was
  const auto single = make_rerank_choice(*judge, judged);
  plain.hooks.choice = single.get();
  EXPECT_EQ(texts(*network, plain), without);

  judged.judge_share = 0;  // the judge has no say: every token agrees, one pass
  const auto free = make_verified_choice(*judge, judged);
  BlockSampleOptions verified = options("entropy");
  verified.hooks.choice = free.get();
  const Prompt prompt{{3, 1, 4}, 0, 0};
  EXPECT_EQ(sample_blocks(*network, {&prompt, 1}, verified).front().nfe, 1);
  judged.judge_share = 1;  // its own greedy text, whatever the denoiser says
  judged.filter.temperature = 0;
  const auto strict = make_verified_choice(*judge, judged);
  verified.hooks.choice = strict.get();
  verified.filter.temperature = 0;
  const BlockSample written = sample_blocks(*network, {&prompt, 1}, verified).front();
  GenerateOptions greedy;
  greedy.filter.temperature = 0;
  greedy.max_new_tokens = 16;
  Ids expected = generate(*judge, {&prompt, 1}, greedy).front().ids;
  EXPECT_TRUE(std::find(expected.begin(), expected.end(), kMask) != expected.end() ||
              Ids(written.ids.begin() + 3, written.ids.end()) == expected);
}

TEST_P(CanvasTest, RefusesWhatDoesNotFit) {
  const auto network = model();
  const auto with = [&](auto change) {
    return [&network, change] {
      BlockSampleOptions settings = options("entropy");
      change(settings);
      texts(*network, settings);
    };
  };
  expect_refused(with([](auto& o) { o.block_size = 5; }), "a divisor of max_new_tokens = 16");
  expect_refused(with([](auto& o) { o.reveal.tokens_per_step = 17; }), "at most the block, 16");
  expect_refused(with([](auto& o) { o.max_new_tokens = 60; }), "at most max_length = 64");
  expect_refused(with([](auto& o) { o.banned_ids = {kMask}; }), "banned_ids");
  expect_refused(with([](auto& o) { o.guidance = -1; }), "guidance");
  expect_refused(with([](auto& o) {
                   o.guidance = 2;
                   o.stale_keys = StaleKeys::kDual;
                 }),
                 "guidance");
  expect_refused([&] { (void)sample_sliding_windows(*network, {}, options("entropy")); },
                 "the model sees the whole text");
  expect_refused([&] { model("sedd"); }, "auto, subs or raw");
  const auto world = make_exact_denoiser("exact:tabular?v=3&l=4");
  expect_refused(
      [&] {
        BlockSampleOptions settings = options("entropy");
        settings.block_size = 4;
        settings.max_new_tokens = 4;
        settings.stale_keys = StaleKeys::kPrefix;
        const Prompt prompt;
        (void)sample_blocks(*world, {&prompt, 1}, settings);
      },
      "stale_keys");
}

TEST_P(CanvasTest, RefusesADamagedFolder) {
  const std::string config = folder_.file("config.json");
  const std::string text(MappedFile::open(config)->text());
  const auto at = text.find("\"mask_token_id\":38");
  ASSERT_NE(at, std::string::npos);
  std::string damaged = text;
  damaged.replace(at, 18, "\"mask_token_id\":99");
  write_file_atomically(config, damaged);
  EXPECT_THROW(model(), DataError);
  write_file_atomically(config, text);
  const std::string weights = folder_.file("model.safetensors");
  std::filesystem::resize_file(weights, std::filesystem::file_size(weights) - 64);
  EXPECT_THROW(model(), DataError);
}

INSTANTIATE_TEST_SUITE_P(Models, CanvasTest, ::testing::Values("dream", "llada"));

}  // namespace
}  // namespace dlm::testing
