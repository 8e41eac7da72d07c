#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/gzip.h"
#include "tasks/definition.h"
#include "tasks/extractor.h"
#include "tasks/jsonl.h"
#include "tasks/judge.h"
#include "tasks/math/answer_text.h"
#include "tasks/math/exact_value.h"
#include "tasks/math/expression.h"
#include "tasks/math/math_equal.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

TEST(MathEqual, ValuesThatAreTheSame) {
  const Pairs pairs{
      {"\\frac{1}{2}", "0.5"},
      {"\\dfrac12", "1/2"},
      {"-\\frac{3}{4}", "\\frac{-3}{4}"},
      {"2\\frac{1}{3}", "\\frac{7}{3}"},
      {"\\sqrt{12}", "2\\sqrt{3}"},
      {"\\frac{1}{\\sqrt{2}}", "\\frac{\\sqrt{2}}{2}"},
      {"\\frac{\\sqrt{3}}{\\sqrt{12}}", "0.50"},
      {"\\frac{1}{1+\\sqrt{2}}", "\\sqrt{2}-1"},
      {"\\sqrt{\\frac{4}{9}}", "\\frac{2}{3}"},
      {"\\sqrt[3]{27}", "3"},
      {"\\sqrt[3]{2}", "2^{1/3}"},
      {"2^{10}", "1024"},
      {"5!", "120"},
      {"10,000", "10000"},
      {"1{,}234.5", "1234.50"},
      {"50\\%", "50"},
      {"90^\\circ", "90"},
      {"\\frac{3\\pi}{2}", "1.5\\pi"},
      {"2x+1", "1+2x"},
      {"(x+1)^2", "x^2+2x+1"},
      {"\\frac{x^2-1}{x-1}", "x+1"},
      {"(1+i)^2", "2i"},
      {"\\sqrt{-4}", "2i"},
      {"\\left(3,\\frac{\\pi}{2}\\right)", "(3, \\pi/2)"},
      {"[2,5)", "[2, 5.0)"},
      {"(-\\infty,2)\\cup(3,\\infty)", "(-\\infty, 2) \\cup (3, \\infty)"},
      {"1,2,3", "3,1,2"},
      {"\\{1,\\frac12\\}", "\\{0.5, 1\\}"},
      {"\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\begin{pmatrix} 1 \\\\ 4/2 \\end{pmatrix}"},
      {"\\text{Evelyn}", "Evelyn"},
      {"101_2", "101_{2}"},
      {"x=5", "5"},
      {"f(x) = 2x+1", "1+2x"},
      {"3x-y=\\frac12", "3x - y = 0.5"},
      {"\\sin 30", "\\sin 30"}};
  for (const auto& [a, b] : pairs) {
    EXPECT_TRUE(math_equal(a, b)) << a << " and " << b;
    EXPECT_TRUE(math_equal(b, a)) << b << " and " << a;
  }
}

TEST(MathEqual, ValuesThatDiffer) {
  const Pairs pairs{{"\\frac{1}{3}", "0.333"},
                    {"0.1", "0.10000000000000001"},
                    {"2", "-2"},
                    {"\\sqrt{2}", "1.41421356"},
                    {"\\sqrt{2}", "\\sqrt{3}"},
                    {"\\pi", "3.14"},
                    {"(1,2)", "(2,1)"},
                    {"(1,2)", "[1,2]"},
                    {"(1,2)", "1,2"},
                    {"1,2", "1,2,3"},
                    {"1,1,2", "1,2,2"},
                    {"\\begin{pmatrix}1&2\\end{pmatrix}", "\\begin{pmatrix}1\\\\2\\end{pmatrix}"},
                    {"2\\frac{1}{3}", "\\frac{2}{3}"},
                    {"East", "Seat"},
                    {"x", "y"},
                    {"101_2", "101"},
                    {"1,3", "13"},
                    {"0,1", "1"},
                    {"x - 3z = 0", "0"},
                    {"x+y=2", "2"},
                    {"x=y=2", "2"},
                    {"1/0", "2/0"},
                    {"", ""},
                    {"", "0"},
                    {"\\sin 30", "\\frac{1}{2}"}};
  for (const auto& [a, b] : pairs) {
    EXPECT_FALSE(math_equal(a, b)) << a << " and " << b;
    EXPECT_FALSE(math_equal(b, a)) << b << " and " << a;
  }
}

TEST(MathEqual, HostileAnswersEnd) {
  EXPECT_FALSE(math_equal(std::string(100000, '('), "1"));
  EXPECT_FALSE(math_equal("9^{9^{9^{9}}}", "1"));
  EXPECT_FALSE(math_equal("(a+b+c+d+e+f)^{60}", "1"));
  EXPECT_FALSE(math_equal("\\sqrt{999999999989}^{64}", "1"));
  EXPECT_FALSE(math_equal(std::string(200, '9'), std::string(199, '9')));
  EXPECT_FALSE(math_equal("\\frac{1}{", "\\frac"));
  std::string list = "1";
  for (int i = 0; i < 2000; ++i) list += ",1";
  EXPECT_TRUE(math_equal(list, " " + list));
}

