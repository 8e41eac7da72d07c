// From a run's settings to texts: the end of a text held back, helpers loaded once.
#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/model_loading.h"
#include "harness/read_settings.h"
#include "harness/text_sampling.h"
#include "harness/whole_text_settings.h"
#include "models/exact/tabular.h"
#include "models/runtime.h"
#include "tests/models/canvas/random_canvas.h"
#include "tests/models/dit/random_dit.h"
#include "tests/support/data.h"
#include "tests/support/tiny_model.h"

namespace dlm::testing {
namespace {

using Ids = std::vector<std::int64_t>;

constexpr std::int64_t kEos = 37;  // of random_canvas.h, 40 tokens

class TextSamplerTest : public ::testing::Test {
 protected:
  TextSamplerTest() { set_threads(1); }

  LoadedModel dream(std::int64_t vocab_size = 40) {
    write_random_dream(folder_.file("dream"), vocab_size);
    return load_model(folder_.file("dream"), {});
  }

  LoadedModel scores() {
    write_random_dit(folder_.file("scores"), {.length = 32,
                                              .block_size = 32,
                                              .cross_attention = false,
                                              .time_conditioning = true,
                                              .variance_search = false});
    return load_model(folder_.file("scores"), {});
  }

  static RunSpec spec_of(const std::string& sampler) {
    RunSpec spec;
    spec.sampler.name = sampler;
    spec.batch_size = 4;
    return spec;
  }

  static std::vector<Prompt> prompts(std::uint64_t count) {
    std::vector<Prompt> all;
    for (std::uint64_t i = 0; i < count; ++i) all.push_back({{3, 1, 4}, i, 0});
    return all;
  }

  static std::int64_t ends(const RunSpec& spec, const LoadedModel& model) {
    std::int64_t count = 0;
    for (const SampledText& text : sample_texts(spec, model, prompts(40), {16, {}}))
      count += std::count(text.fresh.begin(), text.fresh.end(), kEos);
    return count;
  }

  // A text is the same whatever is written beside it: alone, behind a longer prompt, in batches.
  static void expect_no_company(RunSpec spec, const LoadedModel& model) {
    SCOPED_TRACE(spec.sampler.name);
    const std::vector<Prompt> all = {{{3, 1}, 0, 0}, {{2, 7, 1, 8, 2, 8}, 1, 0}, {{5}, 2, 0}};
    const TextEnding ending{8, {}};
    std::vector<SampledText> alone;
    for (const Prompt& prompt : all) {
      alone.push_back(sample_texts(spec, model, {&prompt, 1}, ending).front());
      EXPECT_EQ(alone.back().fresh.size(), 8U);
    }
    for (const std::int64_t batch : {1, 2, 3}) {
      spec.batch_size = batch;
      const auto together = sample_texts(spec, model, all, ending);
      for (std::size_t i = 0; i < all.size(); ++i) {
        EXPECT_EQ(together[i].fresh, alone[i].fresh) << batch << " " << i;
        EXPECT_EQ(together[i].all.size(), all[i].ids.size() + 8) << batch << " " << i;
        EXPECT_EQ(together[i].nfe, alone[i].nfe) << batch << " " << i;
      }
    }
  }

