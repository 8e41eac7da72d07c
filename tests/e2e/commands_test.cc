// The commands as a user types them.
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/file.h"
#include "harness/base/json.h"
#include "models/checkpoint/safetensors.h"
#include "tests/support/data.h"
#include "tests/support/process.h"
#include "tests/support/stored_tensors.h"
#include "tests/support/tiny_model.h"

namespace dlm::testing {
namespace {

// Largest difference of two f32 tensors of the same size.
double largest_difference(const TensorView& a, const TensorView& b) {
  const auto x = floats_of(a);
  const auto y = floats_of(b);
  EXPECT_EQ(x.size(), y.size());
  double largest = 0;
  for (std::size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(x[i]) - static_cast<double>(y[i])));
  }
  return largest;
}

TEST(Program, HelpListsEveryCommandAndEachHasItsOwn) {
  const ProcessResult help = dlmbench({"--help"});
  EXPECT_EQ(help.code, 0);
  for (const char* name : {"run", "list", "show", "export", "sql", "generate", "forward",
                           "tokenize", "data", "doctor", "selftest"}) {
    EXPECT_NE(help.out.find(std::string("\n  ") + name), std::string::npos) << name;
    const ProcessResult own = dlmbench({name, "--help"});
    EXPECT_EQ(own.code, 0) << own.err;
    EXPECT_NE(own.out.find("usage: dlmbench " + std::string(name)), std::string::npos);
  }
  EXPECT_EQ(dlmbench({}).code, 1);
  const ProcessResult unknown = dlmbench({"rnu"});
  EXPECT_EQ(unknown.code, 1);
  EXPECT_NE(unknown.err.find("did you mean 'run'"), std::string::npos);
}

TEST(Program, DefaultSuiteWithoutDataMeasuresTheExactWorlds) {
  const TemporaryFolder folder;
  const ProcessOptions options{
      .environment = {{"DLMBENCH_DATA", "/nonexistent"}, {"DLMBENCH_ZOO", "/nonexistent"}}};
  const std::string db = folder.file("r.db");
  const ProcessResult result = dlmbench({"run", "--db", db}, options);
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.err.find("skipped"), std::string::npos);
  EXPECT_NE(result.out.find("nll_minus_entropy"), std::string::npos) << result.out;
  // Four standard errors; the draws are fixed, so this can not fail by chance.
  const ProcessResult off = dlmbench({"sql",
                                      "select count(*) as n from metric where "
                                      "metric='nll_minus_entropy' and abs(value) > 4*se_data",
                                      "--db", db, "-o", "csv"});
  EXPECT_EQ(off.out, "n\n0\n");
}

TEST(Program, StoredRunsAreListedShownAndExported) {
  const TemporaryFolder folder;
  const std::string db = folder.file("r.db");
  ASSERT_EQ(dlmbench({"run", "--model", "exact:markov?v=3&seed=2", "--task",
                      "draws:markov?v=3&seed=2&documents=20&length=8", "--db", db, "-q"})
                .code,
            0);
  const ProcessResult list = dlmbench({"list", "--db", db, "-o", "json"});
  ASSERT_EQ(list.code, 0) << list.err;
  const Json runs = parse_json(list.out, "list");
  ASSERT_EQ(runs.size(), 1U);
  const std::string id = runs[0].at("run_id").get<std::string>();
  const ProcessResult show = dlmbench({"show", id.substr(0, 13), "--db", db});
  EXPECT_EQ(show.code, 0) << show.err;
  EXPECT_NE(show.out.find("perplexity"), std::string::npos);
  EXPECT_NE(show.out.find("dlmbench run --model"), std::string::npos) << show.out;
  const ProcessResult rows = dlmbench({"export", id, "--db", db, "-o", "csv"});
  EXPECT_EQ(rows.code, 0) << rows.err;
  EXPECT_EQ(std::count(rows.out.begin(), rows.out.end(), '\n'), 21) << rows.out;
  const ProcessResult write = dlmbench({"sql", "delete from sample", "--db", db});
  EXPECT_EQ(write.code, 1);
  EXPECT_EQ(dlmbench({"show", "ffff", "--db", db}).code, 1);
  EXPECT_EQ(dlmbench({"list", "--db", folder.file("none.db")}).code, 1);
  EXPECT_FALSE(std::filesystem::exists(folder.file("none.db")));
}

