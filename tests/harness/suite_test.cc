#include "harness/suite.h"

#include <string>

#include <gtest/gtest.h>

#include "harness/base/error.h"

namespace dlm {
namespace {

std::string error_of(const char* toml) {
  try {
    parse_suite(toml, "s.toml");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(Suite, DefaultsListsAndDottedKeys) {
  const Suite suite = parse_suite(R"(
    name = "two"
    [defaults]
    seed = 3
    scoring.length = 64
    [[run]]
    model = "a"
    task = ["x", "y"]
    batch-size = "1-4*2"
    [[run]]
    model = "b"
    needs_data = true
    scoring = { length = 32, bos = "none" }
    metrics = ["nll", "perplexity"]
  )",
                                  "s.toml");
  EXPECT_EQ(suite.name, "two");
  ASSERT_EQ(suite.entries.size(), 2U);
  EXPECT_FALSE(suite.entries[0].needs_data);
  const auto first = expand({}, suite.entries[0].axes);
  ASSERT_EQ(first.size(), 6U);
  EXPECT_EQ(first[5].task, "y");
  EXPECT_EQ(first[5].batch_size, 4);
  EXPECT_EQ(first[5].scoring.length, 64);
  const auto second = expand({}, suite.entries[1].axes);
  ASSERT_EQ(second.size(), 1U);
  EXPECT_EQ(second[0].seed, 3U);
  EXPECT_EQ(second[0].scoring.length, 32);
  EXPECT_EQ(second[0].metrics, (std::vector<std::string>{"nll", "perplexity"}));
}

TEST(Suite, ATableShowsTheRunsThatNameIt) {
  const Suite suite = parse_suite(R"(
    [[run]]
    model = ["a", "b"]
    task = "x"
    table = "small"
    [[run]]
    model = "c"
    task = "x"
    [[table]]
    name = "small"
    title = "In small"
    columns = ["perplexity", "generative_perplexity/pooled"]
  )",
                                  "s.toml");
  EXPECT_EQ(suite.entries[0].table, "small");
  EXPECT_EQ(suite.entries[1].table, "");
  ASSERT_EQ(suite.tables.size(), 1U);
  EXPECT_EQ(suite.tables[0].name, "small");
  EXPECT_EQ(suite.tables[0].spec.title, "In small");
  EXPECT_EQ(suite.tables[0].spec.columns,
            (std::vector<std::string>{"perplexity", "generative_perplexity/pooled"}));
  const std::string run = "[[run]]\nmodel = \"a\"\n";
  EXPECT_EQ(
      error_of(
          (run + "table = \"smal\"\n[[table]]\nname = \"small\"\ncolumns = [\"a\"]\n").c_str()),
      "s.toml: table = 'smal': unknown; did you mean 'small'?");
  EXPECT_EQ(error_of((run + "table = 3\n").c_str()),
            "s.toml: table = '3': the name of a [[table]]");
  EXPECT_EQ(error_of((run + "[[table]]\ncolumns = [\"a\"]\n").c_str()),
            "s.toml: table: name = '\"\"': a text");
  EXPECT_NE(error_of((run + "[[table]]\nname = \"t\"\n").c_str()).find("a list of estimates"),
            std::string::npos);
  EXPECT_EQ(error_of((run + "[[table]]\nname = \"t\"\ncolums = []\n").c_str()),
            "s.toml: table: key = 'colums': unknown; did you mean 'columns'?");
}

TEST(Suite, ErrorsNameFileKeyAndRemedy) {
  EXPECT_EQ(error_of("[[run]]\nmodle = \"a\"\n"),
            "s.toml: key = 'modle': unknown; did you mean 'model'?");
  EXPECT_EQ(error_of("[[runs]]\nmodel = \"a\"\n"),
            "s.toml: key = 'runs': unknown; did you mean 'run'?");
  EXPECT_NE(error_of("model = \n").find("line 1"), std::string::npos);
  EXPECT_EQ(error_of("name = \"x\"\n"), "s.toml: run = '': needs at least one [[run]] table");
  EXPECT_EQ(error_of("[[run]]\nbatch_size = true\n"), "batch_size = 'true': must be like 8");
  EXPECT_EQ(error_of("[[run]]\nseed = 2001-01-01\n").substr(0, 6), "s.toml");
  EXPECT_EQ(error_of("[[run]]\ntask = []\n"), "task = '[]': a list needs a value");
}

TEST(Suite, OverridesReplaceTheWholeAxis) {
  const auto axes =
      with_overrides({make_axis("seed", "1-3"), make_axis("model", "a")}, {make_axis("seed", "9")});
  const auto specs = expand({}, axes);
  ASSERT_EQ(specs.size(), 1U);
  EXPECT_EQ(specs[0].seed, 9U);
}

}  // namespace
}  // namespace dlm
