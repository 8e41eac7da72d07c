// The published likelihoods of Dream and LLaDA, given their masks. Bounds as
// shared/fixtures/README.md suggests.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "models/diffusion/estimator.h"
#include "models/dream.h"
#include "models/llada.h"
#include "models/sampling/block_sampler.h"
#include "tests/models/canvas/fixture.h"

namespace dlm::testing {
namespace {

Ids joined(const Ids& a, const Ids& b) {
  Ids both = a;
  both.insert(both.end(), b.begin(), b.end());
  return both;
}

// Sum of -log p over what `seen` hides, of one row.
double row_nats(const CanvasModel& model, const Ids& clean, const Ids& seen, const Ids& prompt,
                double guidance) {
  MaskedText text;
  text.ids = seen;
  text.prompt = prompt;
  for (std::size_t i = 0; i < seen.size(); ++i) {
    if (seen[i] == model.mask_id()) {
      text.wanted.push_back(static_cast<std::int64_t>(i));
      text.targets.push_back(clean[i]);
    }
  }
  double sum = 0;
  if (!text.wanted.empty()) {
    for (const double term : model.terms({&text, 1}, guidance)) sum += term;
  }
  return sum;
}

double relative(double value, double expected) {
  return std::abs(value - expected) / (1 + std::abs(expected));
}

TEST(LikelihoodGolden, LladaWithAndWithoutGuidance) {
  DLM_REQUIRE_DATA("fixtures/llada_tiny");
  const CanvasFixture fixture("llada_tiny");
  const auto model = load_llada(Checkpoint::open(fixture.folder()), {.parameterization = "raw"});
  const Ids prompt = fixture.ids("ll.prompt");
  const Ids clean = joined(prompt, fixture.ids("ll.answer"));
  for (const std::string name : {"ll", "ll_cfg"}) {
    const std::vector<Ids> rows = fixture.rows(name + ".perturbed");
    const at::Tensor chance = fixture[name + ".p_mask"].contiguous().view({-1});
    double sum = 0;
    for (std::size_t r = 0; r < rows.size(); ++r) {
      sum += row_nats(*model, clean, rows[r], prompt, name == "ll" ? 1 : 2.5) /
             chance[static_cast<std::int64_t>(r)].item().toDouble();
    }
    const double value = -sum / static_cast<double>(rows.size());
    EXPECT_LE(relative(value, fixture.value(name + ".value")), 3e-5) << name;
  }
}

// One most certain token at a time, compared with the targets.
TEST(LikelihoodGolden, LladaGreedySuffix) {
  DLM_REQUIRE_DATA("fixtures/llada_tiny");
  const CanvasFixture fixture("llada_tiny");
  const auto model = load_llada(Checkpoint::open(fixture.folder()), {.parameterization = "raw"});
  const Prompt prefix{fixture.ids("greedy.prefix"), 0, 0};
  const std::vector<Ids> targets = fixture.rows("greedy.targets");
  BlockSampleOptions options;
  options.reveal.policy = "low_confidence";
  options.filter.temperature = 0;
  options.max_new_tokens = std::ssize(targets.front());
  const Ids text = sample_blocks(*model, {&prefix, 1}, options).front().ids;
  for (std::size_t i = 0; i < targets.size(); ++i)
    EXPECT_EQ(text == joined(prefix.ids, targets[i]), fixture.ids("greedy.result")[i] == 1);
}

TEST(LikelihoodGolden, DreamMonteCarlo) {
  DLM_REQUIRE_DATA("fixtures/dream_tiny");
  const CanvasFixture fixture("dream_tiny");
  const auto model = load_dream(Checkpoint::open(fixture.folder()), {.parameterization = "raw"});
  const Ids prefix = fixture.ids("nll.prefix");
  const Ids clean = joined(prefix, fixture.ids("nll.target"));
  const at::Tensor chance = fixture["nll.mc.p_mask"].contiguous().view({-1});
  std::vector<Ids> rows = fixture.rows("nll.mc.perturbed");
  double sum = 0;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    // "ftb": the prefix stays clean.
    std::copy(prefix.begin(), prefix.end(), rows[r].begin());
    sum += row_nats(*model, clean, rows[r], {}, 1) /
           chance[static_cast<std::int64_t>(r)].item().toDouble();
  }
  EXPECT_LE(relative(sum / static_cast<double>(rows.size()), fixture.value("nll.mc.value")), 3e-5);
}

// The chain rule from left to right, what follows masked: the estimator `order`.
TEST(LikelihoodGolden, DreamLeftToRight) {
  DLM_REQUIRE_DATA("fixtures/dream_tiny");
  const CanvasFixture fixture("dream_tiny");
  const auto model = load_dream(Checkpoint::open(fixture.folder()), {.parameterization = "raw"});
  const Ids prefix = fixture.ids("nll.prefix");
  const Ids clean = joined(prefix, fixture.ids("nll.target"));
  double sum = 0;
  for (std::size_t at = prefix.size(); at < clean.size(); ++at) {
    MaskedText text;
    text.ids = clean;
    std::fill(text.ids.begin() + static_cast<std::ptrdiff_t>(at), text.ids.end(), model->mask_id());
    text.wanted = {static_cast<std::int64_t>(at)};
    text.targets = {clean[at]};
    sum += model->terms({&text, 1}, 1).front();
  }
  EXPECT_LE(relative(sum, fixture.value("nll.ar_ftb.value")), 3e-5);

  // The same terms through the estimator, of the whole sequence.
  const std::uint64_t example = 0;
  EstimatorOptions options;
  options.name = "order";
  const auto whole = estimate_likelihood(*model, {&clean, 1}, {&example, 1}, options);
  double chain = 0;
  for (std::size_t at = 1; at < clean.size(); ++at) {
    MaskedText text;
    text.ids = clean;
    std::fill(text.ids.begin() + static_cast<std::ptrdiff_t>(at), text.ids.end(), model->mask_id());
    text.wanted = {static_cast<std::int64_t>(at)};
    text.targets = {clean[at]};
    chain += model->terms({&text, 1}, 1).front();
  }
  EXPECT_LE(relative(whole.sequences.front().nats, chain), 1e-6);
}

}  // namespace
}  // namespace dlm::testing