TEST(Program, SweepMultipliesAndDryRunWritesNothing) {
  const TemporaryFolder folder;
  const std::string db = folder.file("r.db");
  const std::vector<std::string> sweep{"run",
                                       "--model",
                                       "exact:markov?v=3",
                                       "--task",
                                       "draws:markov?v=3&documents=9&length=8",
                                       "--batch-size",
                                       "1-4*2",
                                       "--seed",
                                       "1,2",
                                       "--db",
                                       db,
                                       "-q"};
  std::vector<std::string> dry = sweep;
  dry.emplace_back("--dry-run");
  const ProcessResult shown = dlmbench(dry);
  EXPECT_EQ(shown.code, 0) << shown.err;
  EXPECT_NE(shown.out.find("6 runs"), std::string::npos) << shown.out;
  EXPECT_FALSE(std::filesystem::exists(db));
  EXPECT_EQ(dlmbench(sweep).code, 0);
  const ProcessResult count =
      dlmbench({"sql", "select count(*) as n from run", "--db", db, "-o", "csv"});
  EXPECT_EQ(count.out, "n\n6\n");
}

TEST(Program, PresetsAreListedAndWhatTheyDropIsShownAndStored) {
  const ProcessResult presets = dlmbench({"data", "presets", "-o", "csv"});
  EXPECT_EQ(presets.code, 0) << presets.err;
  EXPECT_NE(presets.out.find("\nzero-shot,"), std::string::npos) << presets.out;
  const TemporaryFolder folder;
  write_tiny_model(folder.file("model"));
  write_file_atomically(folder.file("text.txt"), "abcde\nfghi\njklmno\n");
  const std::string task = "text:" + folder.file("text.txt") + "?split=lines";
  std::vector<std::string> run{"run", "--model",  folder.file("model"), "--task",
                               task,  "--preset", "zero-shot",          "--length",
                               "6",   "--db",     folder.file("r.db"),  "-q"};
  ASSERT_EQ(dlmbench(run).code, 0);
  const ProcessResult stored =
      dlmbench({"sql", "select config_json from task", "--db", folder.file("r.db"), "-o", "csv"});
  EXPECT_NE(stored.out.find("\"\"dropped_tokens\"\":3"), std::string::npos) << stored.out;
  run.emplace_back("--dry-run");
  EXPECT_NE(dlmbench(run).out.find("3 documents (0 empty), 15 tokens; 3 units, 0 skipped; dropped: "
                                   "3 tokens, 0 documents whole; 0 padding positions"),
            std::string::npos);
}

TEST(Program, TokenizeRoundTripsAndRefusesNonsense) {
  const TemporaryFolder folder;
  write_tiny_model(folder.file("m"));
  const ProcessResult ids = dlmbench({"tokenize", "--tokenizer", folder.file("m")},
                                     {.input = "\"hé<|endoftext|>\"\n\"\"\n"});
  EXPECT_EQ(ids.code, 0) << ids.err;
  EXPECT_EQ(ids.out, "[104,195,169,256]\n[]\n");
  const ProcessResult text =
      dlmbench({"tokenize", "--tokenizer", folder.file("m"), "--decode"}, {.input = "[104,195]\n"});
  EXPECT_EQ(text.out, "\"h\xEF\xBF\xBD\"\n");
  EXPECT_EQ(
      dlmbench({"tokenize", "--tokenizer", folder.file("m"), "--decode"}, {.input = "[300]\n"})
          .code,
      1);
  EXPECT_EQ(dlmbench({"tokenize", "--tokenizer", folder.file("m")}, {.input = "{\n"}).code, 1);
}

TEST(Program, GenerateIsTheSameAtAnyBatchSizeAndCache) {
  const TemporaryFolder folder;
  write_tiny_model(folder.file("m"));
  const std::vector<std::string> base{
      "generate",  "--model", folder.file("m"),   "--prompt", "ab",          "--prompt", "xyz",
      "--samples", "3",       "--max-new-tokens", "12",       "--nucleus-p", "0.9",      "-o",
      "jsonl"};
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> args = base;
    args.insert(args.end(), more.begin(), more.end());
    const ProcessResult result = dlmbench(args);
    EXPECT_EQ(result.code, 0) << result.err;
    return result.out;
  };
  const std::string expected = with({"--batch-size", "1"});
  EXPECT_EQ(std::count(expected.begin(), expected.end(), '\n'), 6);
  EXPECT_EQ(with({"--batch-size", "8"}), expected);
  EXPECT_EQ(with({"--batch-size", "4", "--cache", "false"}), expected);
  EXPECT_NE(with({"--seed", "2"}), expected);
}

