#include "results/store.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "results/run_names.h"
#include "tests/results/expect_error.h"
#include "tests/results/sample_run.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

using testing::error_of;
using testing::rows_bits;
using testing::sample_header;
using testing::sample_row;
using testing::sample_rows;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A store in a folder of its own.
struct Fixture {
  testing::TemporaryFolder folder;
  std::string path = folder.file("runs.db");
  std::unique_ptr<Store> store = Store::open(path, {});

  std::string begin(const std::string& name) {
    return store->begin_run(sample_header(name), Restart::kResume).run_id;
  }

  std::string csv(const std::string& sql) { return render(store->query(sql), "csv"); }
};

const MetricDefinition kPerplexity = {"perplexity", "1", "lo", "upper bound, stratified", "doc"};

Estimate sample_estimate() {
  return {"perplexity", "", 22.270123456789012, 0.19, 0.03, 21.9, 22.65, "t", 1000, 900};
}

TEST(Store, RowsComeBackBitForBitInDocumentOrder) {
  Fixture f;
  const std::string run = f.begin("a");
  std::vector<ExampleRow> rows = sample_rows(0, 10);  // "doc-0" ... "doc-9": sorted already
  rows[3].doc_id = "doc-3|,\"\n\xF0\x9F\x98\x80";
  rows[4].output = std::string("\0\xFF\n", 3) + std::string(100000, 'x');
  rows[5].nll = 5e-324;
  rows[6].counts.flops = std::numeric_limits<double>::max();
  rows[7].wall_ns = std::numeric_limits<std::int64_t>::max();
  f.store->add_rows(run, std::span(rows).subspan(5));
  f.store->add_rows(run, std::span(rows).first(5));
  EXPECT_EQ(rows_bits(f.store->rows(run)), rows_bits(rows));
  f.store.reset();
  EXPECT_EQ(rows_bits(Store::open_read_only(f.path)->rows(run)), rows_bits(rows));
}

TEST(Store, ReplicatesOfADocumentAreRowsOfTheirOwn) {
  Fixture f;
  const std::string run = f.begin("a");
  std::vector<ExampleRow> rows(3, sample_row(1));
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i].rep = static_cast<std::int64_t>(i);
  f.store->add_rows(run, rows);
  EXPECT_EQ(rows_bits(f.store->rows(run)), rows_bits(rows));
}

TEST(Store, WhatWasNotScoredHasNoNll) {
  Fixture f;
  const std::string run = f.begin("a");
  std::vector<ExampleRow> rows = sample_rows(0, 2);
  rows[0].tokens = 0;
  rows[0].nll = rows[0].nll_m2 = 0;
  f.store->add_rows(run, rows);
  EXPECT_EQ(f.csv("SELECT nll IS NULL AS a, nll_m2 IS NULL AS b FROM sample ORDER BY doc_id"),
            "a,b\n1,1\n0,0\n");
  EXPECT_EQ(rows_bits(f.store->rows(run)), rows_bits(rows));
}

TEST(Store, AFreshRunBeginsWithTheRowsOfAnother) {
  Fixture f;
  const std::string first = f.begin("a");
  const std::vector<ExampleRow> rows = sample_rows(0, 7);
  const RowReveal reveal{rows[2].doc_id, rows[2].rep, {{2, 1}, {3, 2}}};
  f.store->add_rows(first, rows, std::span(&reveal, 1));
  RunHeader header = sample_header("b");
  header.rows_of = first;
  const OpenedRun second = f.store->begin_run(header, Restart::kResume);
  EXPECT_EQ(second.state, RunState::kFresh);
  EXPECT_EQ(rows_bits(f.store->rows(second.run_id)), rows_bits(rows));
  EXPECT_EQ(rows_bits(f.store->rows(first)), rows_bits(rows));
  EXPECT_EQ(f.csv("SELECT count(*) AS n, count(DISTINCT tokens) AS t FROM reveal"), "n,t\n2,1\n");
  EXPECT_EQ(f.csv("SELECT text_of_run AS t FROM run ORDER BY run_id"), "t\n\n" + first + "\n");
}

