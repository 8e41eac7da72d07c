// `run` on tasks with answers: prompts, stop strings, verdicts, intervals, samples, rescore.
#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/gzip.h"
#include "harness/base/json.h"
#include "harness/base/text.h"
#include "tasks/word_sums.h"
#include "tests/support/data.h"
#include "tests/support/process.h"
#include "tests/support/tiny_model.h"

namespace dlm::testing {
namespace {

using Words = std::vector<std::string>;

// A model of random weights has one greedy continuation of a prompt; the task's right answer is its
// first two characters, but for one document in three.
class AnsweringRun : public ::testing::Test {
 protected:
  void SetUp() override { write_tiny_model(folder_.file("m"), {.positions = 96}); }

  ProcessResult program(const Words& args) const {
    return dlmbench(args,
                    {.folder = folder_.path(), .environment = {{"DLMBENCH_DATA", folder_.path()}}});
  }

  // What the model says to "q0=", "q1=", ...
  Words continuations(std::size_t count) const {
    Words args{"generate",         "--model", "m",  "--temperature", "0",
               "--max-new-tokens", "12",      "-o", "jsonl"};
    for (std::size_t i = 0; i < count; ++i)
      args.insert(args.end(), {"--prompt", fmt::format("q{}=", i)});
    const ProcessResult out = program(args);
    EXPECT_EQ(out.code, 0) << out.err;
    Words texts;
    for (const std::string& line : split(out.out, '\n')) {
      if (!line.empty())
        texts.push_back(parse_json(line, "stdout").at("text").get<std::string>());
    }
    return texts;
  }

  // Bytes of the first `count` characters.
  static std::size_t bytes_of(const std::string& text, int count) {
    std::size_t end = 0;
    for (int character = 0; character < count; ++character) {
      do ++end;
      while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
    }
    return end;
  }

  // `is_right` says of which documents the model's answer is the right one.
  void write_task(
      std::size_t documents, const std::string& stop,
      const std::function<bool(std::size_t)>& is_right = [](std::size_t i) {
        return i % 3 != 2;
      }) const {
    std::string rows;
    const Words texts = continuations(documents);
    for (std::size_t i = 0; i < documents; ++i) {
      const std::string right = texts.at(i).substr(0, bytes_of(texts[i], 2));
      rows += canonical_json({{"q", fmt::format("q{}", i)}, {"a", is_right(i) ? right : "wrong"}}) +
              "\n";
    }
    write_rows(rows, stop);
  }

  void write_rows(const std::string& rows, const std::string& stop) const {
    write_file_atomically(folder_.file("rows.jsonl"), rows);
    write_file_atomically(
        folder_.file("first.toml"),
        fmt::format("id = \"first\"\nversion = 1\nmax_new_tokens = 12\nreference = \"{{{{a}}}}\"\n"
                    "primary = \"two\"\nquestion_field = \"q\"\nstop = [{}]\n[data]\npath = "
                    "\"rows.jsonl\"\nsha256 = \"{}\"\n[prompt]\nquestion = \"{{{{q}}}}=\"\n"
                    "[[extractor]]\nname = \"two\"\npattern = '(?s)^..'\n[[extractor]]\nname = "
                    "\"one\"\npattern = '(?s)^.'\n",
                    stop, sha256_hex(rows)));
  }

  std::string query(const std::string& sql, const std::string& db = "results.db") const {
    const ProcessResult result = program({"sql", sql, "--db", db, "-o", "csv"});
    EXPECT_EQ(result.code, 0) << result.err;
    return result.out;
  }

