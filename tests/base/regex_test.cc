#include "harness/base/regex.h"

#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"

namespace dlm {
namespace {

template <class Failure, class Action>
std::string message_of(Action action) {
  try {
    action();
  } catch (const Failure& failure) {
    return failure.what();
  }
  return "no error";
}

std::vector<std::string> all_matches(const Regex& regex, std::string_view text) {
  std::vector<std::string> found;
  for (const RegexMatch& match : regex.find_all(text)) found.emplace_back(match.text());
  return found;
}

TEST(RegexFind, ReportsWholeMatchAndGroups) {
  const Regex regex(R"((\w+)@(\w+)(\.org)?)");
  const auto match = regex.find("to: anna@lab, bert@home.org", 0);
  ASSERT_TRUE(match);
  EXPECT_EQ(match->begin(), 4U);
  EXPECT_EQ(match->end(), 12U);
  EXPECT_EQ(match->text(1), "anna");
  EXPECT_EQ(match->text(2), "lab");
  EXPECT_FALSE(match->matched(3));
  EXPECT_EQ(match->text(3), "");
  EXPECT_EQ(match->size(), 4U);
  EXPECT_EQ(regex.find("to: anna@lab, bert@home.org", 12)->text(3), ".org");
  EXPECT_FALSE(regex.find("nobody"));
}

TEST(RegexFind, LooksBehindTheOffset) {
  EXPECT_FALSE(Regex("(?<!a)b").find("ab", 1));
  EXPECT_TRUE(Regex("(?<=a)b").find("ab", 1));
}

TEST(RegexFind, ClassesAreUnicode) {
  EXPECT_EQ(Regex(R"(\p{L}+)").find("12 \xC3\xA9t\xC3\xA9 3")->text(), "\xC3\xA9t\xC3\xA9");
  EXPECT_EQ(Regex(R"(\d)").find("\xD9\xA3")->text(), "\xD9\xA3");
  EXPECT_TRUE(Regex(R"(^\s$)").find("\xE3\x80\x80"));
}

TEST(RegexFind, OptionsChangeTheMatch) {
  EXPECT_FALSE(Regex("^b").find("a\nb"));
  EXPECT_TRUE(Regex("^b", {.multi_line = true}).find("a\nb"));
  EXPECT_FALSE(Regex("a.b").find("a\nb"));
  EXPECT_TRUE(Regex("a.b", {.dot_all = true}).find("a\nb"));
  EXPECT_TRUE(Regex("a.b").find("a\rb"));
  EXPECT_FALSE(Regex("A").find("a"));
  EXPECT_TRUE(Regex("A", {.ignore_case = true}).find("a"));
}

TEST(RegexFindAll, TreatsEmptyMatchesAsPythonDoes) {
  // python3: [m.span() for m in re.finditer('x*', 'axxb')] = (0,0) (1,3) (3,3) (4,4)
  std::vector<std::pair<std::size_t, std::size_t>> spans;
  for (const RegexMatch& match : Regex("x*").find_all("axxb"))
    spans.emplace_back(match.begin(), match.end());
  const std::vector<std::pair<std::size_t, std::size_t>> expected = {
      {0, 0}, {1, 3}, {3, 3}, {4, 4}};
  EXPECT_EQ(spans, expected);
  EXPECT_EQ(all_matches(Regex("a|b"), "abcab"), (std::vector<std::string>{"a", "b", "a", "b"}));
  EXPECT_TRUE(all_matches(Regex("a"), "").empty());
}

TEST(RegexMatchesWhole, BacktracksToTheEnd) {
  EXPECT_TRUE(Regex("a|ab").matches_whole("ab"));
  EXPECT_FALSE(Regex("a|ab").matches_whole("abc"));
  EXPECT_FALSE(Regex("a").matches_whole("a\n"));
  EXPECT_TRUE(Regex("a*").matches_whole(""));
}

TEST(RegexReplaceAll, FillsTemplatesAsPythonDoes) {
  EXPECT_EQ(Regex("x*").replace_all("abxd", "-"), "-a-b--d-");
  EXPECT_EQ(Regex(R"((\d+)/(\d+))").replace_all("1/2 and 30/4", R"(\2:\1)"), "2:1 and 4:30");
  EXPECT_EQ(Regex(R"((?P<n>a)|b)").replace_all("ab", R"([\g<n>\g<1>])"), "[aa][]");
  EXPECT_EQ(Regex("a").replace_all("cab", R"(\\\n)"), "c\\\nb");
  EXPECT_EQ(Regex("a").replace_all("cab", "$1"), "c$1b");
}

TEST(RegexErrors, NameThePatternAndTheReason) {
  EXPECT_EQ(message_of<ConfigError>([] { Regex("a(b"); }),
            "regular expression = 'a(b': at byte 3: missing closing parenthesis");
  EXPECT_EQ(message_of<ConfigError>([] { Regex("a").replace_all("a", "\\1"); }),
            "replacement = '\\1': the pattern has no group '1'");
  EXPECT_EQ(message_of<ConfigError>([] { Regex("a").replace_all("a", "\\q"); }),
            "replacement = '\\q': unknown escape '\\q'");
  EXPECT_EQ(message_of<DataError>([] { Regex("a").find("aa\xFFz"); }),
            "text: at byte 2: expected valid UTF-8, found an invalid byte");
}

TEST(RegexErrors, ReportsTheMatchLimitInsteadOfNoMatch) {
  const Regex regex("(a+)+$", {.match_limit = 10'000});
  const std::string text = std::string(40, 'a') + "b";
  EXPECT_EQ(message_of<DataError>([&] { regex.find(text); }),
            "text searched for /(a+)+$/: at byte 0: expected a search within the limits, found "
            "match limit exceeded");
}

TEST(RegexScanner, SurvivesDeepRecursionInLongTexts) {
  // Each repeat of the group costs stack in the JIT; the interpreter takes over on the heap.
  const Regex regex("(?:a|b)*c", {.match_limit = 0xFFFFFFFF});
  std::string text(1'000'000, 'a');
  text += 'c';
  EXPECT_EQ(regex.find(text)->end(), text.size());
}

TEST(RegexScanner, WorksFromSeveralThreads) {
  const Regex regex(R"(\d+)");
  std::vector<std::size_t> counts(4);
  std::vector<std::thread> threads;
  for (std::size_t& count : counts) {
    threads.emplace_back([&] { count = regex.find_all("1 22 333 x 4444").size(); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counts, (std::vector<std::size_t>(4, 4)));
}

}  // namespace
}  // namespace dlm