TEST(Store, NegativeZeroIsStoredAsZero) {
  Fixture f;
  const std::string run = f.begin("a");
  ExampleRow row = sample_row(0);
  row.nll = -0.0;
  f.store->add_rows(run, std::span(&row, 1));
  EXPECT_FALSE(std::signbit(f.store->rows(run)[0].nll));
}

TEST(Store, ARunPassesThroughItsStates) {
  Fixture f;
  const RunHeader header = sample_header("a");
  const OpenedRun first = f.store->begin_run(header, Restart::kResume);
  EXPECT_EQ(first.state, RunState::kFresh);
  EXPECT_EQ(f.csv("SELECT status, resumes FROM run"), "status,resumes\nrunning,0\n");
  f.store->add_rows(first.run_id, sample_rows(0, 3));
  f.store = Store::open(f.path, {});  // the owner is gone
  const OpenedRun second = f.store->begin_run(header, Restart::kResume);
  EXPECT_EQ(second.state, RunState::kResumed);
  EXPECT_EQ(second.run_id, first.run_id);
  EXPECT_EQ(f.store->rows(second.run_id).size(), 3U);
  f.store->finish_run(second.run_id, {RunOutcome::kPartial, "", 100, 10, 5000, 2});
  EXPECT_EQ(f.store->begin_run(header, Restart::kResume).state, RunState::kResumed);
  f.store->finish_run(second.run_id, {RunOutcome::kDone, "", 40, 5, 4000, 2});
  EXPECT_EQ(f.csv("SELECT status, resumes, wall_ns, load_ns, peak_rss_bytes, threads, error, "
                  "ended_at>=started_at AS ended FROM run"),
            "status,resumes,wall_ns,load_ns,peak_rss_bytes,threads,error,ended\n"
            "done,2,140,15,5000,2,,1\n");
  const OpenedRun cached = f.store->begin_run(header, Restart::kResume);
  EXPECT_EQ(cached.state, RunState::kDone);
  EXPECT_EQ(cached.run_id, first.run_id);
  EXPECT_EQ(f.store->begin_run(sample_header("b"), Restart::kResume).state, RunState::kFresh);
}

TEST(Store, AFailedRunIsTriedAgainAsANewOne) {
  Fixture f;
  const std::string failed = f.begin("a");
  f.store->finish_run(failed, {RunOutcome::kFailed, "out of memory", 1, 1, 1, 1});
  const OpenedRun next = f.store->begin_run(sample_header("a"), Restart::kResume);
  EXPECT_EQ(next.state, RunState::kFresh);
  EXPECT_NE(next.run_id, failed);
  EXPECT_EQ(f.csv("SELECT status, error FROM run ORDER BY run_id"),
            "status,error\nfailed,out of memory\nrunning,\n");
}

TEST(Store, AFreshStartKeepsTheEarlierRunAsHistory) {
  Fixture f;
  const std::string first = f.begin("a");
  f.store->add_rows(first, sample_rows(0, 3));
  f.store->finish_run(first, {});
  const OpenedRun second = f.store->begin_run(sample_header("a"), Restart::kFresh);
  EXPECT_EQ(second.state, RunState::kFresh);
  EXPECT_GT(second.run_id, first);
  EXPECT_TRUE(f.store->rows(second.run_id).empty());
  EXPECT_EQ(f.store->rows(first).size(), 3U);
  f.store = Store::open(f.path, {});
  const OpenedRun third = f.store->begin_run(sample_header("a"), Restart::kFresh);
  EXPECT_EQ(
      f.csv("SELECT status, superseded_by FROM run ORDER BY run_id"),
      "status,superseded_by\ndone," + second.run_id + "\npartial," + third.run_id + "\nrunning,\n");
}

