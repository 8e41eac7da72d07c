#include "models/sampling/autoregressive.h"

#include <algorithm>
#include <cmath>

#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "models/exact/exact_world.h"

namespace dlm {
namespace {

using Ids = std::vector<std::int64_t>;

// Prompts of lengths 0 to 6 in no order, examples 100, 101, ...
std::vector<Prompt> ragged_prompts(const ExactWorld& world, std::size_t count) {
  std::vector<Prompt> prompts;
  for (std::size_t i = 0; i < count; ++i) {
    const auto length = static_cast<std::int64_t>(i * 5 % 7);
    Prompt prompt{.example = 100 + i};
    if (length > 0)
      prompt.ids = world.draw(9, i, length);
    prompts.push_back(prompt);
  }
  return prompts;
}

void expect_same(const Continuation& a, const Continuation& b) {
  EXPECT_EQ(a.ids, b.ids);
  EXPECT_EQ(a.finish, b.finish);
  EXPECT_EQ(a.nfe, b.nfe);
}

template <class Exception, class Call>
std::string message_of(const Call& call) {
  try {
    call();
  } catch (const Exception& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Generate, GreedyFollowsTheArgmaxPath) {
  const auto world = make_exact_world("exact:markov?v=6&seed=4");
  GenerateOptions options{.max_new_tokens = 10, .filter = {.temperature = 0}};
  const auto prompts = ragged_prompts(*world, 7);
  const auto results = generate(*world, prompts, options);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    Ids ids = prompts[i].ids;
    for (std::int64_t token : results[i].ids) {
      const auto law = world->next_law(ids);
      EXPECT_EQ(token, std::max_element(law.begin(), law.end()) - law.begin());
      ids.push_back(token);
    }
    EXPECT_EQ(results[i].ids.size(), 10U);
  }
}

TEST(Generate, CacheBatchSizeAndOrderDecideNothing) {
  const auto world = make_exact_world("exact:markov?v=5&seed=2");
  const auto prompts = ragged_prompts(*world, 21);
  GenerateOptions options{
      .max_new_tokens = 12, .filter = {.nucleus_p = 0.95}, .stop_ids = {3}, .batch_size = 1};
  const auto reference = generate(*world, prompts, options);
  std::vector<Prompt> reversed(prompts.rbegin(), prompts.rend());
  for (CacheUse cache : {CacheUse::kOn, CacheUse::kOff}) {
    for (std::int64_t batch_size : {1, 8, 64}) {
      options.cache = cache;
      options.batch_size = batch_size;
      const auto forwards = generate(*world, prompts, options);
      const auto backwards = generate(*world, reversed, options);
      for (std::size_t i = 0; i < prompts.size(); ++i) {
        expect_same(forwards[i], reference[i]);
        expect_same(backwards[prompts.size() - 1 - i], reference[i]);
      }
    }
  }
}

TEST(Generate, DrawsAreNamedByExampleReplicateAndSeed) {
  const auto world = make_exact_world("exact:markov?v=8&seed=2&concentration=10");
  const GenerateOptions options{.max_new_tokens = 20};
  const std::vector<Prompt> prompts = {{.ids = {1}, .example = 5},
                                       {.ids = {1}, .example = 5},
                                       {.ids = {1}, .example = 6},
                                       {.ids = {1}, .example = 5, .replicate = 1}};
  const auto results = generate(*world, prompts, options);
  EXPECT_EQ(results[0].ids, results[1].ids);
  EXPECT_NE(results[0].ids, results[2].ids);
  EXPECT_NE(results[0].ids, results[3].ids);
  const auto other_seed = generate(*world, prompts, {.max_new_tokens = 20, .seed = 2});
  EXPECT_NE(results[0].ids, other_seed[0].ids);
}

TEST(Generate, StopIdEndsTheTextAndIsKept) {
  const auto world = make_exact_world("exact:markov?v=4&seed=3&concentration=5");
  const auto prompts = ragged_prompts(*world, 30);
  const auto whole = generate(*world, prompts, {.max_new_tokens = 8});
  const auto stopped = generate(*world, prompts, {.max_new_tokens = 8, .stop_ids = {2, 0}});
  std::size_t stops = 0;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const Ids& ids = whole[i].ids;
    const auto stop = std::find_if(ids.begin(), ids.end(),
                                   [](std::int64_t token) { return token == 2 || token == 0; });
    const bool found = stop != ids.end();
    stops += found ? 1U : 0U;
    EXPECT_EQ(stopped[i].ids, Ids(ids.begin(), found ? stop + 1 : stop));
    EXPECT_EQ(stopped[i].finish, found ? FinishReason::kStop : FinishReason::kLength);
    EXPECT_EQ(stopped[i].nfe, std::ssize(stopped[i].ids));
  }
  EXPECT_GT(stops, 10U);
  EXPECT_LE(stops, 30U);
}

TEST(Generate, StopsWhereTheContextIsFull) {
  const auto world = make_exact_world("exact:tabular?v=3&l=6");
  const std::vector<Prompt> prompts = {
      {.ids = {0, 1, 2, 0}}, {.ids = {0, 1, 2, 0, 1, 2}}, {.ids = {}}};
  const auto results = generate(*world, prompts, {.max_new_tokens = 5, .batch_size = 3});
  EXPECT_EQ(results[0].ids.size(), 2U);
  EXPECT_EQ(results[0].finish, FinishReason::kContext);
  EXPECT_EQ(results[1].ids.size(), 0U);
  EXPECT_EQ(results[1].finish, FinishReason::kContext);
  EXPECT_EQ(results[1].nfe, 0);
  EXPECT_EQ(results[2].ids.size(), 5U);
  EXPECT_EQ(results[2].finish, FinishReason::kLength);
  EXPECT_EQ(finish_reason_name(results[0].finish), "context");
}

// The context is what the last slide left: its argmax path, followed by hand.
TEST(Generate, SlidesOnWithTheYoungerHalfOfAFullContext) {
  const auto world = make_exact_world("exact:tabular?v=3&l=6&seed=5");
  const std::vector<Prompt> prompts = {{.ids = {0, 1, 2, 0}}, {.ids = {0, 1, 2, 0, 1, 2}}, {}};
  GenerateOptions options{.max_new_tokens = 40,
                          .filter = {.temperature = 0},
                          .past_context = PastContext::kSlide,
                          .batch_size = 3};
  const auto results = generate(*world, prompts, options);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    Ids context = prompts[i].ids;
    ASSERT_EQ(results[i].ids.size(), 40U);
    EXPECT_EQ(results[i].finish, FinishReason::kLength);
    for (const std::int64_t token : results[i].ids) {
      if (context.size() == 6)
        context.erase(context.begin(), context.begin() + 3);
      const auto law = world->next_law(context);
      EXPECT_EQ(token, std::max_element(law.begin(), law.end()) - law.begin());
      context.push_back(token);
    }
  }
}

