// The published sampler's traces, replayed: its random numbers given to the block loop, with the
// key-value cache and without. Bounds as shared/fixtures/README.md suggests.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>

#include <gtest/gtest.h>

#include "models/analytic_sampler.h"
#include "models/checkpoint/checkpoint.h"
#include "models/checkpoint/safetensors.h"
#include "models/checkpoint/weights.h"
#include "models/dit.h"
#include "models/factory.h"
#include "models/sampling/block_sampler.h"
#include "tests/support/data.h"
#include "tests/support/tensors.h"

namespace dlm::testing {
namespace {

using Ids = std::vector<std::int64_t>;

constexpr double kLogitTolerance = 3e-5;
constexpr std::int64_t kBos = 129;
constexpr std::int64_t kMask = 130;

class Fixture {
 public:
  explicit Fixture(const std::string& name) : folder_(data_path("fixtures/" + name)) {
    for (const TensorView& view : open_safetensors(folder_ + "/expected.safetensors"))
      expected_[view.name] = as_tensor(view);
  }

  const at::Tensor& operator[](const std::string& name) const { return expected_.at(name); }

  Ids ids(const std::string& name) const {
    const at::Tensor flat = (*this)[name].contiguous().view({-1});
    const auto* data = flat.const_data_ptr<std::int64_t>();
    return {data, data + flat.numel()};
  }

  std::unique_ptr<BlockDenoiser> model() const { return load_denoiser(folder_, {}); }

  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
  std::map<std::string, at::Tensor> expected_;
};

// The published draw: argmax of p / (1e-10 - ln(u + 1e-10)).
std::int64_t race(const TokenLaw& law, const at::Tensor& uniforms) {
  const at::Tensor row = uniforms.to(at::kDouble).contiguous();
  const double* u = row.const_data_ptr<double>();
  std::int64_t best = 0;
  double largest = -1;
  for (std::size_t i = 0; i < law.tokens.size(); ++i) {
    const double score = law.probabilities[i] / (1e-10 - std::log(u[law.tokens[i]] + 1e-10));
    if (score > largest) {
      largest = score;
      best = law.tokens[i];
    }
  }
  return best;
}

// Recorded uniforms in place of the stream's; checks every law it draws from.
class ReplayDraws final : public TokenDraws {
 public:
  ReplayDraws(const Fixture& fixture, const std::string& trace, std::int64_t block_size)
      : laws_(fixture[trace + ".p_x0_nucleus"]),
        uniforms_(fixture[trace + ".uniform"]),
        block_size_(block_size) {}

  DrawnToken draw(const TokenLaw& law, const DrawName& name) override {
    const auto step = static_cast<std::int64_t>(name.step);
    const std::int64_t place = name.position % block_size_;
    at::Tensor dense = at::full({laws_.size(2)}, 0.0, at::kDouble);
    for (std::size_t i = 0; i < law.tokens.size(); ++i)
      dense.mutable_data_ptr<double>()[law.tokens[i]] = law.probabilities[i];
    expect_close(dense, laws_.select(0, step).select(0, place), kLogitTolerance,
                 "law of step " + std::to_string(step));
    return {race(law, uniforms_.select(0, step).select(0, place)), 0};
  }

 private:
  at::Tensor laws_, uniforms_;
  std::int64_t block_size_;
};

class ReplayFirstHitting final : public RevealPolicy {
 public:
  ReplayFirstHitting(const Fixture& fixture, const std::string& trace)
      : picks_(fixture.ids(trace + ".pick")),
        u_(fixture[trace + ".u"]),
        t_(fixture[trace + ".t"]) {}

  bool reads_laws() const override { return false; }

  Reveal choose(const BlockState& state, const StepDraws& draws) const override {
    const auto step = static_cast<std::int64_t>(draws.step);
    const double u = u_[step].item().toDouble();
    const double t = state.t * std::pow(u, 1 / static_cast<double>(state.hidden.size()));
    EXPECT_NEAR(t, t_[step].item().toDouble(), 1e-6);
    return {{state.hidden[static_cast<std::size_t>(picks_.at(draws.step))]}, t};
  }