TEST(Store, ARunHasOneWriter) {
  Fixture f;
  const std::string run = f.begin("a");
  const auto other = Store::open(f.path, {});
  for (const Restart restart : {Restart::kResume, Restart::kFresh}) {
    const OpenedRun busy = other->begin_run(sample_header("a"), restart);
    EXPECT_EQ(busy.state, RunState::kBusy);
    EXPECT_EQ(busy.run_id, run);
    EXPECT_CONTAINS(busy.owner, fmt::format(":{}", ::getpid()));
    EXPECT_EQ(f.store->begin_run(sample_header("a"), restart).state, RunState::kBusy);
  }
  EXPECT_CONTAINS(error_of<InternalError>([&] { other->add_rows(run, sample_rows(0, 1)); }),
                  "run " + run + " was not begun here");
  EXPECT_CONTAINS(error_of<InternalError>([&] { other->finish_run(run, {}); }), "not begun here");
  f.store->finish_run(run, {});
  EXPECT_EQ(other->begin_run(sample_header("a"), Restart::kResume).state, RunState::kDone);
  EXPECT_CONTAINS(error_of<InternalError>([&] { f.store->add_rows(run, sample_rows(0, 1)); }),
                  "not begun here");
}

TEST(Store, ABatchThatIsRefusedLeavesNothing) {
  Fixture f;
  const std::string run = f.begin("a");
  f.store->add_rows(run, sample_rows(0, 2));
  std::vector<ExampleRow> rows = sample_rows(1, 3);
  rows[0].doc_id = "new";
  rows[2] = sample_row(1);
  const std::string message = error_of<InternalError>([&] { f.store->add_rows(run, rows); });
  EXPECT_CONTAINS(message, "run " + run + ", doc doc-1 rep 1: ");
  EXPECT_CONTAINS(message, "UNIQUE constraint failed: sample.run_id, sample.doc_id, sample.rep");
  EXPECT_EQ(rows_bits(f.store->rows(run)), rows_bits(sample_rows(0, 2)));
}

TEST(Store, NothingThatIsNotFiniteEnters) {
  Fixture f;
  const std::string run = f.begin("a");
  for (const double bad : {kNaN, kInfinity, -kInfinity}) {
    ExampleRow row = sample_row(5);
    row.nll = bad;
    EXPECT_CONTAINS(error_of<InternalError>([&] { f.store->add_rows(run, std::span(&row, 1)); }),
                    fmt::format("run {}, doc doc-5 rep 1: nll is {}", run, bad));
    row = sample_row(6);
    row.counts.flops = bad;
    EXPECT_CONTAINS(error_of<InternalError>([&] { f.store->add_rows(run, std::span(&row, 1)); }),
                    fmt::format("run {}, doc doc-6 rep 0: flops is {}", run, bad));
    std::vector<std::pair<std::string, Estimate>> estimates(5, {"", sample_estimate()});
    estimates[0].first = "value";
    estimates[0].second.value = bad;
    estimates[1].first = "se_data";
    estimates[1].second.se_data = bad;
    estimates[2].first = "se_mc";
    estimates[2].second.se_mc = bad;
    estimates[3].first = "ci_low";
    estimates[3].second.ci_low = bad;
    estimates[4].first = "ci_high";
    estimates[4].second.ci_high = bad;
    for (const auto& [field, estimate] : estimates) {
      EXPECT_CONTAINS(error_of<InternalError>([&] {
                        f.store->add_estimates(run, std::span(&estimate, 1),
                                               std::span(&kPerplexity, 1));
                      }),
                      fmt::format("run {}, metric perplexity '': {} is {}", run, field, bad));
    }
  }
  EXPECT_TRUE(f.store->rows(run).empty());
  EXPECT_TRUE(f.store->estimates(run).empty());
}