  TemporaryFolder folder_;
};

TEST_F(TextSamplerTest, TextsOfEverySamplerDoNotDependOnTheirCompany) {
  const LoadedModel whole = dream();
  write_random_dit(folder_.file("blocks"), {.length = 32});
  const LoadedModel blocks = load_model(folder_.file("blocks"), {});
  for (const std::string& name : reveal_policy_names()) {
    RunSpec spec = spec_of(name);
    const bool by_time = name == "origin" || name.starts_with("ancestral");
    spec.sampler.steps = by_time ? 5 : 0;
    expect_no_company(spec, whole);
    expect_no_company(spec, blocks);
  }
  RunSpec spec = spec_of("analytic");
  spec.sampler.steps = 6;
  expect_no_company(spec, scores());
  write_random_dit(folder_.file("masked"),
                   {.model_type = "mdlm", .length = 16, .cross_attention = false});
  expect_no_company(spec_of("semi_autoregressive"), load_model(folder_.file("masked"), {}));
  write_tiny_model(folder_.file("left_to_right"));
  expect_no_company(spec_of("autoregressive"), load_model(folder_.file("left_to_right"), {}));
  const LoadedModel bytes = dream(257);
  for (const char* name : {"rerank", "verified"}) {
    spec = spec_of(name);
    spec.sampler.verifier = folder_.file("left_to_right");
    expect_no_company(spec, bytes);
  }
}

TEST_F(TextSamplerTest, SuppressedEndsAreBannedOrRevealedLast) {
  write_random_llada(folder_.file("llada"));
  const LoadedModel llada = load_model(folder_.file("llada"), {});
  const LoadedModel base = dream();

  struct Case {
    const LoadedModel& model;
    const char* suppress;
    const char* published;
    double temperature;
    Ids banned, late;
  };

  const std::vector<Case> cases = {
      {base, "none", "none", 1, {}, {}},
      {base, "never", "none", 1, {kEos}, {}},
      {base, "last", "none", 1, {}, {kEos}},
      {llada, "never", "none", 0, {kEos}, {}},
      {llada, "last", "none", 1, {}, {kEos}},
      {llada, "last", "llada", 0, {}, {kEos}},
      // As published: above temperature 0 only the end of a turn is held back, and there is none.
      {llada, "last", "llada", 1, {}, {}},
  };
  for (const Case& one : cases) {
    RunSpec spec;
    spec.sampler.suppress_eos = one.suppress;
    spec.sampler.published = one.published;
    spec.sampler.temperature = one.temperature;
    BlockSampleOptions options;
    add_whole_text_settings(spec, one.model, options);
    EXPECT_EQ(options.banned_ids, one.banned) << one.suppress << one.published << one.temperature;
    EXPECT_EQ(options.late_ids, one.late) << one.suppress << one.published << one.temperature;
  }
  RunSpec spec;
  spec.sampler.suppress_eos = "never";
  BlockSampleOptions options;
  EXPECT_THROW(add_whole_text_settings(spec, load_model("exact:tabular?v=3&l=4", {}), options),
               ConfigError);
}

TEST_F(TextSamplerTest, TextsHaveNoEndWhereItIsNeverDrawn) {
  const LoadedModel model = dream();
  RunSpec spec = spec_of("entropy");
  spec.sampler.temperature = 2;
  EXPECT_GT(ends(spec, model), 0);
  spec.sampler.suppress_eos = "never";
  EXPECT_EQ(ends(spec, model), 0);
}

// Held back, an end is drawn again at every step in which another position is left.
TEST_F(TextSamplerTest, EndsRevealedLastAreFewer) {
  write_random_llada(folder_.file("llada"));
  const LoadedModel model = load_model(folder_.file("llada"), {});
  RunSpec spec = spec_of("low_confidence");
  spec.sampler.temperature = 3;
  const std::int64_t free = ends(spec, model);
  spec.sampler.suppress_eos = "last";
  EXPECT_LT(2 * ends(spec, model), free);
}

TEST_F(TextSamplerTest, LoadsAVerifierOnce) {
  const LoadedModel model = dream(257);
  write_tiny_model(folder_.file("judge"));
  RunSpec spec = spec_of("verified");
  spec.sampler.verifier = folder_.file("judge");
  TextSampler sampler(spec, model);
  std::filesystem::remove_all(folder_.file("judge"));
  const auto all = prompts(6);
  const auto whole = sampler.sample(all, {8, {}});
  for (std::size_t i = 0; i < all.size(); ++i)
    EXPECT_EQ(sampler.sample(std::span(all).subspan(i, 1), {8, {}}).front().fresh, whole[i].fresh);
  EXPECT_THROW(TextSampler(spec, model), Error);
}

TEST_F(TextSamplerTest, AnAdjustLayerServesEveryBatch) {
  write_random_dream(folder_.file("dream"));
  ModelOptions options;
  options.hash_weights = true;
  const LoadedModel model = load_model(folder_.file("dream"), options);
  write_random_adjust(folder_.file("layer"), model.weights_sha256, 1);
  RunSpec spec = spec_of("entropy");
  spec.sampler.tokens_per_step = 4;
  spec.sampler.adjust = folder_.file("layer");
  TextSampler sampler(spec, model);
  std::filesystem::remove_all(folder_.file("layer"));
  const auto all = prompts(5);
  const auto whole = sampler.sample(all, {8, {}});
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(whole[i].nfe, 2);
    EXPECT_EQ(whole[i].refreshes, 6);
    EXPECT_EQ(sampler.sample(std::span(all).subspan(i, 1), {8, {}}).front().fresh, whole[i].fresh);
  }
}

// The judge reads the prompt and the block once for each fill, but for the last token, which it
// only scores.
TEST_F(TextSamplerTest, CountsTheVerifierBesideTheModel) {
  const LoadedModel model = dream(257);
  write_tiny_model(folder_.file("judge"));
  RunSpec spec = spec_of("rerank");
  spec.sampler.verifier = folder_.file("judge");
  TextSampler sampler(spec, model);
  const PassCounts base = model.denoiser->counts(), whole = sampler.counts();
  std::int64_t nfe = 0;
  for (const SampledText& text : sampler.sample(prompts(3), {8, {}})) nfe += text.nfe;
  const PassCounts own = model.denoiser->counts() - base, all = sampler.counts() - whole;
  EXPECT_EQ(nfe, 3 * 8);
  EXPECT_EQ(all.passes, own.passes);
  EXPECT_EQ(all.positions - own.positions, nfe * 2 * (3 + 8 - 1));
  EXPECT_GT(all.flops, 1.5 * own.flops);
}

TEST(AnalyticSettings, AreRefusedWhereNothingReadsThem) {
  const RunMethod method{"", "analytic"};
  const auto check = [&](const RunSpec& spec) {
    check_settings(spec, method, SpecPart::kGenerate);
  };
  RunSpec plain;
  plain.sampler.name = "analytic";
  EXPECT_NO_THROW(check(plain));
  const std::vector<void (*)(RunSpec&)> changes = {
      [](RunSpec& spec) { spec.block_size = 4; },
      [](RunSpec& spec) { spec.sampler.tokens_per_step = 2; },
      [](RunSpec& spec) { spec.sampler.threshold = 0.8; },
      [](RunSpec& spec) { spec.sampler.temperature = 0; },
      [](RunSpec& spec) { spec.sampler.top_k = 1; },
      [](RunSpec& spec) { spec.sampler.filter_order = "nucleus_first"; },
      [](RunSpec& spec) { spec.sampler.entropy_floor = 3; },
      [](RunSpec& spec) { spec.sampler.entropy_restarts = 3; },
      [](RunSpec& spec) { spec.sampler.past_context = "slide"; },
      [](RunSpec& spec) { spec.sampler.published = "dream"; },
      [](RunSpec& spec) { spec.sampler.guidance = 2; },
      [](RunSpec& spec) { spec.sampler.stop_at = "eos"; },
      [](RunSpec& spec) { spec.sampler.suppress_eos = "last"; },
      [](RunSpec& spec) { spec.sampler.stale_keys = "dual"; }};
  for (std::size_t i = 0; i < changes.size(); ++i) {
    RunSpec spec = plain;
    changes[i](spec);
    EXPECT_THROW(check(spec), ConfigError) << i;
  }
}

// p = .5, .25, .125, .125: of 0.6 the nucleus of all is two tokens, that of the top two one.
TEST_F(TextSamplerTest, TokenByTokenTheFiltersHaveTheirOrder) {
  LoadedModel world;
  world.model = std::make_unique<TabularWorld>(4, 1, std::vector<double>{0.5, 0.25, 0.125, 0.125});
  RunSpec spec = spec_of("autoregressive");
  spec.sampler.top_k = 2;
  spec.sampler.nucleus_p = 0.6;
  std::vector<Prompt> all;
  for (std::uint64_t i = 0; i < 60; ++i) all.push_back({{}, i, 0});
  const auto seen = [&](const char* order) {
    spec.sampler.filter_order = order;
    std::set<std::int64_t> tokens;
    for (const SampledText& text : sample_texts(spec, world, all, {1, {}}))
      tokens.insert(text.fresh.begin(), text.fresh.end());
    return tokens;
  };
  EXPECT_EQ(seen("top_k_first"), (std::set<std::int64_t>{0}));
  EXPECT_EQ(seen("nucleus_first"), (std::set<std::int64_t>{0, 1}));
}

TEST_F(TextSamplerTest, RefusesHelpersThatNobodyAsks) {
  const LoadedModel world = load_model("exact:tabular?v=3&l=4", {});
  RunSpec spec = spec_of("autoregressive");
  spec.sampler.adjust = "layer";
  EXPECT_THROW(TextSampler(spec, world), ConfigError);
  spec = spec_of("first_hitting");
  spec.sampler.adjust = "shape:adjust";
  EXPECT_THROW(TextSampler(spec, world), ConfigError);
  const LoadedModel model = dream();
  spec = spec_of("entropy");
  spec.sampler.verifier = "judge";
  EXPECT_THROW(TextSampler(spec, model), ConfigError);
}

}  // namespace
}  // namespace dlm::testing
