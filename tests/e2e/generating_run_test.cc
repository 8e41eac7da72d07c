// `run` on tasks that generate: sweeps, resume, what does not change a text, metrics of the text
// against worlds whose truth is known, and what is refused.
#include <chrono>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/types.h>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "harness/base/text.h"
#include "tests/models/dit/random_dit.h"
#include "tests/support/data.h"
#include "tests/support/estimate_rows.h"
#include "tests/support/process.h"
#include "tests/support/tiny_model.h"

namespace dlm::testing {
namespace {

using Words = std::vector<std::string>;

std::string query(const std::string& db, const std::string& sql) {
  const ProcessResult result = dlmbench({"sql", sql, "--db", db, "-o", "csv"});
  EXPECT_EQ(result.code, 0) << result.err;
  return result.out;
}

// The text of every sample, by document.
constexpr const char* kTexts =
    "select doc_id, out_sha, kept_tok, canvas_tok, nfe, printf('%.17g', margin) as margin from "
    "sample order by doc_id, rep";

Words with(Words args, const Words& more) {
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

double value(const std::map<std::string, Json>& rows, const std::string& name) {
  return rows.contains(name) ? rows.at(name).at("value").get<double>() : -1e9;
}

TEST(GeneratingRun, SweepIsALineEachWithTheDivergenceThatLawFinds) {
  const TemporaryFolder folder;
  const std::string db = folder.file("r.db");
  const Words sweep{"--model",           "exact:tabular?v=3&l=6", "--sampler",
                    "random,confidence", "--tokens-per-step",     "1,2,6"};
  const Words run = with({"run", "--task", "samples:documents=40&length=6", "--metrics",
                          "kl_to_joint", "--db", db, "-q"},
                         sweep);
  const ProcessResult first = dlmbench(run);
  ASSERT_EQ(first.code, 0) << first.err;
  const auto lines = split(first.out, '\n');
  ASSERT_GE(lines.size(), 8u) << first.out;
  EXPECT_NE(lines[0].find("| sampler "), std::string::npos) << lines[0];
  EXPECT_NE(lines[0].find("tokens/s accepted"), std::string::npos) << lines[0];
  // The runs, again, are those of the store, to the digit.
  EXPECT_EQ(dlmbench(run).out, first.out);
  EXPECT_EQ(query(db, "select count(*) as n from run"), "n\n6\n");
  const std::string law_db = folder.file("law.db");
  ASSERT_EQ(dlmbench(with({"law", "--db", law_db}, sweep)).code, 0);
  const std::string kl =
      "select sampler, tokens_per_step, printf('%.9f', value) as kl from v_result where "
      "metric='kl_to_joint' order by sampler, tokens_per_step";
  EXPECT_EQ(query(db, kl), query(law_db, kl));
  EXPECT_EQ(query(db, "select distinct tok/nfe as k from v_speed order by k"), "k\n1\n2\n6\n");
  EXPECT_EQ(query(db,
                  "select count(*) as n from timing t join v_speed s using(run_id) where "
                  "phase='total' and t.ns=s.wall_ns and t.kept_tok=240"),
            "n\n6\n");
}

TEST(GeneratingRun, TextOfTheWorldsOwnLawScoresItsEntropyAndFewerStepsCost) {
  const TemporaryFolder folder;
  const Words run{"run",
                  "--model",
                  "exact:tabular?v=3&l=6&seed=4&concentration=0.2",
                  "--task",
                  "samples:documents=4000&length=6",
                  "-b",
                  "64",
                  "-o",
                  "jsonl",
                  "--sampler",
                  "random",
                  "--mauve-seeds",
                  "2",
                  "--mauve-buckets",
                  "40",
                  "--db",
                  folder.file("r.db")};
  const auto exact = estimate_rows(dlmbench(with(run, {"--tokens-per-step", "1"})));
  const auto rough = estimate_rows(dlmbench(with(run, {"--tokens-per-step", "6"})));
  EXPECT_LT(value(exact, "kl_to_joint|"), 1e-12);
  EXPECT_GT(value(rough, "kl_to_joint|"), 0.5);
  const Json& own = exact.at("judge_nll_minus_entropy|");
  // 600 documents: five standard errors.
  EXPECT_LT(std::abs(own.at("value").get<double>()), 5 * own.at("se_data").get<double>());
  EXPECT_GT(value(rough, "judge_nll_minus_entropy|"), 0.3);
  EXPECT_GT(value(rough, "generative_perplexity|pooled"),
            value(exact, "generative_perplexity|pooled"));
  EXPECT_LT(value(rough, "mauve|"), value(exact, "mauve|"));
  for (const auto& [name, row] : exact) {
    if (!name.starts_with("sample_length") && !name.starts_with("seed_deviation") &&
        !name.starts_with("decision_margin") && !name.starts_with("kl_to_joint")) {
      EXPECT_FALSE(row.at("ci_low").is_null()) << name;
    }
  }
}

TEST(GeneratingRun, TextDoesNotDependOnBatchOrThreads) {
  const TemporaryFolder folder;
  const Words base{"run",
                   "--model",
                   "exact:markov?v=5",
                   "--task",
                   "samples:documents=21&length=33",
                   "--sampler",
                   "confidence",
                   "--block-size",
                   "4",
                   "--metrics",
                   "text_statistics",
                   "-q",
                   "--tokens-per-step",
                   "2"};
  std::string one;
  for (const Words& more : {Words{"-b", "1", "--threads", "1"}, Words{"-b", "16"},
                            Words{"-b", "3", "--threads", "2", "--cache", "false"}}) {
    const std::string db = folder.file("b" + more[1] + ".db");
    ASSERT_EQ(dlmbench(with(with(base, more), {"--db", db})).code, 0);
    const std::string texts = query(db, kTexts);
    EXPECT_EQ(split(texts, '\n').size(), 23u);
    if (one.empty())
      one = texts;
    EXPECT_EQ(texts, one) << more[1];
  }
}

// While another process may be writing, or has not begun.
std::string stored_rows(const std::string& db) {
  const ProcessResult result =
      dlmbench({"sql", "select count(*) as r from sample", "--db", db, "-o", "csv"});
  return result.code == 0 ? result.out : "r\n0\n";
}

TEST(GeneratingRun, KilledAndStartedAgainEndsWithTheSameTexts) {
  const TemporaryFolder folder;
  write_tiny_model(folder.file("m"), {.layers = 3, .width = 64, .positions = 128});
  const auto command = [&](const std::string& db) {
    return Words{program_path(),
                 "run",
                 "--model",
                 folder.file("m"),
                 "--task",
                 "samples:documents=4000&length=100&prompt=ab",
                 "-b",
                 "1",
                 "--threads",
                 "1",
                 "--db",
                 folder.file(db),
                 "-q"};
  };
  ASSERT_EQ(wait_for(start_process(command("whole.db"))), 0);
  std::string stored = "r\n0\n";
  for (int kill_number = 0; kill_number < 3; ++kill_number) {
    const pid_t process = start_process(command("killed.db"));
    const std::string before = stored;
    const auto start = std::chrono::steady_clock::now();
    while ((stored = stored_rows(folder.file("killed.db"))) == before &&
           std::chrono::steady_clock::now() - start < std::chrono::seconds(20))
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    kill(process, SIGKILL);
    EXPECT_EQ(wait_for(process), 128 + SIGKILL) << "it finished before it was killed";
  }
  ASSERT_EQ(wait_for(start_process(command("killed.db"))), 0);
  EXPECT_EQ(query(folder.file("killed.db"), kTexts), query(folder.file("whole.db"), kTexts));
  const std::string metrics =
      "select metric, variant, printf('%.17g', value) as value, printf('%.17g', ci_lo) as low from "
      "metric order by metric, variant";
  EXPECT_EQ(query(folder.file("killed.db"), metrics), query(folder.file("whole.db"), metrics));
  EXPECT_EQ(query(folder.file("killed.db"), "select resumes>=2 as r from run"), "r\n1\n");
}

Words sampled_world(const std::string& db) {
  return {"run",
          "--model",
          "exact:tabular?v=3&l=6",
          "--task",
          "samples:documents=40&length=6",
          "--db",
          db,
          "--sampler",
          "random",
          "--threads",
          "1"};
}

constexpr const char* kEstimates =
    "select metric, variant, printf('%.17g', value) as value from metric m join run r "
    "using(run_id) "
    "where superseded_by is null order by metric, variant";

TEST(GeneratingRun, AMetricAskedForLaterComesFromTheStoredText) {
  const TemporaryFolder folder;
  const std::string db = folder.file("r.db"), at_once = folder.file("at_once.db");
  const std::string both = "text_statistics,kl_to_joint";
  ASSERT_EQ(dlmbench(with(sampled_world(at_once), {"--metrics", both})).code, 0);
  ASSERT_EQ(dlmbench(with(sampled_world(db), {"--metrics", "text_statistics"})).code, 0);
  const std::string rows = "select doc_id, wall_ns from sample order by doc_id";
  const std::string before = query(db, rows);
  EXPECT_EQ(query(db, kEstimates).find("kl_to_joint"), std::string::npos);
  const ProcessResult later = dlmbench(with(sampled_world(db), {"--metrics", both}));
  ASSERT_EQ(later.code, 0) << later.err;
  EXPECT_NE(later.err.find("kl_to_joint of run "), std::string::npos) << later.err;
  EXPECT_EQ(query(db, "select count(*) as n from run"), "n\n1\n");
  EXPECT_EQ(query(db, rows), before);
  EXPECT_EQ(query(db, kEstimates), query(at_once, kEstimates));
  const ProcessResult again = dlmbench(with(sampled_world(db), {"--metrics", both}));
  EXPECT_EQ(again.err.find("from its stored rows"), std::string::npos) << again.err;
}

TEST(GeneratingRun, LikelihoodsAnswerToMetricsAskedForLaterToo) {
  const TemporaryFolder folder;
  const std::string db = folder.file("r.db");
  const Words run{
      "run",  "--model", "exact:markov?v=8", "--task", "draws:markov?v=8&documents=20&length=16",
      "--db", db,        "--metrics"};
  ASSERT_EQ(dlmbench(with(run, {"nll"})).code, 0);
  ASSERT_EQ(dlmbench(with(run, {"perplexity"})).code, 0);
  EXPECT_EQ(query(db, "select metric, count(distinct run_id) as n from metric group by metric"),
            "metric,n\nnll,1\nperplexity,1\n");
}

TEST(GeneratingRun, AnotherJudgeReadsTheTextThatIsThere) {
  const TemporaryFolder folder;
  const std::string db = folder.file("r.db"), alone = folder.file("alone.db");
  const Words judged{"--metrics", "generative_perplexity", "--judge-convention"};
  const auto run = [&](const std::string& store, const char* convention, const Words& more) {
    const ProcessResult result =
        dlmbench(with(with(with(sampled_world(store), judged), {convention}), more));
    EXPECT_EQ(result.code, 0) << result.err;
    return result;
  };
  run(db, "clean", {});
  run(db, "mdlm", {});
  run(alone, "mdlm", {});
  const auto rows = [&](const char* convention) {
    return query(db,
                 fmt::format("select doc_id, out_sha, s.wall_ns, nfe, tokens from sample s left "
                             "join reveal using(run_id, doc_id, rep) join v_run r "
                             "using(run_id) where superseded_by is null and "
                             "json_extract(spec_json,'$.quality.judge_convention')='{}' order "
                             "by doc_id",
                             convention));
  };
  EXPECT_EQ(split(rows("mdlm"), '\n').size(), 42U);
  EXPECT_EQ(rows("mdlm"), rows("clean"));
  const std::string other = " where run_id=(select max(run_id) from run)";
  EXPECT_EQ(
      query(db, "select value from metric" + other + " and metric='generative_perplexity'"),
      query(alone, "select value from metric" + other + " and metric='generative_perplexity'"));
  const std::string source =
      "select text_of_run=(select min(run_id) from run) as same from "
      "v_run";
  EXPECT_EQ(query(db, source + other), "same\n1\n");
  // Measured anew it is text of its own, and so it is under settings that change text or cost.
  run(db, "mdlm", {"--fresh"});
  EXPECT_EQ(query(db, source + other), "same\n\n");
  EXPECT_NE(rows("mdlm"), rows("clean"));
  run(db, "mdlm", {"--tokens-per-step", "2"});
  EXPECT_EQ(query(db, source + other), "same\n\n");
}

TEST(GeneratingRun, DoesNotGoOnPastTheStopTokenAndCountsIt) {
  const TemporaryFolder folder;
  write_tiny_model(folder.file("m"));
  const std::string db = folder.file("r.db");
  const Words run{
      "run",     "--model", folder.file("m"), "--task", "samples:documents=40&length=60", "-q",
      "--top-k", "257",     "--db",           db};
  // Random weights end a text at every token with about the same probability.
  ASSERT_EQ(dlmbench(with(run, {"--temperature", "50"})).code, 0);
  EXPECT_EQ(query(db,
                  "select count(*)>0 as ended, sum(special_tok=1 and kept_tok+1<>canvas_tok) as "
                  "wrong from sample where kept_tok<60"),
            "ended,wrong\n1,0\n");
  ASSERT_EQ(dlmbench(with(run, {"--temperature", "50", "--stop-at", "length"})).code, 0);
  EXPECT_EQ(query(db,
                  "select min(kept_tok) as n from sample join run using(run_id) where "
                  "cmdline like '%stop-at%'"),
            "n\n60\n");
}

TEST(GeneratingRun, RefusesWhatDoesNotFitAndWritesNothing) {
  const TemporaryFolder folder;
  write_tiny_model(folder.file("m"));
  const std::string world = "exact:tabular?v=3&l=4", samples = "samples:documents=4&length=4";
  const std::map<std::string, Words> cases{
      {"positive whole number", {"--model", world, "--task", "samples:documents=0"}},
      {"documents", {"--model", world, "--task", "samples:document=4"}},
      {"hexadecimal", {"--model", folder.file("m"), "--task", "samples:prompt=a%2"}},
      {"token ids", {"--model", world, "--task", samples + "&prompt=a"}},
      {"token by token", {"--model", world, "--task", samples, "--tokens-per-step", "2"}},
      {"from 1 to", {"--model", world, "--task", samples, "--tokens-per-step", "0"}},
      {"autoregressive: the model is",
       {"--model", folder.file("m"), "--task", samples, "--sampler", "random"}},
      {"the task's length", {"--model", world, "--task", samples, "--max-new-tokens", "3"}},
      {"at most 63", {"--model", folder.file("m"), "--task", "samples:length=64"}},
      {"does not read it", {"--model", world, "--task", samples, "--draws", "3"}},
      {"kl_to_joint", {"--model", world, "--task", "samples:length=3", "--metrics", "kl_to_joint"}},
      {"metric", {"--model", world, "--task", samples, "--metrics", "text_statistic"}},
      {"only an exact world",
       {"--model", folder.file("m"), "--task", samples, "--metrics", "generative_perplexity"}},
      {"the run writes text", {"--model", folder.file("m"), "--task", samples, "--judge", world}},
      {"neither the model nor", {"--model", world, "--task", samples, "--stop-at", "eos"}},
  };
  for (const auto& [message, args] : cases) {
    const ProcessResult result = dlmbench(with({"run", "--db", folder.file("r.db")}, args));
    EXPECT_EQ(result.code, 1) << message << result.out;
    EXPECT_NE(result.err.find(message), std::string::npos) << message << ": " << result.err;
  }
  const ProcessResult likelihood =
      dlmbench({"run", "--db", folder.file("r.db"), "--model", world, "--task",
                "draws:tabular?v=3&l=4", "--temperature", "0.5"});
  EXPECT_EQ(likelihood.code, 1);
  EXPECT_NE(likelihood.err.find("temperature"), std::string::npos) << likelihood.err;
  EXPECT_FALSE(std::filesystem::exists(folder.file("r.db")));
}

TEST(GeneratingRunGolden, TextIsJudgedAndComparedByNetworks) {
  DLM_REQUIRE_DATA("data/checkpoints/stories260K/hf");
  const TemporaryFolder folder;
  std::string reference;
  for (int i = 0; i < 24; ++i)
    reference +=
        canonical_json({{"text", "Once upon a time there was number " + std::to_string(i) + "."}}) +
        "\n";
  std::ofstream(folder.file("reference.jsonl")) << reference;
  const std::string stories = "data:checkpoints/stories260K/hf";
  const ProcessResult result =
      dlmbench({"run", "--model", stories, "--task",
                "samples:documents=24&length=24&prompt=Once upon a time%2C", "--judge", stories,
                "--reference", folder.file("reference.jsonl"), "--featurizer", stories, "-b", "8",
                "--mauve-seeds", "2", "-o", "jsonl", "--db", folder.file("r.db")});
  const auto rows = estimate_rows(result);
  // The judge wrote the text itself: what it finds likely, but without the prompt.
  EXPECT_GT(value(rows, "generative_perplexity|pooled"), 1.5);
  EXPECT_LT(value(rows, "generative_perplexity|pooled"), 40);
  EXPECT_GT(value(rows, "mauve|"), 0);
  EXPECT_GT(value(rows, "mauve|ceiling"), value(rows, "mauve|"));
  EXPECT_EQ(query(folder.file("r.db"),
                  "select min(prompt_tok)>3 as p, max(kept_tok) as k, "
                  "min(n_words)>5 as w from sample"),
            "p,k,w\n1,24,1\n");
}

// Peak resident memory of a run of its own, in bytes.
double peak_of(const std::string& model, std::int64_t tokens, const Words& more) {
  const TemporaryFolder folder;
  const std::string db = folder.file("r.db");
  const Words run{"run",
                  "--model",
                  model,
                  "--task",
                  fmt::format("samples:documents=1&length={}", tokens),
                  "--past-context",
                  "slide",
                  "--stop-at",
                  "length",
                  "--metrics",
                  "text_statistics",
                  "--threads",
                  "1",
                  "--db",
                  db,
                  "-q"};
  const ProcessResult result = dlmbench(with(run, more));
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(query(db, "select kept_tok as n from sample"), fmt::format("n\n{}\n", tokens));
  const std::string peak = query(db, "select peak_rss_bytes as n from run");
  return static_cast<double>(parse_int(peak.substr(2, peak.size() - 3)).value_or(0));
}

TEST(GeneratingRunGolden, MemoryIsFlatInTheLengthOfAText) {
  DLM_REQUIRE_DATA("fixtures/bd3lm_bs16");
  const std::string model = data_path("fixtures/bd3lm_bs16");
  const Words sampler{"--sampler", "random", "--tokens-per-step", "8"};
  const double short_text = peak_of(model, 5000, sampler),
               long_text = peak_of(model, 20000, sampler);
  EXPECT_GT(short_text, 5e7);
  EXPECT_LT(std::abs(long_text - short_text), 0.02 * short_text) << short_text << " " << long_text;
}

// Behind a prompt a time-conditioned network can keep nothing, and its warm-up neither.
TEST(GeneratingRun, WarmsUpWithoutTheCacheWhereTheRunHasNone) {
  const TemporaryFolder folder;
  write_random_dit(folder.file("m"), {.time_conditioning = true});
  const Words run{"run",
                  "--model",
                  folder.file("m"),
                  "--task",
                  "samples:documents=2&length=8&prompt_ids=1 2 3 4 5",
                  "--db",
                  folder.file("r.db"),
                  "--metrics",
                  "text_statistics",
                  "-q"};
  const ProcessResult kept = dlmbench(run);
  EXPECT_NE(kept.err.find("cache"), std::string::npos) << kept.err;
  const ProcessResult anew = dlmbench(with(run, {"--cache", "false"}));
  EXPECT_EQ(anew.code, 0) << anew.err;
  EXPECT_EQ(query(folder.file("r.db"), "select sum(kept_tok) as n from sample"), "n\n16\n");
}

TEST(GeneratingRunGolden, BlockDiffusionNetworkAlike) {
  DLM_REQUIRE_DATA("fixtures/bd3lm_bs4");
  const TemporaryFolder folder;
  const std::string db = folder.file("r.db");
  const ProcessResult result = dlmbench(
      {"run", "--model", data_path("fixtures/bd3lm_bs4"), "--task", "samples:documents=6&length=16",
       "--sampler", "confidence,first_hitting", "--stop-at", "length", "--metrics",
       "text_statistics", "-b", "1,4", "--db", db, "-q"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(split(result.out, '\n').size(), 7u) << result.out;
  EXPECT_EQ(query(db,
                  "select count(distinct out_sha) as n from sample s join v_run r using(run_id) "
                  "where sampler='confidence'"),
            "n\n6\n");
  EXPECT_EQ(query(db, "select count(*) as n from sample where margin is null"), "n\n0\n");
}

}  // namespace
}  // namespace dlm::testing
