#include "harness/cli.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"

namespace dlm {
namespace {

CommandOptions make_options() {
  CommandOptions options("run [SUITE.toml]", "Evaluates.");
  options.flag("dry-run", "show").value("db", "file").fields(SpecPart::kScore).positionals(1);
  return options;
}

std::string error_of(const std::vector<std::string>& args) {
  try {
    make_options().parse(args);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(CommandOptions, TakesSettingsFlagsAndPositionals) {
  const auto parsed = make_options().parse(
      {"s.toml", "-m", "folder", "--batch-size=4", "--dry-run", "--db", "x.db"});
  ASSERT_NE(parsed, nullptr);
  EXPECT_EQ(parsed->positionals, (std::vector<std::string>{"s.toml"}));
  EXPECT_TRUE(parsed->has("dry-run"));
  EXPECT_EQ(parsed->get("db", ""), "x.db");
  EXPECT_EQ(parsed->get("absent", "d"), "d");
  const RunSpec spec = spec_from(*parsed);
  EXPECT_EQ(spec.model, "folder");
  EXPECT_EQ(spec.batch_size, 4);
}

TEST(CommandOptions, UnknownOptionNamesTheNearest) {
  EXPECT_EQ(error_of({"--bach-size", "4"}),
            "option = 'bach-size': unknown; did you mean 'batch-size'?");
  EXPECT_EQ(error_of({"--dry"}).substr(0, 23), "option = 'dry': unknown");
  EXPECT_NE(error_of({"a", "b"}).find("argument = 'b'"), std::string::npos);
  EXPECT_NE(error_of({"--db"}).find("command line"), std::string::npos);
}

TEST(CommandOf, RepeatsTheSettingsThatDiffer) {
  RunSpec spec;
  spec.model = "exact:markov?v=8";
  spec.batch_size = 2;
  const std::string line = command_of(spec, SpecPart::kScore, "run");
  EXPECT_EQ(line, "dlmbench run --model 'exact:markov?v=8' --batch-size 2");
}

TEST(ShellQuoted, LeavesPlainWordsAlone) {
  EXPECT_EQ(shell_quoted("a/b-c.txt"), "a/b-c.txt");
  EXPECT_EQ(shell_quoted("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_quoted(""), "''");
}

}  // namespace
}  // namespace dlm
