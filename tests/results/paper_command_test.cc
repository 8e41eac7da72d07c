#include "results/paper_command.h"

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "tests/results/expect_error.h"

namespace dlm {
namespace {

using testing::error_of;
using Texts = std::vector<std::string>;

std::string refusal(const std::string& command) {
  return error_of<ConfigError>([&] { parse_cell_command(command, "p.toml"); });
}

TEST(PaperCommand, WordsAreThoseOfAShell) {
  EXPECT_EQ(command_words("dlmbench run  --task 'samples:documents=2&length=4' # then rest", ""),
            (Texts{"dlmbench", "run", "--task", "samples:documents=2&length=4"}));
  EXPECT_EQ(command_words(R"(a "b 'c'" d\ e '' f#g)", ""), (Texts{"a", "b 'c'", "d e", "", "f#g"}));
  EXPECT_TRUE(command_words(" # nothing", "").empty());
  EXPECT_CONTAINS(error_of<ConfigError>([] { command_words("a 'b", "p.toml"); }), "closing '");
}

TEST(PaperCommand, WhatTheProgramDoesNotKnowIsRefused) {
  const CellCommand run = parse_cell_command(
      "dlmbench run --model m/ --task='samples:length=4' -n 250 --cache false --shots -1", "");
  EXPECT_EQ(run.run->task, "samples:length=4");
  EXPECT_EQ(run.run->limit, 250);
  EXPECT_FALSE(run.run->sampler.cache);
  EXPECT_EQ(run.run->answers.shots, -1);
  EXPECT_FALSE(parse_cell_command("", "").run);
  const std::string begin = "dlmbench run --model m --task t ";
  EXPECT_CONTAINS(refusal(begin + "--treshold 0.9"), "did you mean 'threshold'");
  EXPECT_CONTAINS(refusal(begin + "--cache none"), "none");
  EXPECT_CONTAINS(refusal(begin + "--tokens-per-step 1.78"), "1.78");
  EXPECT_CONTAINS(refusal(begin + "suite.toml"), "suite.toml");
  EXPECT_CONTAINS(refusal("dlmbench run --model m"), "--task");
  EXPECT_CONTAINS(refusal("python eval.py"), "dlmbench");
}

// In what a run of the settings that `measured` gives is not what `asked` asks.
Texts run_deviations(const std::string& asked, const std::string& measured,
                     Claim claim = Claim::kNumber) {
  const std::string begin = "dlmbench run --model m --task t ";
  const CellCommand wanted = parse_cell_command(begin + asked, "");
  const CellCommand stored = parse_cell_command(begin + measured, "");
  const std::string spec = canonical_json(run_fields().to_json(*stored.run, false));
  return deviations(wanted, {spec, ""}, claim);
}

TEST(PaperCommand, EverySettingThatDecidesANumberCounts) {
  EXPECT_EQ(run_deviations("", "--bos none --length 64"), (Texts{"--length 64", "--bos none"}));
  EXPECT_EQ(run_deviations("--packing packed", ""), (Texts{"--packing auto"}));
  EXPECT_EQ(run_deviations("--nucleus-p 0.9", "--nucleus-p 1"), (Texts{"--nucleus-p 1"}));
  EXPECT_EQ(run_deviations("", "--seed 2"), (Texts{"--seed 2"}));
  EXPECT_EQ(run_deviations("", "--limit 5"), (Texts{"--limit 5"}));
  EXPECT_TRUE(run_deviations("--limit 250", "-n 250").empty());
  EXPECT_TRUE(run_deviations("--t-max 0.50", "--t-max 0.5").empty());
  EXPECT_TRUE(run_deviations("--metrics nll",
                             "--batch-size 2 --threads 2 --device cuda --metrics "
                             "auto --linear-backend aten")
                  .empty());
  // A rate is one of a batch size, where the command says which.
  EXPECT_TRUE(run_deviations("", "--batch-size 2", Claim::kRate).empty());
  EXPECT_EQ(run_deviations("--batch-size 1", "--batch-size 2", Claim::kRate),
            (Texts{"--batch-size 2"}));
}

TEST(PaperCommand, PlacesAreKnownByTheirLastParts) {
  EXPECT_TRUE(run_deviations("--adjust zoo:layer", "--adjust models/zoo/layer/").empty());
  EXPECT_TRUE(run_deviations("--judge gpt2-large", "--judge /m/gpt2-large").empty());
  EXPECT_EQ(run_deviations("--judge gpt2-large", "--judge gpt2"), (Texts{"--judge gpt2"}));
  EXPECT_EQ(run_deviations("", "--adjust zoo:layer"), (Texts{"--adjust zoo:layer"}));
  EXPECT_EQ(run_deviations("--adjust zoo:layer", ""), (Texts{"no --adjust"}));
  EXPECT_TRUE(run_deviations("", "--tokenizer gpt2").empty());
  EXPECT_EQ(run_deviations("--tokenizer a", "--tokenizer b"), (Texts{"--tokenizer b"}));
}

// The settings of its kind are all that a run stores.
TEST(PaperCommand, ARunWithoutASettingHasItsDefault) {
  const CellCommand plain = parse_cell_command("dlmbench run --model m --task t", "");
  EXPECT_TRUE(deviations(plain, {R"({"model":"x","seed":1})", ""}, Claim::kNumber).empty());
  const CellCommand nucleus =
      parse_cell_command("dlmbench run --model m --task t --nucleus-p 0.9", "");
  EXPECT_EQ(deviations(nucleus, {R"({"model":"x","seed":1})", ""}, Claim::kNumber),
            (Texts{"--nucleus-p 1"}));
}

TEST(PaperCommand, OptionsOfAnotherCommandAreComparedAsGiven) {
  const CellCommand asked = parse_cell_command(
      "dlmbench score mauve --generations a.jsonl --reference b.jsonl --seeds 5", "");
  EXPECT_EQ(asked.name, "score mauve");
  const auto of = [&](const std::string& command) {
    return deviations(asked, {"{}", command}, Claim::kNumber);
  };
  EXPECT_TRUE(of("dlmbench score mauve --reference /x/b.jsonl --seeds 5.0 --generations a.jsonl "
                 "--db x -b 4 --fresh")
                  .empty());
  EXPECT_EQ(of("dlmbench score mauve --generations a.jsonl --reference c.jsonl"),
            (Texts{"--reference c.jsonl", "no --seeds"}));
  EXPECT_EQ(of("dlmbench score genppl --generations a.jsonl").size(), 1U);
}

}  // namespace
}  // namespace dlm
