// gate against a program that became slow: the two are measured in turn.
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "harness/base/file.h"
#include "tests/support/data.h"
#include "tests/support/process.h"
#include "tests/support/tiny_model.h"

namespace dlm::testing {
namespace {

class InterleavedGate : public ::testing::Test {
 protected:
  void SetUp() override {
    write_tiny_model(folder_.file("model"), {.width = 64});
    std::ofstream text(folder_.file("text.jsonl"));
    for (int i = 0; i < 40; ++i)
      text << R"({"text":"line )" << i * i << " of a text that is measured " << i << "\"}\n";
    std::ofstream suite(folder_.file("suite.toml"));
    suite << "[[run]]\nmodel = \"" << folder_.file("model")
          << "\"\ntask = \"jsonl:" << folder_.file("text.jsonl")
          << "?field=text\"\nbatch_size = 2\n";
    std::ofstream slow(folder_.file("slow"));
    slow << "#!/bin/sh\nLD_PRELOAD=" << DLM_SLOW_STEPS << " exec " << program_path() << " \"$@\"\n";
    slow.close();
    std::filesystem::permissions(folder_.file("slow"), std::filesystem::perms::owner_all);
  }

  ProcessResult gate(const std::string& new_program, const std::string& most,
                     const std::string& margin) const {
    return dlmbench({"gate", "--rounds", "5", "--max-rounds", most, "--suite", folder_.file(suite_),
                     "--base-program", program_path(), "--new-program", new_program, "--base-db",
                     folder_.file("base.db"), "--db", folder_.file("new.db"), "--margin",
                     "tokens_per_second=" + margin});
  }

  std::string runs(const char* db) const {
    return dlmbench({"sql", "select count(*) as n from run", "--db", folder_.file(db), "-o", "csv"})
        .out;
  }

  TemporaryFolder folder_;
  std::string suite_ = "suite.toml";
};

TEST_F(InterleavedGate, ASleepInTheStepLoopIsCaught) {
  const ProcessResult result = gate(folder_.file("slow"), "8", "10%");
  EXPECT_EQ(result.code, 3) << result.out << result.err;
  EXPECT_NE(result.out.find("tokens_per_second"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("worse"), std::string::npos) << result.out;
}

// No difference of speed can be shown to lie within so small a margin, and at the first look of
// three even eight of eight slower runs would be no proof: it measures on, and then it stops.
TEST_F(InterleavedGate, AddsRoundsWhileUndecidedUpToTheLimit) {
  suite_ = "exact.toml";
  write_file_atomically(folder_.file(suite_),
                        "[[run]]\nmodel = \"exact:markov?v=3\"\ntask = "
                        "\"draws:markov?v=3&documents=200&length=8\"\n");
  const ProcessResult result = gate(program_path(), "13", "0.00001%");
  EXPECT_NE(result.err.find("undecided after 8 rounds of at most 13"), std::string::npos)
      << result.err;
  EXPECT_EQ(runs("base.db"), runs("new.db"));
  EXPECT_NE(result.out.find("signed rank exact, 3 looks"), std::string::npos) << result.out;
  EXPECT_NE(runs("new.db"), "n\n8\n");
}

TEST_F(InterleavedGate, BothSidesNeedStoresOfTheirOwn) {
  const std::string db = folder_.file("one.db");
  const ProcessResult result =
      dlmbench({"gate", "--rounds", "8", "--suite", folder_.file("suite.toml"), "--base-program",
                program_path(), "--base-db", db, "--db", db});
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("another store than --db"), std::string::npos) << result.err;
  EXPECT_EQ(dlmbench({"gate", "--max-rounds", "-1", "--db", db}).code, 1);
}

TEST_F(InterleavedGate, AProgramThatFailsIsNoVerdict) {
  const ProcessResult result = gate("/bin/false", "8", "10%");
  EXPECT_EQ(result.code, 1) << result.out << result.err;
  EXPECT_NE(result.err.find("/bin/false"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace dlm::testing