TEST(Generate, SlidingTextDoesNotDependOnBatchOrCache) {
  const auto world = make_exact_world("exact:tabular?v=3&l=6&seed=5");
  std::vector<Prompt> prompts;
  for (std::uint64_t i = 0; i < 9; ++i)
    prompts.push_back({world->draw(3, i, 1 + static_cast<std::int64_t>(i % 6)), i, 0});
  GenerateOptions options{
      .max_new_tokens = 50, .past_context = PastContext::kSlide, .batch_size = 1};
  const auto reference = generate(*world, prompts, options);
  for (CacheUse cache : {CacheUse::kOn, CacheUse::kOff}) {
    for (std::int64_t batch_size : {1, 4, 16}) {
      options.cache = cache;
      options.batch_size = batch_size;
      const auto results = generate(*world, prompts, options);
      for (std::size_t i = 0; i < prompts.size(); ++i) expect_same(results[i], reference[i]);
    }
  }
}

TEST(Generate, EndsATextThatRepeatsItself) {
  const auto world = make_exact_world("exact:markov?v=4&seed=3");
  const std::vector<Prompt> prompts = {{.ids = {1, 2}}};
  const auto results = generate(*world, prompts,
                                {.max_new_tokens = 600,
                                 .filter = {.temperature = 0},  // an argmax path is a cycle
                                 .entropy_floor = 1.386});      // a little less than ln 4
  EXPECT_EQ(results[0].finish, FinishReason::kEntropy);
  EXPECT_EQ(results[0].ids.size(), 0U);  // the 256 are dropped, the prompt never
  EXPECT_EQ(results[0].nfe, 256);
}

class EndsAtThirdZero final : public TextStop {
 public:
  bool is_over(std::span<const std::int64_t> fresh) const override {
    return std::count(fresh.begin(), fresh.end(), 0) == 3;
  }
};

TEST(Generate, ATextStopSeesTheNewTokensOnly) {
  const auto world = make_exact_world("exact:markov?v=3&seed=3&concentration=5");
  const EndsAtThirdZero stop;
  const std::vector<Prompt> prompts = {{.ids = {0, 0, 0, 0}}, {.ids = {1}, .example = 1}};
  for (const Continuation& result :
       generate(*world, prompts, {.max_new_tokens = 200, .text_stop = &stop})) {
    EXPECT_EQ(result.finish, FinishReason::kText);
    EXPECT_EQ(result.ids.back(), 0);
    EXPECT_EQ(std::count(result.ids.begin(), result.ids.end(), 0), 3);
  }
}

TEST(Generate, NothingToDoCostsNoPass) {
  const auto world = make_exact_world("exact:tabular?v=3&l=6");
  const std::vector<Prompt> prompts = {{.ids = {0, 1}}};
  const auto results = generate(*world, prompts, {.max_new_tokens = 0});
  EXPECT_EQ(results[0].finish, FinishReason::kLength);
  EXPECT_TRUE(results[0].ids.empty());
  EXPECT_TRUE(generate(*world, {}, {}).empty());
  EXPECT_EQ(world->counts().passes, 0);
}