TEST(Store, EstimatesComeBackBitForBitAndAreReplaced) {
  Fixture f;
  const std::string run = f.begin("a");
  std::vector<Estimate> estimates = {sample_estimate(), sample_estimate()};
  estimates[0].variant = "strict";
  estimates[1].se_data = estimates[1].se_mc = estimates[1].ci_low = std::nullopt;
  f.store->add_estimates(run, estimates, std::span(&kPerplexity, 1));
  f.store->finish_run(run, {});
  estimates[0].value = 0.1 + 0.2;
  f.store->add_estimates(run, std::span(estimates).first(1), std::span(&kPerplexity, 1));
  const std::vector<Estimate> found = f.store->estimates(run);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].variant, "");
  EXPECT_EQ(found[0].value, 22.270123456789012);
  EXPECT_EQ(found[0].se_data, std::nullopt);
  EXPECT_EQ(found[0].se_mc, std::nullopt);
  EXPECT_EQ(found[0].ci_low, std::nullopt);
  EXPECT_EQ(found[0].ci_high, 22.65);
  EXPECT_EQ(found[1].metric, "perplexity");
  EXPECT_EQ(found[1].variant, "strict");
  EXPECT_EQ(found[1].value, 0.1 + 0.2);
  EXPECT_EQ(found[1].se_data, 0.19);
  EXPECT_EQ(found[1].se_mc, 0.03);
  EXPECT_EQ(found[1].ci_low, 21.9);
  EXPECT_EQ(found[1].ci_method, "t");
  EXPECT_EQ(found[1].n, 1000);
  EXPECT_EQ(found[1].n_clusters, 900);
}

TEST(Store, AMetricKeepsItsMeaning) {
  Fixture f;
  const std::string run = f.begin("a");
  const Estimate estimate = sample_estimate();
  const auto add = [&](const MetricDefinition& definition) {
    f.store->add_estimates(run, std::span(&estimate, 1), std::span(&definition, 1));
  };
  add(kPerplexity);
  EXPECT_EQ(
      error_of<DataError>([&] {
        add({"perplexity", "nats", "lo", "", ""});
      }),
      f.path + ": expected metric 'perplexity' in 'nats', better 'lo', found '1', better 'lo'");
  add({"perplexity", "1", "lo", "exact", "a better text"});
  EXPECT_EQ(f.csv("SELECT est, doc FROM metric JOIN metric_def USING(metric)"),
            "est,doc\nexact,a better text\n");
  EXPECT_CONTAINS(error_of<InternalError>([&] {
                    add({"other", "1", "lo", "", ""});
                  }),
                  "metric 'perplexity' has no definition");
  EXPECT_CONTAINS(error_of<InternalError>([&] {
                    f.store->add_estimates("nobody", std::span(&estimate, 1),
                                           std::span(&kPerplexity, 1));
                  }),
                  "FOREIGN KEY constraint failed");
}

TEST(Store, HeadersBecomeColumns) {
  Fixture f;
  f.begin("a");
  EXPECT_EQ(
      f.csv("SELECT model, family, params, dtype, weights_sha256, tokenizer_sha256, task, "
            "task_version, task_kind, data_sha256, n_docs, sampler, block_size, steps, git_commit, "
            "dirty, torch, numerics_epoch, host, cpu, gpu, seed, smoke, cmdline FROM v_run"),
      "model,family,params,dtype,weights_sha256,tokenizer_sha256,task,task_version,task_kind,"
      "data_sha256,n_docs,sampler,block_size,steps,git_commit,dirty,torch,numerics_epoch,host,cpu,"
      "gpu,seed,smoke,cmdline\n"
      "tiny,bd3lm,1234,f32,aa,bb,corpus,2,likelihood,cc,100,ancestral,4,,abc,1,,3,here,a cpu,,7,0,"
      "dlmbench run --model tiny\n");
  RunHeader second = sample_header("b");
  second.smoke = true;
  f.store->begin_run(second, Restart::kResume);
  EXPECT_EQ(f.csv("SELECT (SELECT count(*) FROM model) AS m, (SELECT count(*) FROM task) AS t, "
                  "(SELECT count(*) FROM config) AS c, (SELECT count(*) FROM env) AS e, "
                  "(SELECT count(*) FROM build) AS b, (SELECT sum(smoke) FROM run) AS s"),
            "m,t,c,e,b,s\n1,1,1,1,1,1\n");
}

