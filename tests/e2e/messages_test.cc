// What the program says: the runs of a sweep apart, names that it does not know, and remedies.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/data.h"
#include "tests/support/process.h"
#include "tests/support/tiny_model.h"

namespace dlm::testing {
namespace {

using Words = std::vector<std::string>;

void says(const ProcessResult& result, int code, const Words& words) {
  EXPECT_EQ(result.code, code) << result.err;
  for (const std::string& word : words)
    EXPECT_NE(result.err.find(word), std::string::npos) << word << " not in " << result.err;
}

// Without what aligns the columns.
std::string unpadded(std::string text) {
  const auto both = [](char a, char b) { return a == ' ' && b == ' '; };
  text.erase(std::unique(text.begin(), text.end(), both), text.end());
  return text;
}

std::string head_of(const std::string& text) {
  return unpadded(text.substr(0, text.find('\n')));
}

TEST(Messages, ListTellsTheRunsOfASweepApartAndFiltersByWhatWasTyped) {
  const TemporaryFolder folder;
  const std::string db = folder.file("r.db");
  const auto list = [&db](Words more) {
    more.insert(more.begin(), {"list", "--db", db, "-o", "csv"});
    return dlmbench(more);
  };
  ASSERT_EQ(dlmbench({"run", "--model", "exact:tabular?v=3&l=4", "--task",
                      "samples:documents=4&length=4", "--metrics", "text_statistics", "--sampler",
                      "random,confidence", "--tokens-per-step", "1,2", "--db", db, "-q"})
                .code,
            0);
  // A run of another kind has other settings; what tells the sweep apart is shown all the same.
  ASSERT_EQ(dlmbench({"run", "--model", "exact:tabular?v=3&l=4", "--task",
                      "draws:tabular?v=3&l=4&documents=4", "--db", db, "-q"})
                .code,
            0);
  const std::string shown = unpadded(dlmbench({"list", "--db", db}).out);
  const std::string head = head_of(shown);
  EXPECT_NE(head.find("| sampler | tokens_per_step |"), std::string::npos) << head;
  EXPECT_NE(shown.find("| confidence | 2 "), std::string::npos) << shown;
  const auto lines = [](const ProcessResult& result) {
    EXPECT_EQ(result.code, 0) << result.err;
    return std::count(result.out.begin(), result.out.end(), '\n') - 1;
  };
  EXPECT_EQ(lines(list({"--model", "exact:tabular?v=3&l=4"})), 5);
  EXPECT_EQ(lines(list({"--model", "exact:tab*"})), 5);
  EXPECT_EQ(lines(list({"--task", "samples:documents=4&length=4"})), 4);
  const ProcessResult none = list({"--model", "exact:tabular?v=3&l=5"});
  EXPECT_EQ(lines(none), 0);
  says(none, 0, {"no run of model 'exact:tabular?v=3&l=5'; did you mean 'exact:tabular?v=3&l=4'?"});
}

TEST(Messages, AnUnknownModelOfTheZooHasARemedy) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder.file("zoo/stories-small"));
  const Words run{"run", "--task", "samples:documents=1", "--model", "zoo:stories-smal"};
  ProcessOptions options{.folder = folder.path()};
  options.environment["DLMBENCH_ZOO"] = folder.file("zoo");
  says(dlmbench(run, options), 1,
       {"model = 'zoo:stories-smal': unknown; did you mean 'zoo:stories-small'?",
        folder.file("zoo") + " holds stories-small"});
  options.environment["DLMBENCH_ZOO"] = folder.file("none");
  says(dlmbench(run, options), 1, {"no models in " + folder.file("none"), "set DLMBENCH_ZOO"});
  // The program's own source tree has a zoo.
  options.environment["DLMBENCH_ZOO"] = "";
  says(dlmbench(run, options), 1, {"models/zoo holds sto", "stories-bd3lm4, "});
}