// A row is computed until it is finished and no longer: the counts follow from the lengths alone.
TEST(Generate, FinishedRowsAreNotComputed) {
  const auto cached = make_exact_world("exact:markov?v=5&seed=2");
  const auto uncached = make_exact_world("exact:markov?v=5&seed=2");
  const auto prompts = ragged_prompts(*cached, 8);
  GenerateOptions options{.max_new_tokens = 12, .stop_ids = {3}, .batch_size = 8};
  const auto results = generate(*cached, prompts, options);
  options.cache = CacheUse::kOff;
  (void)generate(*uncached, prompts, options);
  std::int64_t passes = 0;
  std::int64_t tokens = 0;
  std::int64_t new_positions = 0;
  std::int64_t all_positions = 0;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const std::int64_t n = std::ssize(results[i].ids);
    const std::int64_t prompt = std::ssize(prompts[i].ids);
    passes = std::max(passes, n);
    tokens += n;
    new_positions += prompt + n - 1;
    all_positions += n * prompt + n * (n - 1) / 2;
  }
  ASSERT_LT(tokens, 8 * passes) << "no row finished early";
  EXPECT_EQ(cached->counts().passes, passes);
  EXPECT_EQ(cached->counts().positions, new_positions);
  EXPECT_EQ(cached->counts().head_rows, tokens);
  EXPECT_EQ(cached->counts().cached_positions, all_positions - new_positions);
  EXPECT_EQ(uncached->counts().passes, passes);
  EXPECT_EQ(uncached->counts().positions, all_positions);
  EXPECT_EQ(uncached->counts().head_rows, tokens);
  EXPECT_EQ(uncached->counts().cached_positions, 0);
}

// Two tokens, no law for the first; NaN once the cache holds three positions.
class BrokenModel : public AutoregressiveModel {
 public:
  BrokenModel() {
    info_.family = "broken";
    info_.vocab_size = 2;
  }

  const ModelInfo& info() const override { return info_; }

  std::vector<std::vector<double>> token_nll(std::span<const ScoringWindow>) const override {
    return {};
  }

  PassCounts counts() const override { return {}; }

  at::Tensor logits(const at::Tensor& ids, std::span<const std::int64_t>) const override {
    return ids;
  }

  at::Tensor hidden_states(const at::Tensor& ids, std::span<const std::int64_t>) const override {
    return ids;
  }

  std::unique_ptr<KvCache> new_cache(std::int64_t batch, std::int64_t capacity) const override {
    return make_exact_world("exact:markov?v=2")->new_cache(batch, capacity);
  }

  at::Tensor next_logits(const at::Tensor& ids, std::span<const std::int64_t>,
                         KvCache&) const override {
    return at::full({ids.size(0), 2}, ++calls_ < 3 ? 0.0 : std::nan(""), at::kFloat);
  }

 private:
  ModelInfo info_;
  mutable int calls_ = 0;
};

TEST(Generate, NamesModelExampleAndPositionOfNaN) {
  const BrokenModel model;
  const std::vector<Prompt> prompts = {{.ids = {1, 0}, .example = 17}};
  EXPECT_EQ(message_of<InternalError>([&] { (void)generate(model, prompts, {}); }),
            "broken model, example 17, position 4: the logit of token 0 is nan");
}

TEST(Generate, RefusesWhatItCannotContinue) {
  const auto world = make_exact_world("exact:tabular?v=3&l=4");
  const auto error = [](const AutoregressiveModel& model, const Prompt& prompt,
                        const GenerateOptions& options) {
    const std::vector<Prompt> prompts = {{.ids = {0}}, prompt};
    return message_of<ConfigError>([&] { (void)generate(model, prompts, options); });
  };
  EXPECT_EQ(error(BrokenModel(), {}, {}),
            "prompt 1 = '': at least one token: a broken model has no law for the first token");
  EXPECT_EQ(error(*world, {.ids = {0, 3}}, {}), "prompt 1 = '3': ids in [0, 3)");
  EXPECT_EQ(error(*world, {.ids = {0, 0, 0, 0, 0}}, {}),
            "prompt 1 = '5 tokens': at most max_length = 4");
  EXPECT_EQ(error(*world, {}, {.max_new_tokens = -1}), "max_new_tokens = '-1': an integer >= 0");
  EXPECT_EQ(error(*world, {}, {.batch_size = 0}), "batch_size = '0': an integer >= 1");
  EXPECT_EQ(error(*world, {}, {.stop_ids = {1, 3}}), "stop_ids = '3': ids in [0, 3)");
  EXPECT_EQ(error(*world, {}, {.filter = {.nucleus_p = 2}}), "nucleus_p = '2': a number in (0, 1]");
}

}  // namespace
}  // namespace dlm