TEST(Store, HeadersThatCannotBeStoredAreRefused) {
  Fixture f;
  RunHeader header = sample_header("a");
  header.seed = std::uint64_t{1} << 63;
  EXPECT_EQ(error_of<ConfigError>([&] { f.store->begin_run(header, Restart::kResume); }),
            "seed = '9223372036854775808': 0 to 9223372036854775807");
  header = sample_header("a");
  header.run_key = "wrong";
  EXPECT_CONTAINS(error_of<InternalError>([&] { f.store->begin_run(header, Restart::kResume); }),
                  "run key wrong is not the SHA-256 of its identity");
  header = sample_header("a");
  header.build_json = "{}";
  EXPECT_CONTAINS(error_of<DataError>([&] { f.store->begin_run(header, Restart::kResume); }),
                  "numerics_epoch");
  EXPECT_EQ(f.csv("SELECT count(*) AS n FROM run"), "n\n0\n");
  EXPECT_EQ(f.store->begin_run(sample_header("a"), Restart::kResume).state, RunState::kFresh);
}

TEST(Store, EqualOutputsAreKeptOnceAndDamagedOnesAreNamed) {
  Fixture f;
  const std::string run = f.begin("a");
  std::vector<ExampleRow> rows = sample_rows(0, 4);
  for (ExampleRow& row : rows) row.output = std::string(5000, 'y');
  rows[3].output = "short";
  f.store->add_rows(run, rows);
  EXPECT_EQ(f.csv("SELECT enc, length(data)<100 AS small FROM blob ORDER BY enc"),
            "enc,small\nraw,1\nzstd,1\n");
  f.store.reset();
  const auto damage = [&f](const std::string& sql) {
    Database(f.path, Database::Mode::kReadWrite, std::chrono::seconds(1)).execute(sql);
    const auto store = Store::open_read_only(f.path);
    return error_of<DataError>([&] { store->rows(store->resolve_run("0")); });
  };
  EXPECT_CONTAINS(damage("UPDATE blob SET data=x'00' WHERE enc='zstd'"),
                  f.path + ": output of document doc-0: expected a zstd frame of known length");
  EXPECT_CONTAINS(damage("UPDATE blob SET data=x'6f74', enc='raw' WHERE enc='zstd'"),
                  "another text");
}

TEST(Store, RunsAreNamedByTheBeginningOfTheirId) {
  Fixture f;
  EXPECT_EQ(error_of<ConfigError>([&] { f.store->resolve_run("01"); }),
            "run = '01': no such run; " + f.path + " has no runs yet");
  const std::string a = f.begin("a");
  EXPECT_EQ(f.store->resolve_run(a), a);
  EXPECT_EQ(f.store->resolve_run(a.substr(0, 5)), a);
  std::string lower = a;
  for (char& c : lower) c = static_cast<char>(std::tolower(c));
  EXPECT_EQ(f.store->resolve_run(lower), a);
  const std::string b = f.begin("b");
  EXPECT_GT(b, a);
  EXPECT_EQ(error_of<ConfigError>([&] { f.store->resolve_run(a.substr(0, 4)); }),
            "run = '" + a.substr(0, 4) + "': begins the ids of more than one run: " + b + ", " + a);
  EXPECT_EQ(error_of<ConfigError>([&] { f.store->resolve_run("%"); }),
            "run = '%': no run of " + f.path + " begins so; the latest are " + b + ", " + a);
  std::string typo = a.substr(0, 12);
  typo.back() = typo.back() == '0' ? '1' : '0';
  EXPECT_EQ(nearest_run_name(*f.store, typo).substr(0, 11), a.substr(0, 11));
  EXPECT_EQ(nearest_run_name(*f.store, "no such name"), "");
  f.store->set_tag("main", std::vector<std::string>{a});
  EXPECT_CONTAINS(error_of<ConfigError>([&] { f.store->resolve_run("mian"); }),
                  "begins so; did you mean 'main'? the latest are " + b);
  EXPECT_CONTAINS(error_of<ConfigError>([&] { f.store->resolve_run(""); }), "the latest are");
}

