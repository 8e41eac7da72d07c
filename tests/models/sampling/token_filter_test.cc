// What filters keep, as the laws that samplers draw from have it.
#include "models/sampling/token_filter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/random.h"
#include "models/sampling/token_law.h"
#include "tests/support/plain_law.h"

namespace dlm {
namespace {

using Law = std::vector<double>;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> logits_of(const Law& law) {
  std::vector<float> logits;
  for (double p : law) logits.push_back(static_cast<float>(std::log(p)));
  return logits;
}

Law filtered(const Law& law, const TokenFilter& filter) {
  return testing::dense(token_law(logits_of(law), filter), law.size());
}

Law nucleus(const Law& law, double p, NucleusRule rule) {
  return testing::dense(filtered_law(law, {.nucleus_p = p, .nucleus_rule = rule}), law.size());
}

void expect_law(const Law& law, Law expected) {
  ASSERT_EQ(law.size(), expected.size());
  const double total = std::accumulate(expected.begin(), expected.end(), 0.0);
  for (std::size_t i = 0; i < law.size(); ++i) {
    EXPECT_NEAR(law[i], expected[i] / total, 1e-7) << "token " << i;
    EXPECT_EQ(law[i] == 0, expected[i] == 0) << "token " << i;
  }
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

const Law kRising = {0.1, 0.2, 0.3, 0.4};

TEST(TokenFilter, TemperatureRaisesToAPower) {
  expect_law(filtered(kRising, {}), {0.1, 0.2, 0.3, 0.4});
  expect_law(filtered(kRising, {.temperature = 0.5}), {0.01, 0.04, 0.09, 0.16});
  expect_law(filtered(kRising, {.temperature = 2}),
             {std::sqrt(0.1), std::sqrt(0.2), std::sqrt(0.3), std::sqrt(0.4)});
  expect_law(filtered(kRising, {.temperature = 1e-300}), {0, 0, 0, 1});
}

TEST(TokenFilter, TemperatureZeroIsTheArgmaxWhateverElseIsSet) {
  const auto greedy = [](const Law& law, const TokenFilter& filter) {
    return testing::dense(filtered_law(law, filter), law.size());
  };
  expect_law(greedy(kRising, {.temperature = 0}), {0, 0, 0, 1});
  expect_law(greedy({0.3, 0.3, 0.1, 0.3}, {.temperature = 0, .top_k = 3, .nucleus_p = 0.9}),
             {1, 0, 0, 0});
}

TEST(TokenFilter, TopKKeepsTheKMostProbable) {
  expect_law(filtered(kRising, {.top_k = 1}), {0, 0, 0, 1});
  expect_law(filtered(kRising, {.top_k = 3}), {0, 0.2, 0.3, 0.4});
  expect_law(filtered(kRising, {.top_k = 4}), kRising);
  expect_law(filtered(kRising, {.top_k = 10}), kRising);
  expect_law(filtered(kRising, {.top_k = 0}), kRising);
}

TEST(TokenFilter, TopKTiesGoToTheLowestIndex) {
  expect_law(filtered({0.25, 0.25, 0.25, 0.25}, {.top_k = 2}), {1, 1, 0, 0});
  expect_law(filtered({0.2, 0.2, 0.4, 0.2}, {.top_k = 2}), {0.2, 0, 0.4, 0});
  expect_law(filtered({0.2, 0.2, 0.4, 0.2}, {.top_k = 3}), {0.2, 0.2, 0.4, 0});
}

// Binary fractions, so that the cumulative sums 1/2, 3/4, 7/8, 1 are exact.
const Law kBinary = {0.125, 0.125, 0.25, 0.5};

TEST(TokenFilter, NucleusKeepTakesTheTokenThatCrosses) {
  constexpr auto kKeep = NucleusRule::kKeep;
  expect_law(nucleus(kBinary, 1e-9, kKeep), {0, 0, 0, 1});
  expect_law(nucleus(kBinary, 0.5, kKeep), {0, 0, 0, 1});
  expect_law(nucleus(kBinary, 0.51, kKeep), {0, 0, 0.25, 0.5});
  expect_law(nucleus(kBinary, 0.75, kKeep), {0, 0, 0.25, 0.5});
  expect_law(nucleus(kBinary, 0.76, kKeep), {0.125, 0, 0.25, 0.5});
  expect_law(nucleus(kBinary, 0.88, kKeep), kBinary);
  expect_law(nucleus(kBinary, 1, kKeep), kBinary);
}

TEST(TokenFilter, NucleusDropLeavesOutTheTokenThatCrosses) {
  constexpr auto kDrop = NucleusRule::kDrop;
  expect_law(nucleus(kBinary, 1e-9, kDrop), {0, 0, 0, 1});
  expect_law(nucleus(kBinary, 0.5, kDrop), {0, 0, 0, 1});
  expect_law(nucleus(kBinary, 0.74, kDrop), {0, 0, 0, 1});
  expect_law(nucleus(kBinary, 0.75, kDrop), {0, 0, 0.25, 0.5});
  expect_law(nucleus(kBinary, 0.875, kDrop), {0.125, 0, 0.25, 0.5});
  expect_law(nucleus(kBinary, 0.99, kDrop), {0.125, 0, 0.25, 0.5});
  expect_law(nucleus(kBinary, 1, kDrop), kBinary);
}

TEST(TokenFilter, NucleusTiesGoToTheLowestIndex) {
  const Law even = {0.25, 0.25, 0.25, 0.25};
  expect_law(nucleus(even, 0.5, NucleusRule::kKeep), {1, 1, 0, 0});
  expect_law(nucleus(even, 0.5, NucleusRule::kDrop), {1, 1, 0, 0});
  expect_law(nucleus(even, 0.6, NucleusRule::kKeep), {1, 1, 1, 0});
  expect_law(nucleus(even, 0.6, NucleusRule::kDrop), {1, 1, 0, 0});
}

// Of {3/7, 4/7}, not of {0.3, 0.4}: otherwise token 2 would be needed to reach 0.5.
TEST(TokenFilter, NucleusIsTakenOfWhatTopKLeft) {
  expect_law(filtered(kRising, {.top_k = 2, .nucleus_p = 0.5}), {0, 0, 0, 1});
}

TEST(TokenFilter, NucleusIsTakenAfterTemperature) {
  expect_law(filtered(kRising, {.temperature = 0.5, .nucleus_p = 0.5}), {0, 0, 0, 1});
  expect_law(filtered(kRising, {.temperature = 1, .nucleus_p = 0.5}), {0, 0, 0.3, 0.4});
}

TEST(TokenFilter, MinusInfinityIsATokenOfProbabilityZero) {
  const std::vector<float> logits = {-kInfinity, 0, -kInfinity, 0};
  for (const TokenFilter& filter : {TokenFilter{}, {.top_k = 3}, {.nucleus_p = 0.999}})
    expect_law(testing::dense(token_law(logits, filter), 4), {0, 1, 0, 1});
}

TEST(TokenFilter, RefusesLogitsThatAreNoLaw) {
  const auto error = [](std::vector<float> logits) {
    return message_of<InternalError>([&] { (void)token_law(logits, {}); });
  };
  EXPECT_EQ(error({0, 1, std::nanf(""), 2}), "the logit of token 2 is nan");
  EXPECT_EQ(error({std::nanf(""), 1}), "the logit of token 0 is nan");
  EXPECT_EQ(error({0, kInfinity}), "the logit of token 1 is inf");
  EXPECT_EQ(error({-kInfinity, -kInfinity}), "every logit is -inf");
  EXPECT_NE(error({}).find("no logits"), std::string::npos);
}

TEST(TokenFilter, RefusesSettingsOutOfRange) {
  const auto error = [](const TokenFilter& filter) {
    return message_of<ConfigError>([&] { check_token_filter(filter); });
  };
  EXPECT_EQ(error({.temperature = -1}), "temperature = '-1': a finite number >= 0");
  EXPECT_EQ(error({.temperature = std::nan("")}), "temperature = 'nan': a finite number >= 0");
  EXPECT_EQ(error({.top_k = -2}), "top_k = '-2': an integer >= 0 (0 = off)");
  EXPECT_EQ(error({.nucleus_p = 0}), "nucleus_p = '0': a number in (0, 1]");
  EXPECT_EQ(error({.nucleus_p = 1.5}), "nucleus_p = '1.5': a number in (0, 1]");
  EXPECT_EQ(error({}), "nothing was thrown");
}

TEST(TokenFilter, NucleusRulesHaveNames) {
  EXPECT_EQ(parse_nucleus_rule("keep"), NucleusRule::kKeep);
  EXPECT_EQ(parse_nucleus_rule("drop"), NucleusRule::kDrop);
  EXPECT_EQ(message_of<ConfigError>([] { (void)parse_nucleus_rule("kept"); }),
            "nucleus = 'kept': unknown; did you mean 'keep'?");
}

TEST(ArgmaxToken, TiesGoToTheLowestIndex) {
  EXPECT_EQ(argmax_token(std::vector<float>{1, 3, 2, 3}), 1);
  EXPECT_EQ(argmax_token(std::vector<float>{-kInfinity, -kInfinity, -5}), 2);
}

TEST(DrawToken, IsTheInverseCdf) {
  const Law law = {0, 0.25, 0.25, 0, 0.5, 0};
  EXPECT_EQ(draw_token(law, 0), 1);
  EXPECT_EQ(draw_token(law, 0.2499), 1);
  EXPECT_EQ(draw_token(law, 0.25), 2);
  EXPECT_EQ(draw_token(law, 0.5), 4);
  EXPECT_EQ(draw_token(law, 1 - 0x1.0p-53), 4);
}

TEST(DrawToken, TotalNeedNotBeOne) {
  EXPECT_EQ(draw_token(Law{1, 1, 2}, 0.49), 1);
  EXPECT_EQ(draw_token(Law{1, 1, 2}, 0.5), 2);
  // Ten times 0.1 sums to less than 1 in double; the last token must still be reachable.
  EXPECT_EQ(draw_token(Law(10, 0.1), 1 - 0x1.0p-53), 9);
}

TEST(DrawToken, RefusesALawWithoutMass) {
  EXPECT_EQ(message_of<InternalError>([] {
              (void)draw_token(Law{0, 0}, 0.5);
            }),
            "no token to draw: 2 probabilities sum to 0");
  EXPECT_EQ(message_of<InternalError>([] {
              (void)draw_token(Law{0.5, std::nan("")}, 0.7);
            }),
            "no token to draw: 2 probabilities sum to nan");
}

// Every second law has many ties.
TEST(TokenFilter, NucleusIsThatOfAFullSort) {
  std::uint64_t example = 0;
  for (std::size_t V : {1U, 2U, 63U, 64U, 65U, 200U, 1000U, 5000U}) {
    for (double p : {0.01, 0.3, 0.9, 0.99, 0.9999, 1 - 1e-12}) {
      for (NucleusRule rule : {NucleusRule::kKeep, NucleusRule::kDrop}) {
        const RandomStream stream(3, Purpose::kTest, ++example);
        Law law(V);
        for (std::size_t i = 0; i < V; ++i) {
          const double x = stream.uniform(i, 0);
          law[i] = example % 2 == 0 ? std::exp(12 * x) : std::floor(1 + 4 * x);
        }
        testing::normalise(law);
        Law plain = law;
        testing::keep_plain_nucleus(plain, p, rule);
        expect_law(nucleus(law, p, rule), plain);
      }
    }
  }
}

TEST(TokenFilter, TopKIsThatOfAFullSort) {
  for (std::uint64_t example = 0; example < 200; ++example) {
    const RandomStream stream(4, Purpose::kTest, example);
    std::vector<float> logits(1 + stream.below(300, 0, 0));
    for (std::size_t i = 0; i < logits.size(); ++i)
      logits[i] = static_cast<float>(stream.below(20, i, 1));
    const TokenFilter filter{.top_k =
                                 static_cast<std::int64_t>(1 + stream.below(logits.size(), 0, 2))};
    expect_law(testing::dense(token_law(logits, filter), logits.size()),
               testing::plain_law(logits, filter));
  }
}

}  // namespace
}  // namespace dlm