TEST(Program, DenoisersWriteBlockByBlock) {
  const auto generated = [](std::vector<std::string> more) {
    std::vector<std::string> args{"generate",         "--model", "exact:markov?v=6", "-o", "jsonl",
                                  "--max-new-tokens", "12",      "--samples",        "5"};
    args.insert(args.end(), more.begin(), more.end());
    return dlmbench(args);
  };
  for (const char* sampler : {"first_hitting", "entropy", "left_to_right"}) {
    const ProcessResult one = generated({"--sampler", sampler, "--block-size", "4", "-b", "1"});
    ASSERT_EQ(one.code, 0) << one.err;
    EXPECT_EQ(std::count(one.out.begin(), one.out.end(), '\n'), 5);
    EXPECT_EQ(generated({"--sampler", sampler, "--block-size", "4", "-b", "3"}).out, one.out);
    EXPECT_NE(one.out.find("\"nfe\":12"), std::string::npos) << one.out;
  }
  const ProcessResult two =
      generated({"--sampler", "random", "--block-size", "4", "--tokens-per-step", "2"});
  EXPECT_NE(two.out.find("\"nfe\":6"), std::string::npos) << two.out;
  for (const auto& [words, bad] : std::map<std::string, std::vector<std::string>>{
           {"tokens_per_step",
            {"--sampler", "random", "--block-size", "4", "--tokens-per-step", "0"}},
           {"steps", {"--sampler", "ancestral", "--block-size", "4", "--steps", "0"}},
           {"nucleus_p", {"--nucleus-p", "0"}},
           {"stop_at", {"--stop-at", "eos"}},
           {"block_size", {"--sampler", "random"}},
           {"sampler", {"--sampler", "confidense"}}}) {
    const ProcessResult refused = generated(bad);
    EXPECT_EQ(refused.code, 1) << words;
    EXPECT_NE(refused.err.find(words), std::string::npos) << refused.err;
    EXPECT_TRUE(refused.out.empty());
  }
}

TEST(ProgramGolden, ForwardMatchesGpt2Fixture) {
  DLM_REQUIRE_DATA("fixtures/gpt2_tiny");
  const TemporaryFolder folder;
  const std::string fixture = data_path("fixtures/gpt2_tiny");
  const std::string out = folder.file("out.safetensors");
  const std::vector<std::string> args{
      "forward",   "--model", fixture, "--inputs", fixture + "/expected.safetensors",
      "--outputs", out};
  const ProcessResult result = dlmbench(args);
  ASSERT_EQ(result.code, 0) << result.err;
  const auto expected = tensors_of(fixture + "/expected.safetensors");
  const auto got = tensors_of(out);
  std::vector<std::int64_t> mask(
      static_cast<std::size_t>(expected.at("attention_mask").elements()));
  std::memcpy(mask.data(), expected.at("attention_mask").bytes.data(),
              mask.size() * sizeof(std::int64_t));
  for (const char* name : {"logits", "last_hidden"}) {
    const auto want = floats_of(expected.at(name));
    const auto have = floats_of(got.at(name));
    ASSERT_EQ(want.size(), have.size());
    const std::size_t width = want.size() / mask.size();
    for (std::size_t i = 0; i < want.size(); ++i) {
      if (mask[i / width] != 1)
        continue;
      ASSERT_NEAR(have[i], want[i], 3e-5) << name << " at " << i;
    }
  }
  EXPECT_LE(dlmbench(args).code, 1) << "an existing output file is not overwritten";
  EXPECT_EQ(largest_difference(got.at("nll"), tensors_of(out).at("nll")), 0);
}

TEST(ProgramGolden, GreedyTextOfStories) {
  DLM_REQUIRE_DATA("data/checkpoints/stories260K/hf");
  const Json golden = parse_json(
      MappedFile::open(data_path("data/checkpoints/stories260K/golden/golden.json"))->text(),
      "golden");
  const ProcessResult result =
      dlmbench({"generate", "--model", data_path("data/checkpoints/stories260K/hf"),
                "--temperature", "0", "--ignore-eos", "-o", "jsonl"});
  ASSERT_EQ(result.code, 0) << result.err;
  std::vector<std::int64_t> ids{1};
  const Json line = parse_json(result.out.substr(0, result.out.find('\n')), "out");
  for (const Json& id : line.at("ids")) ids.push_back(id);
  EXPECT_EQ(ids, golden.at("greedy").at("ids").get<std::vector<std::int64_t>>());
}

TEST(ProgramGolden, StoriesHaveTheirKnownLikelihood) {
  DLM_REQUIRE_DATA("data/checkpoints/stories260K/hf");
  const TemporaryFolder folder;
  for (const char* batch : {"1", "5"}) {
    const ProcessResult result =
        dlmbench({"run", "--model", "data:checkpoints/stories260K/hf", "--task", "tinystories",
                  "-b", batch, "--db", folder.file("r.db"), "-q", "-o", "json"},
                 {.environment = {{"DLMBENCH_DATA", data_root()}}});
    ASSERT_EQ(result.code, 0) << result.err;
    const ProcessResult nll =
        dlmbench({"sql", "select value from metric where metric='nll' order by run_id desc limit 1",
                  "--db", folder.file("r.db"), "-o", "csv"});
    EXPECT_NEAR(std::stod(nll.out.substr(6)), 1.26644, 1e-4) << nll.out;
  }
}

}  // namespace
}  // namespace dlm::testing