// Each level of a nest is read once: twice would take longer than anybody waits, 2^60 times.
TEST(MathEqual, DeepNestsAreReadInOnePass) {
  std::string nest = "1";
  for (int i = 0; i < 60; ++i) nest = "2\\frac{" + nest + "}{x}";
  EXPECT_TRUE(math_equal(nest, "\\frac{2^{60}}{x^{60}}"));
  EXPECT_FALSE(math_equal(nest, "\\frac{2^{60}}{x^{59}}"));
  for (int i = 0; i < 40; ++i) nest = "2\\frac{" + nest + "}{x}";
  EXPECT_FALSE(math_equal(nest, "1"));  // nested deeper than is read
}

TEST(MathEqual, MixedNumbersHaveWholeParts) {
  EXPECT_TRUE(math_equal("2\\frac{1}{3}", "\\frac{7}{3}"));
  EXPECT_TRUE(math_equal("2\\frac13", "\\frac{7}{3}"));
  EXPECT_TRUE(math_equal("2\\frac{1}3x", "\\frac{7x}{3}"));
  EXPECT_TRUE(math_equal("2\\frac{{1}}{3}", "\\frac{7}{3}"));
  EXPECT_TRUE(math_equal("2\\frac{a}{3}", "\\frac{2a}{3}"));
  EXPECT_TRUE(math_equal("2\\frac{1}{a}", "\\frac{2}{a}"));
  EXPECT_TRUE(math_equal("2\\frac{1+1}{3}", "\\frac{4}{3}"));
  EXPECT_FALSE(math_equal("2\\frac{1", "2"));
}

// Fractions by 64-bit integers against the judge.
TEST(MathEqual, AgreesWithIntegerArithmeticOnFractions) {
  for (int a = -6; a <= 6; ++a) {
    for (int b = 1; b <= 6; ++b) {
      for (int c = -6; c <= 6; ++c) {
        for (int d = 1; d <= 6; ++d) {
          const std::string left = fmt::format("\\frac{{{}}}{{{}}}", a, b);
          EXPECT_EQ(math_equal(left, fmt::format("{}/{}", c, d)), a * d == b * c)
              << left << " " << c << "/" << d;
        }
      }
    }
  }
}

TEST(BoxedAnswer, MatchesBraces) {
  EXPECT_EQ(boxed_answer("so \\boxed{1} and \\boxed{\\frac{1}{2}}."), "\\frac{1}{2}");
  EXPECT_EQ(boxed_answer("$\\boxed 5$ x"), "5");
  EXPECT_EQ(boxed_answer("\\fbox{7}"), "7");
  EXPECT_EQ(boxed_answer("\\boxed{1"), std::nullopt);
  EXPECT_EQ(boxed_answer("none"), std::nullopt);
}

TEST(HendrycksEqual, IsTheStringNormalForm) {
  EXPECT_TRUE(hendrycks_equal("\\dfrac12", "\\frac{1}{2}"));
  EXPECT_TRUE(hendrycks_equal("x=0.5", "1/2"));
  EXPECT_TRUE(hendrycks_equal(".5", "\\frac12"));
  EXPECT_TRUE(hendrycks_equal("5\\text{ cm}", "5"));
  EXPECT_TRUE(hendrycks_equal("x/2", "x/2"));  // the published code fails: compared as they are
  EXPECT_FALSE(hendrycks_equal("x/2", " x/2"));
  EXPECT_FALSE(hendrycks_equal("\\frac{2}{4}", "\\frac{1}{2}"));
}

