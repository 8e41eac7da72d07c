#include "tasks/detokenizer.h"

#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/text.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

std::string detokenized(std::string_view name, std::string_view text) {
  return find_detokenizer(name)(text);
}

TEST(Detokenizer, NoneKeepsTheText) {
  EXPECT_EQ(detokenized("none", " a , b \n"), " a , b \n");
}

// Python: re.sub(r"\(\s*([^\)]*?)\s*\)", r"(\1)", s) and its like.
TEST(Detokenizer, WikitextStripsInsideBracketsAndQuotes) {
  EXPECT_EQ(detokenized("wikitext", "( a ( b ) c )"), "(a ( b) c )");
  EXPECT_EQ(detokenized("wikitext", "(  ) ( open"), "() ( open");
  EXPECT_EQ(detokenized("wikitext", "[ \u3000x\u00a0 ]{\ny\x1f}"), "[x]{y}");
  EXPECT_EQ(detokenized("wikitext", "\" a \" b \" c"), "\"a\" b \" c");
}

TEST(Detokenizer, WikitextKeepsTheQuirksOfTheOriginal) {
  EXPECT_EQ(detokenized("wikitext", "/' 5/"), "/'[0-9]/");
  EXPECT_EQ(detokenized("wikitext", "a N b"), "a 1 b");
  EXPECT_EQ(detokenized("wikitext", "= = = = ="), "=====");
  EXPECT_EQ(detokenized("wikitext", "20 \u00b0 C"), "20\u00b0C");
}

TEST(Detokenizer, PtbMakesTenPassesOverRunsOfN) {
  EXPECT_EQ(detokenized("ptb", "a N N N b"), "a 1 1 1 b");
  EXPECT_EQ(detokenized("ptb", "$ N million , the firms ' n't <unk> 1\\/2 \n "),
            "$1 million , the firms'n't ? 1/2\n");
  EXPECT_EQ(detokenized("ptb", "pay $ N now"), "pay $1 now");
}

TEST(Detokenizer, Lm1bJoinsOneSpaceOnEachSide) {
  EXPECT_EQ(detokenized("lm1b", "\" a b \" ( c ) [ d ] ' e '"), "\"a b\" (c) [d] 'e'");
  EXPECT_EQ(detokenized("lm1b", "(  a ) ( ( b ) \" \""), "( a) ( (b) \" \"");
  EXPECT_EQ(detokenized("lm1b", "see http : / / x and https : / / y / z"),
            "see http://x and https://y/z");
  EXPECT_EQ(detokenized("lm1b", "cost $ 5 or \u00a3 6 . Why ?"), "cost $5 or \u00a36. Why?");
  EXPECT_EQ(detokenized("lm1b", "a . b . c ."), "a . b. c.");
}

TEST(Detokenizer, LambadaStripsAndStartsWithALineFeed) {
  EXPECT_EQ(detokenized("lambada", " \u201chi\u201d she said \u2003\n"), "\n\"hi\" she said");
  EXPECT_EQ(detokenized("lambada", ""), "\n");
}

TEST(Detokenizer, RefusesAnUnknownNameWithTheNearest) {
  try {
    find_detokenizer("wikitxt");
    FAIL() << "no error";
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(), "detokenizer = 'wikitxt': unknown; did you mean 'wikitext'?");
  }
}

// A mark that stays open must not cost a pass over the rest for each occurrence.
TEST(Detokenizer, IsLinearInTextsWithOpenMarks) {
  std::string text;
  for (int i = 0; i < 200'000; ++i) text += "( [ { ";
  EXPECT_EQ(detokenized("wikitext", text), text);
  EXPECT_EQ(detokenized("lm1b", text), text);
}

TEST(DetokenizerGolden, EveryFixtureLineIsExact) {
  DLM_REQUIRE_DATA("fixtures/text_pipeline/detokenizers.jsonl");
  const auto file =
      MappedFile::open(testing::data_path("fixtures/text_pipeline/detokenizers.jsonl"));
  int checked = 0;
  for (const std::string& line : split(file->text(), '\n')) {
    if (line.empty())
      continue;
    const Json row = parse_json(line, "fixture");
    const auto text = row.at("text").get<std::string>();
    EXPECT_EQ(detokenized("wikitext", text), row.at("wt").get<std::string>()) << line;
    for (const char* name : {"ptb", "lm1b", "lambada", "scientific_papers"})
      EXPECT_EQ(detokenized(name, text), row.at(name).get<std::string>()) << name << " " << line;
    ++checked;
  }
  EXPECT_EQ(checked, 100);
}

TEST(DetokenizerGolden, WholeCorporaHaveTheSameHash) {
  DLM_REQUIRE_DATA("fixtures/text_pipeline/bulk.json");
  const std::string path = testing::data_path("fixtures/text_pipeline/bulk.json");
  const Json bulk = parse_json(MappedFile::open(path)->text(), path);
  int checked = 0;
  for (const auto& [key, expected] : bulk.items()) {
    const auto bar = key.find('|');
    const std::string corpus = testing::data_path("data/" + key.substr(0, bar));
    if (!file_exists(corpus))
      continue;  // the Penn Treebank test part is not among the data
    const std::string name = key.substr(bar + 1) == "wt" ? "wikitext" : key.substr(bar + 1);
    std::string joined;
    std::int64_t lines = 0;
    for (const std::string& line : split(MappedFile::open(corpus)->text(), '\n')) {
      if (lines++ > 0)
        joined.push_back('\0');
      joined += detokenized(name, line);
    }
    EXPECT_EQ(lines, expected.at("lines").get<std::int64_t>());
    EXPECT_EQ(sha256_hex(joined), expected.at("sha256").get<std::string>()) << key;
    ++checked;
  }
  EXPECT_GE(checked, 2);
}

// A whole file as one text, so that matches cross lines. Expected: the published functions under
// Python 3.11.
TEST(DetokenizerGolden, WholeFilesAsOneTextHaveTheSameHash) {
  const struct {
    const char *file, *name, *sha256;
  } kRows[] = {
      {"ptb/ptb.valid.txt", "ptb",
       "771f621f7d152f92180cb4818f4c600206fa20cb8c5bdadcf7ad16006375bbd4"},
      {"wikitext-2/wiki.valid.tokens", "wikitext",
       "690623f8b014db8936214a63f29caee6503f4b9a21f0e883957c278868a9be34"},
      {"wikitext-2/wiki.valid.tokens", "scientific_papers",
       "83377cf43febe73a0b73d5124721a24aa839357b8a56ab9b589993c79738c51c"},
      {"c4_demo/c4_demo.json", "lm1b",
       "acbb2259f8ffdf3c01fcc96f2f7a4564e23998e7ad8aacc34a27dcaee91a38f3"},
      {"lambada/lambada_test.jsonl", "lambada",
       "3ac53411ead9fd535d593439b6c9224f60f371d6cbae9f1e37a7513be6e34e7d"},
  };

  for (const auto& row : kRows) {
    const std::string relative = std::string("data/corpora/") + row.file;
    DLM_REQUIRE_DATA(relative);
    const auto file = MappedFile::open(testing::data_path(relative));
    EXPECT_EQ(sha256_hex(detokenized(row.name, file->text())), row.sha256) << row.file;
  }
}

}  // namespace
}  // namespace dlm