 private:
  Ids picks_;
  at::Tensor u_, t_;
};

BlockSampleOptions replay_options(std::int64_t block_size, std::int64_t tokens, double nucleus_p,
                                  ContextCache cache) {
  BlockSampleOptions options;
  options.block_size = block_size;
  options.max_new_tokens = tokens;
  options.filter = {.nucleus_p = nucleus_p, .nucleus_rule = NucleusRule::kDrop};
  options.cache = cache;
  return options;
}

struct Replay {
  std::string trace;
  std::int64_t block_size;
  double nucleus_p;
  ContextCache cache;
};

void expect_first_hitting(const Fixture& fixture, const Replay& replay, const Ids& prompt) {
  SCOPED_TRACE(replay.trace);
  const auto model = fixture.model();
  const Ids expected = fixture.ids(replay.trace + ".x");
  const ReplayFirstHitting policy(fixture, replay.trace);
  ReplayDraws draws(fixture, replay.trace, replay.block_size);
  auto options =
      replay_options(replay.block_size, std::ssize(expected) - 1, replay.nucleus_p, replay.cache);
  options.hooks = {&policy, nullptr, nullptr, &draws};
  const auto sample = sample_blocks(*model, std::vector<Prompt>{{.ids = prompt}}, options).front();
  EXPECT_EQ(Ids(sample.ids.end() - options.max_new_tokens, sample.ids.end()),
            Ids(expected.begin() + 1, expected.end()));
  EXPECT_EQ(sample.nfe, fixture.ids(replay.trace + ".nfe").front());
}

TEST(SamplingGolden, FirstHittingTraces) {
  DLM_REQUIRE_DATA("fixtures/bd3lm_bs4");
  const Fixture four("bd3lm_bs4");
  for (const ContextCache cache : {ContextCache::kOn, ContextCache::kOff}) {
    expect_first_hitting(four, {"trace_fh", 4, 0.9, cache}, {kBos});
    expect_first_hitting(four, {"trace_fh_nokv", 4, 0.9, cache}, {kBos});
    expect_first_hitting(four, {"trace_fh_p1", 4, 1.0, cache}, {kBos});
    expect_first_hitting(Fixture("bd3lm_bs1"), {"trace_fh_nokv", 1, 0.9, cache}, {kBos});
  }
}

// With block size 1 and its cache the published sampler never stores bos: it samples as if there
// were none. Not what is wanted, and exactly what an empty prompt gives.
TEST(SamplingGolden, PublishedCacheForgetsBosAtBlockSizeOne) {
  DLM_REQUIRE_DATA("fixtures/bd3lm_bs1");
  expect_first_hitting(Fixture("bd3lm_bs1"), {"trace_fh", 1, 0.9, ContextCache::kOn}, {});
}

// Reveals where the recorded text changed.
class ReplayAncestral final : public RevealPolicy {
 public:
  ReplayAncestral(const Fixture& fixture, const std::string& trace, std::int64_t block_size)
      : after_(fixture[trace + ".x_after"]),
        t_(fixture[trace + ".t"]),
        block_size_(block_size),
        policy_(make_reveal_policy({.policy = "ancestral_reference", .steps = 6})) {}

  bool reads_laws() const override { return false; }

  Reveal choose(const BlockState& state, const StepDraws& draws) const override {
    const at::Tensor text = after_[static_cast<std::int64_t>(draws.step)];
    const double t = policy_->choose(state, draws).t;
    EXPECT_NEAR(t, t_[static_cast<std::int64_t>(draws.step)].item().toDouble(), 1e-7);
    if (state.step == 0 && draws.step > 0)
      begin_ += block_size_;
    Reveal reveal{{}, t};
    for (const std::int64_t position : state.hidden) {
      if (text[begin_ + position].item().toLong() != kMask)
        reveal.positions.push_back(position);
    }
    return reveal;
  }

  TokenSource source(const BlockState& state) const override { return policy_->source(state); }