std::vector<std::string> gold_answers() {
  std::vector<std::string> golds;
  const std::string path = testing::data_path("data/math/MATH_test5000.jsonl.gz");
  for_each_json_row(read_text_file(path), path, [&](const Json& row, const std::string& where) {
    golds.push_back(*boxed_answer(json_string(row, "solution", where)));
  });
  return golds;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos;
       at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

std::vector<std::string> variants(const std::string& g) {
  return {g,
          "x=" + g,
          "$" + g + "$",
          "an answer is " + g + " units",
          replaced(g, "{", ""),
          replaced(g, "}", ""),
          replaced(g, "\\frac", "\\dfrac"),
          g + "\\text{ cm}",
          " " + g + ".",
          replaced(g, "\\frac", "\\frac1"),
          g.substr(0, g.size() / 2),
          "\\text{" + g + "}",
          g + "/2",
          "." + g,
          replaced(g, "\\", "\\\\")};
}

std::string sum_of(const std::vector<std::string>& texts) {
  std::string joined;
  for (const std::string& text : texts) joined += text + '\n';
  joined.pop_back();
  return sha256_hex(joined);
}

// Expected: SHA-256 of what the functions of lm-evaluation-harness 4e7e0d47f33b give for the 5,000
// answers of MATH, in 15 variants each, joined by line feeds; "\x01" where one fails.
TEST(MathAnswerGolden, NormalFormsAreThoseOfLmEval) {
  DLM_REQUIRE_DATA("data/math");
  const std::vector<std::string> golds = gold_answers();
  EXPECT_EQ(sum_of(golds), "10800d927024be314dfd6c9b3d18dbd0531043cb9a9c6179e987c6f18f284b88");
  std::vector<std::string> minerva;
  std::vector<std::string> hendrycks;
  for (const std::string& gold : golds) {
    for (const std::string& variant : variants(gold)) {
      minerva.push_back(minerva_normal_form(variant));
      hendrycks.push_back(hendrycks_normal_form(variant).value_or("\x01"));
    }
  }
  EXPECT_EQ(sum_of(minerva), "75cabd797f4912a24e52ad464ba99798b19bd7ac60f60715d66df1678eacbb42");
  EXPECT_EQ(sum_of(hendrycks), "ee58aaf131e9e72708caaff07775502bdd8b687d21d3b6aea47301563b08e17a");
}

// Expected: the same for last_boxed_only_string and remove_boxed on four forms of every solution.
TEST(MathAnswerGolden, BoxedAnswersAreThoseOfLmEval) {
  DLM_REQUIRE_DATA("data/math");
  std::vector<std::string> found;
  const std::string path = testing::data_path("data/math/MATH_test5000.jsonl.gz");
  for_each_json_row(read_text_file(path), path, [&](const Json& row, const std::string& where) {
    const std::string solution = json_string(row, "solution", where);
    // Cut by code points: len(s) - ceil(len(s) / 4) of them are left.
    std::vector<std::size_t> starts;
    for (std::size_t i = 0; i < solution.size(); ++i) {
      if ((static_cast<unsigned char>(solution[i]) & 0xC0U) != 0x80U)
        starts.push_back(i);
    }
    const std::size_t left = starts.size() - (starts.size() + 3) / 4;
    for (const std::string& text :
         {solution, replaced(solution, "\\boxed{", "\\boxed "), replaced(solution, "boxed", "fbox"),
          solution.substr(0, starts[left])})
      found.push_back(boxed_answer(text).value_or("\x01"));
  });
  EXPECT_EQ(sum_of(found), "be1d40fb321a6557a7e7ba1ddc9bff801f8ebc176172970e50a3f635ead276f3");
}

TEST(MathAnswerGolden, FinalAnswersAreThoseOfLmEval) {
  DLM_REQUIRE_DATA("data/math");
  const Extractor minerva(find_task("minerva_math").extractors[0]);
  std::vector<std::string> found;
  const std::vector<std::string> golds = gold_answers();
  for (std::size_t i = 0; i < golds.size(); ++i) {
    const std::string& g = golds[i];
    if (g.find('\n') != std::string::npos)
      continue;
    const std::string forms[] = {
        "so " + g + ". Final Answer: The final answer is $" + g + "$. I hope it is correct.\n",
        "Final Answer: The final answer is " + g + ". ",
        "Final Answer: The final answer is " + g + "."};
    found.push_back(minerva.find(forms[i % 3]).value_or("[invalidanswer]"));
  }
  EXPECT_EQ(sum_of(found), "b7ea22f292b25bc7c58d60c5c9d1a3e15d670465439d305c18299f095ecc758f");
}

// Every answer of MATH equals itself, and math_equal reads most of them as values.
TEST(MathAnswerGolden, EveryGoldAnswerIsRightByItself) {
  DLM_REQUIRE_DATA("data/math");
  std::int64_t values = 0;
  const auto golds = gold_answers();
  for (const std::string& gold : golds) {
    const std::string form = answer_for_math_equal(gold);
    EXPECT_TRUE(math_equal(form, form)) << gold;
    EXPECT_TRUE(hendrycks_equal(gold, gold)) << gold;
    try {
      values += parse_expression(form).has_value() ? 1 : 0;
    } catch (const BeyondExact&) {
    }
  }
  EXPECT_GT(values, 4000);
}

// MATH-500 states its answers twice: in a member, and in the solution's box.
TEST(MathAnswerGolden, StatedAnswersEqualBoxedOnes) {
  DLM_REQUIRE_DATA("data/math");
  const Judge judge(find_task("math500"));
  const std::string path = testing::data_path("data/math/math500_test.mas-tts.jsonl");
  std::vector<std::string> stated;
  std::vector<std::string> boxed;
  for_each_json_row(read_text_file(path), path, [&](const Json& row, const std::string& where) {
    stated.push_back(json_string(row, "answer", where));
    boxed.push_back(*boxed_answer(json_string(row, "solution", where)));
  });
  ASSERT_EQ(stated.size(), 500U);
  std::int64_t others = 0;
  for (std::size_t i = 0; i < stated.size(); ++i) {
    EXPECT_TRUE(judge.correct(JudgeKind::kMath, stated[i], boxed[i])) << stated[i];
    EXPECT_TRUE(judge.correct(JudgeKind::kHendrycks, stated[i], boxed[i])) << stated[i];
    others += judge.correct(JudgeKind::kMath, stated[i], boxed[(i + 1) % 500]) ? 1 : 0;
  }
  EXPECT_LT(others, 25);  // most neighbours differ
}

}  // namespace
}  // namespace dlm