TEST(Messages, TasksThatAreNone) {
  const TemporaryFolder folder;
  write_tiny_model(folder.file("model"));
  says(dlmbench({"run", "--model", folder.file("model"), "--task", "word_sum"}), 1,
       {"did you mean 'word_sums'?"});
  says(dlmbench({"run", "--model", "exact:markov?v=4", "--task", "wikitext"}), 1,
       {"did you mean 'wikitext2'?"});
  says(dlmbench({"run", "--model", "exact:markov?v=4", "--task", "draws:markov?v=9&length=64"}), 1,
       {"task = 'draws:markov?v=9&length=64'", "the vocabulary of the model has 4 (0 to 3)"});
}

TEST(Messages, ValuesThatAreNone) {
  says(dlmbench({"generate", "--model", "exact:markov", "--nucleus-p", "2"}), 1,
       {"a number above 0, at most 1"});
  says(dlmbench({"gradient", "--model", "exact:markov?v=8", "--task", "draws:markov?v=8"}), 1,
       {"model = 'exact:markov?v=8'", "the folder of a diffusion model"});
  says(dlmbench({"schedule", "--model", "exact:markov?v=8", "--task", "draws:markov?v=8",
                 "--block-size", "4", "--widths", "0.9", "--delta", "0.25"}),
       1, {"delta = '0.25'", "[0.25, 1.15] ends above 1"});
}

TEST(Messages, ATextThatFillsTheModelSaysSo) {
  const TemporaryFolder folder;
  write_tiny_model(folder.file("model"));
  const Words generate{"generate", "--model",      folder.file("model"), "--prompt",
                       "a",        "--ignore-eos", "--max-new-tokens"};
  const auto with = [&generate](const std::string& tokens) {
    Words args = generate;
    args.push_back(tokens);
    return dlmbench(args);
  };
  says(with("200"), 0, {"1 of 1 texts stopped at the model's length, 64", "--past-context slide"});
  EXPECT_EQ(with("3").err.find("past-context"), std::string::npos);
}

TEST(Messages, LawNamesTheSampler) {
  const TemporaryFolder folder;
  const ProcessResult law = dlmbench({"law", "--model", "exact:tabular?v=3&l=4", "--sampler",
                                      "random,confidence", "--db", folder.file("r.db")});
  ASSERT_EQ(law.code, 0) << law.err;
  EXPECT_NE(head_of(law.out).find("| sampler |"), std::string::npos) << law.out;
}

TEST(Messages, ReproNeedsNoStoreToSayWhatIsMissing) {
  const TemporaryFolder folder;
  std::ofstream(folder.file("paper.toml"))
      << "name = \"A paper\"\n[[table]]\nid = \"1\"\ntitle = \"A table\"\n"
         "run = \"dlmbench run --model {model} --task {task}\"\nneeds = []\n"
         "tolerance = { class = \"exact\" }\nmetric = \"perplexity\"\ncolumns = [\"PPL\"]\n"
         "[table.rows]\n\"AR\" = [\"4.7\"]\n[table.models]\n\"AR\" = \"m\"\n[table.tasks]\n"
         "\"PPL\" = \"wikitext2\"\n";
  const std::string db = folder.file("r.db");
  const ProcessResult missing =
      dlmbench({"repro", folder.file("paper.toml"), "--missing", "--db", db});
  EXPECT_EQ(missing.code, 0) << missing.err;
  EXPECT_NE(missing.out.find("dlmbench run --model m --task wikitext2"), std::string::npos)
      << missing.out;
  EXPECT_EQ(dlmbench({"repro", folder.file("paper.toml"), "--db", db}).code, 5);
  EXPECT_FALSE(std::filesystem::exists(db));
}

TEST(Messages, VersionNamesBuildAndNumerics) {
  const ProcessResult version = dlmbench({"--version"});
  EXPECT_EQ(version.code, 0) << version.err;
  for (const char* word : {"dlmbench ", "libtorch 2.", "numerics "})
    EXPECT_NE(version.out.find(word), std::string::npos) << version.out;
}

}  // namespace
}  // namespace dlm::testing