 private:
  at::Tensor after_, t_;
  std::int64_t block_size_;
  std::unique_ptr<RevealPolicy> policy_;
  mutable std::int64_t begin_ = 0;
};

TEST(SamplingGolden, AncestralTracesWithTheirDefect) {
  DLM_REQUIRE_DATA("fixtures/bd3lm_bs16");
  for (const std::int64_t block_size : {4, 16}) {
    const Fixture fixture("bd3lm_bs" + std::to_string(block_size));
    const auto model = fixture.model();
    for (const ContextCache cache : {ContextCache::kOn, ContextCache::kOff}) {
      const ReplayAncestral policy(fixture, "trace_ddpm", block_size);
      ReplayDraws draws(fixture, "trace_ddpm", block_size);
      const Ids expected = fixture.ids("trace_ddpm.x");
      auto options = replay_options(block_size, std::ssize(expected) - 1, 0.9, cache);
      options.hooks = {&policy, nullptr, nullptr, &draws};
      const auto sample =
          sample_blocks(*model, std::vector<Prompt>{{.ids = {kBos}}}, options).front();
      EXPECT_EQ(sample.ids, expected);
      EXPECT_EQ(sample.nfe, fixture.ids("trace_ddpm.nfe").front());
    }
  }
}

std::vector<std::int64_t> row_ids(const at::Tensor& ids, std::int64_t row) {
  const at::Tensor one = ids.select(0, row).contiguous();
  return {one.const_data_ptr<std::int64_t>(), one.const_data_ptr<std::int64_t>() + one.numel()};
}

// Logits of `block` behind `context`, fed a block at a time or at once; (B, L', V).
at::Tensor decoded(const BlockDenoiser& model, const at::Tensor& context, const at::Tensor& block,
                   ContextCache cache, bool at_once) {
  const std::int64_t size = block.size(1);
  const std::int64_t rows = block.size(0);
  const auto decoder = model.new_decoder({rows, size, context.size(1) + size, cache});
  const Ids masks(static_cast<std::size_t>(size), kMask);
  const Ids first = {0};
  Ids all;
  for (std::int64_t i = 0; i < size; ++i) all.push_back(i);
  std::vector<Ids> texts, blocks;
  for (std::int64_t row = 0; row < rows; ++row) {
    texts.push_back(row_ids(context, row));
    blocks.push_back(row_ids(block, row));
  }
  const std::int64_t stride = at_once ? context.size(1) : size;
  at::Tensor out;
  for (std::int64_t begin = 0; begin < context.size(1); begin += stride) {
    const bool last = begin + stride == context.size(1);
    std::vector<DecodeStep> steps;
    for (std::int64_t row = 0; row < rows; ++row) {
      const auto r = static_cast<std::size_t>(row);
      const auto part = std::span(texts[r]).subspan(static_cast<std::size_t>(begin),
                                                    static_cast<std::size_t>(stride));
      steps.push_back({row, part, last ? blocks[r] : masks, last ? all : first, 1});
    }
    const std::span<float> logits = decoder->step(steps);
    if (last) {
      out = at::full({rows, size, static_cast<std::int64_t>(logits.size()) / rows / size}, 0.0,
                     at::kFloat);
      std::copy(logits.begin(), logits.end(), out.mutable_data_ptr<float>());
    }
  }
  return out;
}

void expect_logits(const at::Tensor& actual, const at::Tensor& expected, const std::string& what) {
  expect_close(actual.narrow(2, 0, kMask), expected.narrow(2, 0, kMask), kLogitTolerance, what);
}

TEST(SamplingGolden, DecoderLogits) {
  DLM_REQUIRE_DATA("fixtures/bd3lm_bs8_noadaln");
  for (const char* name :
       {"bd3lm_bs1", "bd3lm_bs4", "bd3lm_bs8", "bd3lm_bs8_noadaln", "bd3lm_bs16"}) {
    const Fixture fixture(name);
    const auto model = fixture.model();
    const at::Tensor& block = fixture["sample.block"];
    for (const ContextCache cache : {ContextCache::kOn, ContextCache::kOff}) {
      for (const bool at_once : {true, false}) {
        expect_logits(decoded(*model, fixture["sample.context"], block, cache, at_once),
                      fixture["sample.logits_cache"], name);
      }
    }
  }
}

// Past the model's length: the published cache slides, its uncached form encodes the window anew,
// and the two differ.
TEST(SamplingGolden, ContextSlidesAsPublished) {
  DLM_REQUIRE_DATA("fixtures/bd3lm_bs16");
  for (const char* name : {"bd3lm_bs1", "bd3lm_bs4", "bd3lm_bs16"}) {
    const Fixture fixture(name);
    const auto model = fixture.model();
    const at::Tensor& context = fixture["overflow.context"];
    const at::Tensor& block = fixture["sample.block"];
    expect_logits(decoded(*model, context, block, ContextCache::kOn, false),
                  fixture["overflow.logits_cache"], name);
    expect_logits(decoded(*model, context, block, ContextCache::kOff, false),
                  fixture["overflow.logits_window"], name);
  }
}

// Recorded uniforms, and the laws that were kept.
class ReplayAnalytic final : public TokenDraws {
 public:
  ReplayAnalytic(const Fixture& fixture, const std::string& trace)
      : uniforms_(fixture[trace + ".uniform"]),
        probs_(fixture[trace + ".probs"].to(at::kDouble)),
        kept_(fixture.ids(trace + ".kept_steps")) {}