  TemporaryFolder folder_;
};

TEST_F(AnsweringRun, JudgesWhatTheModelWroteAndRescoreAgrees) {
  write_task(9, "");
  const Words run{"run", "--model", "m", "--task", "task:first.toml", "--temperature", "0"};
  const ProcessResult first = program(run);
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_NE(first.out.find("accuracy two"), std::string::npos) << first.out;
  EXPECT_EQ(query("select variant, value, round(ci_lo, 4) as low, round(ci_hi, 4) as high, n from "
                  "v_result where metric='accuracy' order by variant"),
            "variant,value,low,high,n\none,0,0,0.2991,9\n"
            "two,0.6666666666666666,0.3542,0.8794,9\n");
  EXPECT_EQ(query("select group_concat(cast(score as integer), '') as verdicts from "
                  "(select score from sample order by doc_id)"),
            "verdicts\n110110110\n");
  const std::string id = query("select run_id from run").substr(7, 26);
  const ProcessResult again = program({"rescore", id, "--definition", "first.toml"});
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(query("select count(distinct value) as v, count(*) as n from v_result where "
                  "metric='accuracy' and variant='two'"),
            "v,n\n1,2\n");
}

TEST_F(AnsweringRun, EndsAtAStopStringAndCountsWhatStandsBefore) {
  const std::string text = continuations(1).at(0);
  // Its fourth and fifth character, wherever they stand first.
  const std::size_t from = bytes_of(text, 3);
  const std::string stop = text.substr(from, bytes_of(text, 5) - from);
  write_task(3, canonical_json(stop));
  ASSERT_EQ(
      program({"run", "--model", "m", "--task", "task:first.toml", "--temperature", "0", "-n", "1"})
          .code,
      0);
  const ProcessResult rows = program({"export", "-o", "jsonl"});
  const Json row = parse_json(rows.out.substr(0, rows.out.find('\n')), "stdout");
  EXPECT_EQ(row.at("output"), text.substr(0, text.find(stop)));
  EXPECT_LT(row.at("canvas_tok").get<int>(), 12);
  EXPECT_LT(row.at("kept_tok").get<int>(), row.at("canvas_tok").get<int>());
  EXPECT_EQ(row.at("canvas_tok"), row.at("nfe"));
}

TEST_F(AnsweringRun, SamplesShareAProblem) {
  write_task(3, "");
  ASSERT_EQ(program({"run", "--model", "m", "--task", "task:first.toml", "--samples", "3"}).code,
            0);
  EXPECT_EQ(query("select count(*) as n, count(distinct doc_id) as d, max(rep) as r from sample"),
            "n,d,r\n9,3,2\n");
  EXPECT_EQ(
      query("select n from v_result where metric='majority_accuracy' and variant='two maj@3'"),
      "n\n3\n");
}

// The file has all problems that the model solves first: a run that took them in this order would
// stop after 50 with every answer right.
TEST_F(AnsweringRun, ATargetStopsAtARandomSampleOfTheProblems) {
  write_task(150, "", [](std::size_t i) { return i < 75; });
  const Words run{"run", "--model",       "m", "--task",      "task:first.toml",
                  "-q",  "--temperature", "0", "--target-ci", "0.12"};
  const auto with = [&](const Words& more) {
    Words args = run;
    args.insert(args.end(), more.begin(), more.end());
    return program(args);
  };
  ASSERT_EQ(with({"-b", "8"}).code, 0);
  const std::string result =
      "select value between 0.3 and 0.7 as near, (ci_hi - ci_lo) / 2 <= 0.12 as narrow, "
      "n % 10 as tens, n < 80 as early from v_result where metric='accuracy' and variant='two'";
  EXPECT_EQ(query(result), "near,narrow,tens,early\n1,1,0,1\n");
  const std::string rows = "select doc_id, rep, score, out_sha from sample order by doc_id, rep";
  const std::string stopped = query(rows);
  // Neither the batches nor the samples of a problem change where it ends.
  ASSERT_EQ(with({"-b", "3", "--db", "three.db"}).code, 0);
  EXPECT_EQ(query(rows, "three.db"), stopped);
  ASSERT_EQ(with({"-b", "7", "--samples", "2", "--db", "two.db"}).code, 0);
  EXPECT_EQ(query("select count(*) % 2 as odd, count(distinct doc_id) < 80 as early, "
                  "min(n) as least from (select doc_id, count(*) over (partition by doc_id) as n "
                  "from sample)",
                  "two.db"),
            "odd,early,least\n0,1,2\n");
  // Another seed sees other problems.
  ASSERT_EQ(with({"-b", "8", "--seed", "2", "--db", "seed.db"}).code, 0);
  EXPECT_NE(query(rows, "seed.db"), stopped);
}

// None is right: 1.92 / (n + 3.84) is 0.002 or less from n = 957 on.
TEST_F(AnsweringRun, ARunWithATargetThatWasKilledEndsWhereItWouldHave) {
  std::string rows;
  for (int i = 0; i < 3000; ++i)
    rows += canonical_json({{"q", fmt::format("q{}", i)}, {"a", "no answer"}}) + "\n";
  write_rows(rows, "");
  const auto command = [&](const std::string& db) {
    return Words{program_path(),
                 "run",
                 "--model",
                 "m",
                 "--task",
                 "task:first.toml",
                 "-b",
                 "1",
                 "--threads",
                 "1",
                 "--target-ci",
                 "0.002",
                 "--max-new-tokens",
                 "80",
                 "--db",
                 db,
                 "-q"};
  };
  const ProcessOptions options{.folder = folder_.path(),
                               .environment = {{"DLMBENCH_DATA", folder_.path()}}};
  ASSERT_EQ(wait_for(start_process(command("whole.db"), options)), 0);
  const pid_t process = start_process(command("killed.db"), options);
  const auto start = std::chrono::steady_clock::now();
  while (program({"sql", "select 1/count(*) from sample", "--db", "killed.db", "-o", "csv"})
                 .out.find("\n0") == std::string::npos &&
         std::chrono::steady_clock::now() - start < std::chrono::seconds(20))
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  kill(process, SIGKILL);
  EXPECT_EQ(wait_for(process), 128 + SIGKILL) << "it finished before it was killed";
  ASSERT_EQ(wait_for(start_process(command("killed.db"), options)), 0);
  const std::string stored = "select doc_id, score, out_sha from sample order by doc_id";
  EXPECT_EQ(query(stored, "killed.db"), query(stored, "whole.db"));
  EXPECT_EQ(query("select n, (select resumes from run) as resumes from v_result where "
                  "metric='accuracy' and variant='two'",
                  "killed.db"),
            "n,resumes\n960,1\n");
}

TEST_F(AnsweringRun, RefusesWhatCannotBeAnswered) {
  write_task(1, "");
  const Words run{"run", "--model", "m", "--task", "task:first.toml", "--db", "other.db"};
  const std::map<std::string, Words> cases{
      {"did you mean 'two'", {"--extractor", "twp"}},
      {"prompts that fit", {"--max-new-tokens", "200"}},
      {"chat", {"--chat", "on"}},
      {"metrics of its own", {"--metrics", "accuracy"}},
      {"exemplars", {"--shots", "2"}},
  };
  for (const auto& [message, more] : cases) {
    Words args = run;
    args.insert(args.end(), more.begin(), more.end());
    const ProcessResult result = program(args);
    EXPECT_EQ(result.code, 1) << message;
    EXPECT_NE(result.err.find(message), std::string::npos) << message << ": " << result.err;
  }
  const ProcessResult world =
      program({"run", "--model", "exact:tabular", "--task", "task:first.toml", "--db", "other.db"});
  EXPECT_NE(world.err.find("no tokenizer"), std::string::npos) << world.err;
  EXPECT_FALSE(std::filesystem::exists(folder_.file("other.db")));
}

TEST(WordSumsData, TokenizerGivesTheIdsThatTrainingUses) {
  const TemporaryFolder folder;
  const std::string sums = folder.file("sums");
  const ProcessResult made = dlmbench({"data", "make", "word_sums", "--to", sums, "--documents",
                                       "3", "--seed", "9", "--split", "test"});
  ASSERT_EQ(made.code, 0) << made.err;
  const auto lines = split(read_text_file(sums + "/test.jsonl"), '\n');
  ASSERT_EQ(lines.size(), 4U);
  for (std::uint64_t i = 0; i < 3; ++i) {
    const Json text = parse_json(lines[i], "test.jsonl").at("text");
    const ProcessResult ids =
        dlmbench({"tokenize", "--tokenizer", sums}, {.input = canonical_json(text) + "\n"});
    Json expected = word_sum_ids(word_sum(9, i, WordSumSplit::kTest));
    expected.erase(kWordSumTokens - 1);  // what training puts around the text: EOS and
    expected.erase(0);                   // BOS
    EXPECT_EQ(parse_json(ids.out, "stdout"), expected);
  }
  EXPECT_EQ(dlmbench({"data", "make", "sums", "--to", sums}).code, 1);
  EXPECT_EQ(dlmbench({"data", "make", "word_sums"}).code, 1);
}

TEST(AnsweringRunGolden, ASmallStoryModelSolvesNothing) {
  DLM_REQUIRE_DATA("data/checkpoints/stories260K/hf");
  DLM_REQUIRE_DATA("data/gsm8k/test.jsonl");
  const TemporaryFolder folder;
  const std::string db = folder.file("r.db");
  const Words run{"run", "--model", "data:checkpoints/stories260K/hf",
                  "-n",  "3",       "--max-new-tokens",
                  "24",  "--db",    db,
                  "-q"};
  Words words = run, code = run;
  words.insert(words.end(), {"--task", "gsm8k_cot_zeroshot", "--shots", "0"});
  code.insert(code.end(), {"--task", "humaneval", "--samples", "2", "-b", "4"});
  ASSERT_EQ(dlmbench(words).code, 0);
  const ProcessResult found = dlmbench({"sql",
                                        "select value, round(ci_hi, 3) as high from v_result where "
                                        "metric='accuracy' and variant='flexible'",
                                        "--db", db, "-o", "csv"});
  EXPECT_EQ(found.out, "value,high\n0,0.561\n");
  const ProcessResult ran = dlmbench(code);
  if (ran.code == 6)
    GTEST_SKIP() << "no sandbox here: " << ran.err;
  ASSERT_EQ(ran.code, 0) << ran.err;
  const ProcessResult again =
      dlmbench({"sql",
                "select count(*) as n, sum(score) as s, count(exec_status) as e from sample s join "
                "v_run using(run_id) where task='humaneval'",
                "--db", db, "-o", "csv"});
  EXPECT_EQ(again.out, "n,s,e\n6,0,6\n");
}

}  // namespace
}  // namespace dlm::testing
