#include "metrics/generative_perplexity.h"

#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <string>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "metrics/text_statistics.h"
#include "models/checkpoint/weights.h"
#include "models/factory.h"
#include "tests/support/data.h"
#include "tests/support/tensors.h"

namespace dlm {
namespace {

using testing::data_path;
using Ids = std::vector<std::int64_t>;

constexpr std::int64_t kEos = 9;

JudgeOptions options_of(EosConvention convention, std::int64_t window, std::int64_t stride) {
  return {convention, window, stride, kEos};
}

std::vector<std::size_t> starts_and_firsts(const std::vector<JudgeWindow>& windows) {
  std::vector<std::size_t> out;
  for (const JudgeWindow& window : windows) {
    out.push_back(static_cast<std::size_t>(window.window.ids.front()));
    out.push_back(static_cast<std::size_t>(window.window.first_scored));
    out.push_back(window.window.ids.size());
  }
  return out;
}

Ids rising(std::int64_t count) {
  Ids ids;
  for (std::int64_t i = 0; i < count; ++i) ids.push_back(i + 100);
  return ids;
}

TEST(JudgeWindows, OverlapByWhatTheStrideLeaves) {
  const auto windows = judge_windows(rising(23), options_of(EosConvention::kBd3lms, 10, 6));
  EXPECT_EQ(starts_and_firsts(windows),
            (std::vector<std::size_t>{100, 1, 10, 106, 4, 10, 112, 4, 10, 118, 4, 5}));
}

TEST(JudgeWindows, WithoutOverlapLoseTheFirstTokenOfEach) {
  const auto windows = judge_windows(rising(21), options_of(EosConvention::kMdlm, 10, 0));
  EXPECT_EQ(starts_and_firsts(windows), (std::vector<std::size_t>{100, 1, 10, 110, 1, 10}));
}

TEST(JudgeWindows, ScoreEveryTokenButTheFirstOnce) {
  for (std::int64_t length = 0; length < 40; ++length) {
    for (const std::int64_t stride : {1, 3, 7}) {
      std::int64_t scored = 0;
      for (const auto& one :
           judge_windows(rising(length), options_of(EosConvention::kClean, 8, stride)))
        scored += std::ssize(one.counted);
      EXPECT_EQ(scored, std::max<std::int64_t>(0, length - 1)) << length << " " << stride;
    }
  }
}

TEST(JudgeWindows, ScoreTheFirstTokenTooWhereTheJudgeHasItsLaw) {
  for (std::int64_t length = 0; length < 40; ++length) {
    JudgeOptions options = options_of(EosConvention::kClean, 8, 3);
    options.scores_first = true;
    std::int64_t scored = 0;
    for (const auto& one : judge_windows(rising(length), options)) {
      EXPECT_EQ(one.window.first_scored, scored == 0 ? 0 : one.window.first_scored);
      scored += std::ssize(one.counted);
    }
    EXPECT_EQ(scored, length);
    options.convention = EosConvention::kBd3lms;  // never scores it
    scored = 0;
    for (const auto& one : judge_windows(rising(length), options))
      scored += std::ssize(one.counted);
    EXPECT_EQ(scored, std::max<std::int64_t>(0, length - 1));
  }
}

TEST(JudgeWindows, ConventionsDifferInTheEosTargetsTheyCount) {
  const Ids ids{kEos, 1, kEos, 2, kEos, 3};
  const auto counted = [&](EosConvention convention, std::span<const std::int64_t> text) {
    const auto windows = judge_windows(text, options_of(convention, 8, 4));
    return std::string(windows.at(0).counted.begin(), windows.at(0).counted.end());
  };
  using namespace std::string_literals;
  EXPECT_EQ(counted(EosConvention::kClean, ids), "\1\1\1\1\1"s);
  EXPECT_EQ(counted(EosConvention::kBd3lms, ids), "\1\0\1\0\1"s);
  EXPECT_EQ(counted(EosConvention::kMdlm, ids), "\1\0\1\0\1"s);  // the first one is at 0
  EXPECT_EQ(counted(EosConvention::kMdlm, std::span(ids).subspan(1)), "\1\1\0\1"s);
}

TEST(JudgeWindows, RefusesOptionsOutOfRange) {
  const Ids ids = rising(5);
  EXPECT_THROW(judge_windows(ids, options_of(EosConvention::kClean, 1, 1)), ConfigError);
  EXPECT_THROW(judge_windows(ids, options_of(EosConvention::kClean, 8, 8)), ConfigError);
  EXPECT_THROW(judge_windows(ids, options_of(EosConvention::kBd3lms, 8, 0)), ConfigError);
  EXPECT_NO_THROW(judge_windows(ids, options_of(EosConvention::kMdlm, 8, 0)));
  EXPECT_THROW(eos_convention("gpt2"), ConfigError);
  EXPECT_EQ(eos_convention(eos_convention_name(EosConvention::kMdlm)), EosConvention::kMdlm);
}

ExampleRow row_of(double nll, std::int64_t tokens) {
  ExampleRow row;
  row.nll = nll;
  row.tokens = tokens;
  return row;
}

TEST(GenerativePerplexity, PooledAndMeanAreTheClosedForms) {
  const std::vector<ExampleRow> rows{row_of(std::log(4) * 10, 10), row_of(std::log(16) * 30, 30),
                                     row_of(0, 0)};
  const auto estimates = generative_perplexity(rows);
  ASSERT_EQ(estimates.size(), 2U);
  EXPECT_NEAR(estimates[0].value, std::exp((10 * std::log(4) + 30 * std::log(16)) / 40), 1e-12);
  EXPECT_EQ(estimates[0].n, 2);
  EXPECT_NEAR(estimates[1].value, 10, 1e-12);
  EXPECT_NEAR(*estimates[1].se_data, 6, 1e-12);
  EXPECT_THROW(generative_perplexity(std::vector<ExampleRow>{row_of(0, 0)}), ConfigError);
}

TEST(GenerativePerplexity, OfTextsFromAnExactWorldIsTheirLikelihood) {
  const LoadedModel world = load_model("exact:markov?v=8", {});
  const std::vector<Ids> texts{{0, 1, 2, 3, 4, 5, 6, 7, 0, 3}, {7, 7, 1}, {2}};
  const JudgeOptions options{EosConvention::kClean, 1024, 512, -1};
  const auto judged = judge_texts(*world.model, texts, options, 2);
  for (std::size_t t = 0; t < texts.size(); ++t) {
    double expected = 0;
    if (texts[t].size() > 1) {
      const std::vector<ScoringWindow> window{{texts[t], 1}};
      const auto nll = world.model->token_nll(window);
      expected = std::accumulate(nll.front().begin(), nll.front().end(), 0.0);
    }
    EXPECT_NEAR(judged[t].nll, expected, 1e-12);
    EXPECT_EQ(judged[t].tokens, std::ssize(texts[t]) - 1);
  }
}

struct Fixture {
  std::map<std::string, at::Tensor> tensors;
  std::unique_ptr<AutoregressiveModel> judge;
};

Fixture load_fixture() {
  Fixture fixture;
  for (const TensorView& view :
       open_safetensors(data_path("fixtures/gpt2_tiny/expected.safetensors")))
    fixture.tensors.emplace(view.name, as_tensor(view));
  fixture.judge = load_network(data_path("fixtures/gpt2_tiny"), {});
  return fixture;
}

// The real tokens of a sample, and one token of padding where it has any.
std::vector<Ids> unpadded(const at::Tensor& samples, const at::Tensor& mask, std::int64_t rows) {
  std::vector<Ids> out;
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t length = samples.size(1), real = mask[row].sum().item().toLong();
    const auto* ids = samples.const_data_ptr<std::int64_t>() + row * length;
    out.emplace_back(ids, ids + std::min(length, real + 1));
  }
  return out;
}

double pooled(const std::vector<JudgedText>& judged) {
  double nll = 0;
  std::int64_t tokens = 0;
  for (const JudgedText& text : judged) {
    nll += text.nll;
    tokens += text.tokens;
  }
  return std::exp(nll / static_cast<double>(tokens));
}

TEST(GenerativePerplexityGolden, AgreesWithTheOriginalsOnATinyJudge) {
  DLM_REQUIRE_DATA("fixtures/gpt2_tiny");
  const Fixture fixture = load_fixture();
  for (int i = 0; i < 3; ++i) {
    const std::string name = "genppl" + std::to_string(i) + ".";
    const at::Tensor window = fixture.tensors.at(name + "window");
    const auto* sizes = window.const_data_ptr<std::int64_t>();
    const std::int64_t scored = fixture.tensors.at(name + "nll").size(0);
    const auto texts = unpadded(fixture.tensors.at(name + "samples"),
                                fixture.tensors.at(name + "attention_mask"), scored);
    JudgeOptions options{EosConvention::kBd3lms, sizes[0], sizes[1], 511};
    const auto bd3lms = judge_texts(*fixture.judge, texts, options, 4);
    const double expected = fixture.tensors.at(name + "ppl").item().toDouble();
    EXPECT_NEAR(pooled(bd3lms), expected, 2e-5 * expected) << name;
    double counted = 0, lengths = fixture.tensors.at(name + "lengths").sum().item().toDouble();
    for (const JudgedText& text : bd3lms) counted += static_cast<double>(text.tokens);
    EXPECT_EQ(counted, lengths) << name;
    options.convention = EosConvention::kMdlm;
    const double mdlm = fixture.tensors.at(name + "mdlm_ppl").item().toDouble();
    EXPECT_NEAR(pooled(judge_texts(*fixture.judge, texts, options, 4)), mdlm, 2e-5 * mdlm) << name;
  }
}

TEST(GenerativePerplexityGolden, EveryTokenAgreesWithinItsWindow) {
  DLM_REQUIRE_DATA("fixtures/gpt2_tiny");
  const Fixture fixture = load_fixture();
  for (int i = 0; i < 3; ++i) {
    const std::string name = "genppl" + std::to_string(i) + ".";
    const auto* sizes = fixture.tensors.at(name + "window").const_data_ptr<std::int64_t>();
    const at::Tensor expected = fixture.tensors.at(name + "nll"),
                     valid = fixture.tensors.at(name + "valid");
    const auto texts = unpadded(fixture.tensors.at(name + "samples"),
                                fixture.tensors.at(name + "attention_mask"), expected.size(0));
    for (std::size_t t = 0; t < texts.size(); ++t) {
      std::size_t position = 1;
      for (const JudgeWindow& one :
           judge_windows(texts[t], {EosConvention::kBd3lms, sizes[0], sizes[1], 511})) {
        const std::vector<ScoringWindow> windows{one.window};
        const auto nll = fixture.judge->token_nll(windows).front();
        for (std::size_t k = 0; k < nll.size(); ++k, ++position) {
          const std::int64_t at =
              static_cast<std::int64_t>(t) * expected.size(1) + static_cast<std::int64_t>(position);
          EXPECT_EQ(one.counted[k], valid.const_data_ptr<float>()[at]) << name << t << position;
          if (one.counted[k] != 0) {
            EXPECT_NEAR(nll[k], expected.const_data_ptr<float>()[at], 1e-4) << name << position;
          }
        }
      }
      EXPECT_EQ(position, texts[t].size());
    }
  }
}

TEST(GenerativePerplexityGolden, EntropyAgreesWithPaddingCounted) {
  DLM_REQUIRE_DATA("fixtures/gpt2_tiny");
  const Fixture fixture = load_fixture();
  for (int i = 0; i < 3; ++i) {
    const std::string name = "genppl" + std::to_string(i) + ".";
    const at::Tensor samples = fixture.tensors.at(name + "samples");
    const std::int64_t rows = fixture.tensors.at(name + "nll").size(0), length = samples.size(1);
    double sum = 0;
    for (std::int64_t row = 0; row < rows; ++row) {
      sum += unigram_entropy(std::span(samples.const_data_ptr<std::int64_t>() + row * length,
                                       static_cast<std::size_t>(length)));
    }
    EXPECT_NEAR(sum, fixture.tensors.at(name + "entropy_sum_per_batch").sum().item().toDouble(),
                1e-4);
  }
}

TEST(GenerativePerplexityGolden, DoesNotDependOnTheBatch) {
  DLM_REQUIRE_DATA("fixtures/gpt2_tiny");
  const Fixture fixture = load_fixture();
  const auto texts = unpadded(fixture.tensors.at("genppl0.samples"),
                              fixture.tensors.at("genppl0.attention_mask"), 7);
  const JudgeOptions options{EosConvention::kClean, 64, 32, 511};
  const auto one = judge_texts(*fixture.judge, texts, options, 1);
  const auto eight = judge_texts(*fixture.judge, texts, options, 8);
  std::int64_t positions = 0;  // a share is rounded, the sum is not
  for (std::size_t t = 0; t < texts.size(); ++t) {
    EXPECT_NEAR(one[t].nll, eight[t].nll, 1e-6 * one[t].nll);
    EXPECT_EQ(one[t].tokens, eight[t].tokens);
    positions += one[t].counts.positions - eight[t].counts.positions;
  }
  EXPECT_EQ(positions, 0);
}

}  // namespace
}  // namespace dlm
