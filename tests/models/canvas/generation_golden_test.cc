// Texts that the published samplers of Dream, LLaDA and Fast-dLLM write, pass for pass.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include <gtest/gtest.h>

#include "models/factory.h"
#include "models/sampling/block_sampler.h"
#include "models/sampling/reveal_schedule.h"
#include "tests/models/canvas/fixture.h"

namespace dlm::testing {
namespace {

class Published {
 public:
  explicit Published(const std::string& name)
      : fixture(name), model(load_denoiser(fixture.folder(), {.parameterization = "raw"})) {}

  CanvasFixture fixture;
  std::unique_ptr<BlockDenoiser> model;
};

struct Trace {
  BlockSample sample;
  std::vector<SeenPass> passes;
};

Trace run(const Published& published, const BlockSampleOptions& options) {
  const RecordingModel model(*published.model);
  const Prompt prompt{published.fixture.ids("prompt"), 0, 0};
  Trace trace;
  trace.sample = sample_blocks(model, {&prompt, 1}, options).front();
  trace.passes = model.passes;
  return trace;
}

BlockSampleOptions options_of(const std::string& policy, std::int64_t new_tokens,
                              std::int64_t steps) {
  BlockSampleOptions options;
  options.reveal = {policy, 1, steps};
  options.max_new_tokens = new_tokens;
  options.filter.temperature = 0;
  options.batch_size = 1;
  return options;
}

BlockSampleOptions llada(const std::string& policy, std::int64_t steps) {
  BlockSampleOptions options = options_of(policy, 32, steps);
  options.block_size = 8;
  return options;
}

BlockSampleOptions dream(const std::string& policy, std::int64_t steps) {
  BlockSampleOptions options = options_of(policy, 24, steps);
  if (policy != "origin" && policy != "threshold")
    options.reveal.schedule = "dream";
  options.filter.order = FilterOrder::kNucleusFirst;
  return options;
}

// The texts that the network was given one after another, and the last one written; what was given
// twice in a row counts once, as do texts whose block has nothing left to reveal.
void expect_history(const Trace& trace, const std::vector<Ids>& states) {
  std::vector<Ids> seen;
  for (const SeenPass& pass : trace.passes) seen.push_back(pass.text);
  seen.push_back(trace.sample.ids);
  std::vector<Ids> expected = {seen.front()};
  for (const Ids& state : states) {
    if (state != expected.back())
      expected.push_back(state);
  }
  ASSERT_EQ(seen.size(), expected.size());
  for (std::size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], expected[i]) << "pass " << i;
}

// `calls`: what the published code gave the network: the whole text, its end from the block on, or
// the block.
void expect_calls(const Trace& trace, const std::vector<Ids>& calls, std::int64_t mask) {
  std::vector<Ids> wanted;
  for (const Ids& call : calls) {
    if (wanted.empty() || call != wanted.back())
      wanted.push_back(call);
  }
  std::size_t next = 0;
  for (const SeenPass& pass : trace.passes) {
    const std::int64_t length = std::ssize(pass.text);
    const auto fits = [&](const Ids& call) {
      const std::int64_t size = std::ssize(call);
      const std::int64_t begin = size == length ? 0 : pass.begin;
      return begin + size <= length &&
             std::equal(call.begin(), call.end(), pass.text.begin() + begin);
    };
    // A pass over a block that the pass before has finished.
    while (next < wanted.size() && !fits(wanted[next]) && std::ssize(wanted[next]) < length) {
      const auto block = std::span(wanted[next]).first(8);
      ASSERT_EQ(std::count(block.begin(), block.end(), mask), 0) << "call " << next;
      ++next;
    }
    ASSERT_TRUE(next < wanted.size() && fits(wanted[next])) << "call " << next;
    ++next;
  }
}

class LladaGolden : public ::testing::Test {
 protected:
  void SetUp() override { DLM_REQUIRE_DATA("fixtures/llada_tiny"); }

  void expect(const std::string& name, const BlockSampleOptions& options) {
    SCOPED_TRACE(name);
    const Published published("llada_tiny");
    const Trace trace = run(published, options);
    EXPECT_EQ(trace.sample.ids, published.fixture.ids(name + ".x"));
    expect_calls(trace, published.fixture.rows(name + ".calls"), published.model->mask_id());
    EXPECT_LE(trace.sample.nfe, std::ssize(published.fixture.rows(name + ".calls")));
  }
};

TEST_F(LladaGolden, LowConfidence) {
  expect("gen", llada("low_confidence", 4));
  expect("gen_full", llada("low_confidence", 8));
  expect("fast", llada("low_confidence", 4));
}

TEST_F(LladaGolden, Guidance) {
  BlockSampleOptions options = llada("low_confidence", 4);
  options.guidance = 2.5;  // cfg_scale 1.5
  expect("gen_cfg", options);
}

TEST_F(LladaGolden, Threshold) {
  for (const int percent : {30, 60, 90}) {
    BlockSampleOptions options = llada("threshold", 0);
    options.reveal.threshold = percent / 100.0;
    expect("fast_th" + std::to_string(percent), options);
  }
}

TEST_F(LladaGolden, StaleKeys) {
  for (const StaleKeys keys : {StaleKeys::kPrefix, StaleKeys::kDual}) {
    const std::string name = keys == StaleKeys::kPrefix ? "prefix" : "dual";
    BlockSampleOptions options = llada("low_confidence", 4);
    options.stale_keys = keys;
    expect(name, options);
    for (const int percent : {30, 60, 90}) {
      options = llada("threshold", 0);
      options.stale_keys = keys;
      options.reveal.threshold = percent / 100.0;
      expect(name + "_th" + std::to_string(percent), options);
    }
  }
}

TEST_F(LladaGolden, BatchOfUnequalPrompts) {
  const Published published("llada_tiny");
  const std::vector<Ids> padded = published.fixture.rows("batch.prompt");
  const std::vector<Ids> texts = published.fixture.rows("batch.x");
  const std::vector<Prompt> prompts = {{{padded[0].begin() + 3, padded[0].end()}, 0, 0},
                                       {padded[1], 1, 0}};
  BlockSampleOptions options = llada("low_confidence", 4);
  options.batch_size = 2;
  const auto samples = sample_blocks(*published.model, prompts, options);
  EXPECT_EQ(samples[0].ids, Ids(texts[0].begin() + 3, texts[0].end()));
  EXPECT_EQ(samples[1].ids, texts[1]);
}

class DreamGolden : public ::testing::Test {
 protected:
  void SetUp() override { DLM_REQUIRE_DATA("fixtures/dream_tiny"); }