TEST(Store, SpeedIsDerivedInAView) {
  Fixture f;
  const std::string run = f.begin("a");
  std::vector<ExampleRow> rows = sample_rows(0, 2);
  for (ExampleRow& row : rows) {
    row.tokens = 300;
    row.wall_ns = 250000000;
    row.counts = {60, 1000, 900, 50, 1e9};
    row.canvas_tokens = row.kept_tokens = 0;
  }
  f.store->add_rows(run, rows);
  const auto speed = [&f](const std::string& id) {
    return f.csv(
        "SELECT tokens_per_second_accepted AS a, tokens_per_second_canvas AS c, "
        "tokens_per_forward AS f, flops_per_second AS o, nfe, n_rows FROM v_speed WHERE "
        "run_id='" +
        id + "'");
  };
  EXPECT_EQ(speed(run), "a,c,f,o,nfe,n_rows\n1200,,5,4000000000,120,2\n");
  // Generated text counts by what of it is kept, not by what was scored.
  for (ExampleRow& row : rows) {
    row.canvas_tokens = 200;
    row.kept_tokens = 150;
  }
  const std::string generated = f.begin("b");
  f.store->add_rows(generated, rows);
  EXPECT_EQ(speed(generated), "a,c,f,o,nfe,n_rows\n600,800,2.5,4000000000,120,2\n");
}

TEST(Store, PairsJoinOnUnchangedDocuments) {
  Fixture f;
  const std::string a = f.begin("a");
  const std::string b = f.begin("b");
  std::vector<ExampleRow> rows = sample_rows(0, 3);
  for (ExampleRow& row : rows) row.nll = 2;
  f.store->add_rows(a, rows);
  for (ExampleRow& row : rows) row.nll = 2.5;
  rows[1].doc_sha = "changed";
  f.store->add_rows(b, rows);
  EXPECT_EQ(f.csv("SELECT doc_id, d_nll FROM v_pair WHERE base='" + a + "' AND new='" + b +
                  "' ORDER BY doc_id"),
            "doc_id,d_nll\ndoc-0,0.5\ndoc-2,0.5\n");
}

TEST(Store, QueriesReadAndTakeParameters) {
  Fixture f;
  const std::vector<Cell> parameters = {std::int64_t{2}, 0.5, "x", Cell()};
  const Table table =
      f.store->query("SELECT ?1 AS i, ?2 AS r, ?3 AS t, ?4 AS n, x'00ff' AS b", parameters);
  EXPECT_EQ(render(table, "csv"), "i,r,t,n,b\n2,0.5,x,,00ff\n");
  EXPECT_EQ(table.columns[0].align, Align::kRight);
  EXPECT_EQ(table.columns[2].align, Align::kLeft);
  EXPECT_CONTAINS(error_of<ConfigError>([&] { f.store->query("DELETE FROM run"); }),
                  "only reading is allowed here");
  f.store.reset();
  const auto reader = Store::open_read_only(f.path);
  EXPECT_CONTAINS(error_of<ConfigError>([&] { reader->query("DELETE FROM run"); }),
                  "only reading is allowed here");
  EXPECT_EQ(error_of<ConfigError>([&] { reader->query("SELECT json_extract('{','$.a')"); }),
            "sql = 'SELECT json_extract('{','$.a')': malformed JSON");
  EXPECT_CONTAINS(
      error_of<InternalError>([&] { reader->begin_run(sample_header("a"), Restart::kResume); }),
      "is open for reading only");
}

TEST(Store, AReaderSeesWhatAWriterCommits) {
  Fixture f;
  const auto reader = Store::open_read_only(f.path);
  const std::string run = f.begin("a");
  f.store->add_rows(run, sample_rows(0, 5));
  EXPECT_EQ(rows_bits(reader->rows(run)), rows_bits(sample_rows(0, 5)));
}

}  // namespace
}  // namespace dlm