  DrawnToken draw(const TokenLaw& law, const DrawName& name) override {
    const auto step = static_cast<std::int64_t>(name.step);
    const auto kept = std::find(kept_.begin(), kept_.end(), step);
    if (kept != kept_.end()) {
      at::Tensor expected = probs_.select(0, kept - kept_.begin()).select(0, name.position);
      expected = expected.clamp_min(0).div(expected.clamp_min(0).sum());
      at::Tensor actual = at::full({expected.size(0)}, 0.0, at::kDouble);
      for (std::size_t i = 0; i < law.tokens.size(); ++i)
        actual.mutable_data_ptr<double>()[law.tokens[i]] = law.probabilities[i];
      expect_close(actual, expected, kLogitTolerance, "law of step " + std::to_string(step));
      ++compared;
    }
    return {race(law, uniforms_.select(0, step).select(0, name.position)), 0};
  }

  int compared = 0;

 private:
  at::Tensor uniforms_, probs_;
  Ids kept_;
};

TEST(SamplingGolden, AnalyticTexts) {
  DLM_REQUIRE_DATA("fixtures/sedd_original");

  struct Case {
    const char* fixture;
    const char* trace;
    Ids prompt;
  };

  for (const Case& c :
       {Case{"sedd_bd3lms", "sampler", {kBos}}, Case{"sedd_original", "analytic", {}}}) {
    SCOPED_TRACE(c.fixture);
    const Fixture fixture(c.fixture);
    const auto model = load_dit(Checkpoint::open(fixture.folder()), {});
    ReplayAnalytic draws(fixture, c.trace);
    AnalyticOptions options;
    options.steps = 8;
    options.noise = model->config().noise;
    options.draws = &draws;
    const auto sample =
        sample_analytic(*model, std::vector<Prompt>{{.ids = c.prompt}}, options).front();
    EXPECT_EQ(sample.ids, fixture.ids(std::string(c.trace) + ".x"));
    EXPECT_GT(draws.compared, 20);
  }
}

// The autoregressive baseline draws argmax(log p + Gumbel noise); so replayed, its text.
TEST(SamplingGolden, AutoregressiveTexts) {
  DLM_REQUIRE_DATA("fixtures/ar_bd3lms");
  const Fixture fixture("ar_bd3lms");
  const auto model = load_network(fixture.folder(), {});
  for (const auto& [name, nucleus_p] :
       std::map<std::string, double>{{"sample", 1.0}, {"sample_p09", 0.9}}) {
    const at::Tensor noise = fixture[name + ".gumbel"].to(at::kDouble).contiguous();
    Ids text = {kBos};
    const auto cache = model->new_cache(1, 64);
    for (std::int64_t step = 0; step < noise.size(0); ++step) {
      const at::Tensor logits =
          model->next_logits(ids_tensor({{text.back()}}), std::vector<std::int64_t>{1}, *cache);
      const TokenLaw law =
          token_law({logits.const_data_ptr<float>(), static_cast<std::size_t>(logits.size(1))},
                    {.nucleus_p = nucleus_p, .nucleus_rule = NucleusRule::kDrop});
      const double* g = noise.const_data_ptr<double>() + step * noise.size(1);
      std::size_t best = 0;
      const auto score = [&](std::size_t i) {
        return std::log(law.probabilities[i]) + g[law.tokens[i]];
      };
      for (std::size_t i = 1; i < law.tokens.size(); ++i) best = score(i) > score(best) ? i : best;
      text.push_back(law.tokens[best]);
    }
    EXPECT_EQ(text, fixture.ids(name + ".x"));
  }
}

}  // namespace
}  // namespace dlm::testing
