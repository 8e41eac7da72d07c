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

  ProcessResult gate(const std::string& new_program) const {
    return dlmbench({"gate", "--rounds", "5", "--suite", folder_.file("suite.toml"),
                     "--base-program", program_path(), "--new-program", new_program, "--base-db",
                     folder_.file("base.db"), "--db", folder_.file("new.db"), "--margin",
                     "tokens_per_second=10%"});
  }

  TemporaryFolder folder_;
};

TEST_F(InterleavedGate, ASleepInTheStepLoopIsCaught) {
  const ProcessResult result = gate(folder_.file("slow"));
  EXPECT_EQ(result.code, 3) << result.out << result.err;
  EXPECT_NE(result.out.find("tokens_per_second"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("worse"), std::string::npos) << result.out;
}

TEST_F(InterleavedGate, AProgramThatFailsIsNoVerdict) {
  const ProcessResult result = gate("/bin/false");
  EXPECT_EQ(result.code, 1) << result.out << result.err;
  EXPECT_NE(result.err.find("/bin/false"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace dlm::testing