  void expect(const std::string& name, const BlockSampleOptions& options) {
    SCOPED_TRACE(name);
    const Published published("dream_tiny");
    const Trace trace = run(published, options);
    EXPECT_EQ(trace.sample.ids, published.fixture.ids(name + ".x"));
    expect_history(trace, published.fixture.rows(name + ".history"));
  }
};

TEST_F(DreamGolden, RankedPositions) {
  for (const std::int64_t steps : {8, 16}) {
    const std::string suffix = "_s" + std::to_string(steps);
    expect("maskgit_plus" + suffix, dream("maskgit_plus", steps));
    expect("topk_margin" + suffix, dream("margin", steps));
    expect("entropy" + suffix, dream("entropy", steps));
  }
}

TEST_F(DreamGolden, FiltersEnterTheScores) {
  BlockSampleOptions options = dream("entropy", 8);
  options.filter.nucleus_p = 0.9;
  expect("entropy_topp_s8", options);
  options = dream("maskgit_plus", 8);
  options.filter.top_k = 5;
  expect("maskgit_topk_s8", options);
}

// The recorded uniforms, one for each hidden position in order.
class RecordedOrigin final : public RevealPolicy {
 public:
  explicit RecordedOrigin(const at::Tensor& uniforms) : uniforms_(uniforms) {}

  bool reads_laws() const override { return false; }

  Reveal choose(const BlockState& state, const StepDraws& draws) const override {
    (void)draws;
    Reveal reveal;
    const float share = dream_reveal_share(state.step, uniforms_.size(0), 1e-3);
    for (std::size_t i = 0; i < state.hidden.size(); ++i) {
      const float u = uniforms_[state.step][static_cast<std::int64_t>(i)].item<float>();
      if (u < share)
        reveal.positions.push_back(state.hidden[i]);
    }
    return reveal;
  }

 private:
  at::Tensor uniforms_;
};

TEST_F(DreamGolden, Origin) {
  const RecordedOrigin policy(CanvasFixture("dream_tiny")["origin.uniform"]);
  BlockSampleOptions options = dream("origin", 8);
  options.hooks.policy = &policy;
  expect("origin", options);
}

TEST_F(DreamGolden, ThresholdThatDefers) {
  for (const int percent : {25, 90}) {
    BlockSampleOptions options = dream("threshold", 8);
    options.reveal.threshold = percent / 100.0;
    expect("threshold" + std::to_string(percent), options);
  }
}

TEST_F(DreamGolden, StaleKeys) {
  const Published published("dream_tiny");
  for (const StaleKeys keys : {StaleKeys::kPrefix, StaleKeys::kDual}) {
    for (const std::string alg : {"th25", "th90", "entropy"}) {
      const std::string name = (keys == StaleKeys::kPrefix ? "block_prefix_" : "block_dual_") + alg;
      SCOPED_TRACE(name);
      const bool ranks = alg == "entropy";
      BlockSampleOptions options = dream(ranks ? "entropy" : "threshold", ranks ? 8 : 0);
      options.reveal.threshold = alg == "th25" ? 0.25 : 0.9;
      options.reveal.first_alone = true;
      options.block_size = 8;
      options.stale_keys = keys;
      options.slice_start = SliceStart::kBlock;
      const Trace trace = run(published, options);
      EXPECT_EQ(trace.sample.ids, published.fixture.ids(name + ".x"));
      expect_calls(trace, published.fixture.rows(name + ".calls"), published.model->mask_id());
    }
  }
}

TEST_F(DreamGolden, BatchOfUnequalPrompts) {
  const Published published("dream_tiny");
  const std::vector<Ids> padded = published.fixture.rows("batch.prompt");
  const std::vector<Ids> texts = published.fixture.rows("batch.x");
  const std::vector<Prompt> prompts = {{{padded[0].begin() + 3, padded[0].end()}, 0, 0},
                                       {padded[1], 1, 0}};
  BlockSampleOptions options = dream("maskgit_plus", 8);
  options.batch_size = 2;
  const auto samples = sample_blocks(*published.model, prompts, options);
  EXPECT_EQ(samples[0].ids, Ids(texts[0].begin() + 3, texts[0].end()));
  EXPECT_EQ(samples[1].ids, texts[1]);
}

}  // namespace
}  // namespace dlm::testing
