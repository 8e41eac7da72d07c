// compare, gate, merge, plot, report and repro as a user types them.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "harness/base/file.h"
#include "results/sqlite.h"
#include "tests/support/data.h"
#include "tests/support/process.h"
#include "tests/support/tiny_model.h"

namespace dlm::testing {
namespace {

class Evidence : public ::testing::Test {
 protected:
  void SetUp() override {
    write_tiny_model(model_);
    std::ofstream text(text_);
    for (int i = 0; i < 60; ++i)
      text << R"({"text":"line )" << i * i << " of a text that is measured " << i << "\"}\n";
  }

  // Measures the model as it lies there now.
  void measure(const std::string& db) {
    const ProcessResult result = dlmbench(
        {"run", "--model", model_, "--task", "jsonl:" + text_ + "?field=text", "--db", db, "-q"});
    ASSERT_EQ(result.code, 0) << result.err;
  }

  // Scales the floats in a tenth of the weights: one part of the network differs.
  void perturb_weights() {
    std::string bytes(MappedFile::open(model_ + "/model.safetensors")->text());
    const std::size_t from = bytes.size() / 2 / 4 * 4;
    for (std::size_t i = from; i + 4 <= from + bytes.size() / 10; i += 4) {
      float value = 0;
      std::memcpy(&value, bytes.data() + i, 4);
      value *= 1.5F;
      std::memcpy(bytes.data() + i, &value, 4);
    }
    write_file_atomically(model_ + "/model.safetensors", bytes);
  }

  std::vector<std::string> ids(const std::string& db) {
    const std::string csv = dlmbench({"list", "--all", "--db", db, "-o", "csv"}).out;
    std::vector<std::string> found;
    for (std::size_t at = csv.find('\n'); at + 1 < csv.size(); at = csv.find('\n', at + 1))
      found.push_back(csv.substr(at + 1, 26));
    return found;
  }

  // Of the latest run.
  double nll(const std::string& db) {
    const std::string csv =
        dlmbench({"sql", "select value from metric where metric='nll' order by run_id desc limit 1",
                  "--db", db, "-o", "csv"})
            .out;
    return std::stod(csv.substr(csv.find('\n')));
  }

  TemporaryFolder folder_;
  std::string model_ = folder_.file("m");
  std::string text_ = folder_.file("t.jsonl");
  std::string db_ = folder_.file("r.db");
};

TEST_F(Evidence, GatePassesAnUnchangedBuildAndStopsAPerturbedOne) {
  EXPECT_EQ(dlmbench({"gate", "--db", db_}).code, 5);
  measure(db_);
  ASSERT_EQ(dlmbench({"tag", "main", "--db", db_}).code, 0);
  EXPECT_EQ(dlmbench({"gate", "--base", "main", "--db", db_}).code, 5);
  const std::string fresh = folder_.file("fresh.db");
  measure(fresh);
  const std::vector<std::string> gate = {
      "gate",     "--base",     "main", "--base-db", db_, "--metric", "nll,tokens_per_forward",
      "--margin", "nll=0.0001", "--db"};
  std::vector<std::string> unchanged = gate;
  unchanged.push_back(fresh);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(dlmbench(unchanged).code, 0);
  perturb_weights();
  const std::string changed_db = folder_.file("changed.db");
  measure(changed_db);
  std::vector<std::string> changed = gate;
  changed.push_back(changed_db);
  const ProcessResult stopped = dlmbench(changed);
  const bool is_worse = nll(changed_db) > nll(db_);
  EXPECT_EQ(stopped.code, is_worse ? 3 : 0) << stopped.out << stopped.err;
  EXPECT_NE(stopped.out.find(is_worse ? "worse" : "better"), std::string::npos) << stopped.out;
}

TEST_F(Evidence, CompareMergePlotReportAndReproOfStoredRuns) {
  measure(db_);
  const double before = nll(db_);
  perturb_weights();
  measure(db_);
  const bool is_worse = nll(db_) > before;
  const auto runs = ids(db_);
  ASSERT_EQ(runs.size(), 2U);
  const ProcessResult compared = dlmbench(
      {"compare", runs[0], runs[1], "--metric", "nll", "--margin", "nll=1e-9", "--db", db_});
  EXPECT_EQ(compared.code, is_worse ? 3 : 0) << compared.out << compared.err;
  EXPECT_NE(compared.out.find("weights_sha256"), std::string::npos) << compared.out;
  const std::string all = folder_.file("all.db");
  EXPECT_EQ(dlmbench({"merge", db_, "--db", all}).code, 0);
  EXPECT_EQ(ids(all), runs);
  const std::string page = folder_.file("r.html");
  EXPECT_EQ(dlmbench({"report", "--to", page, "--db", all}).code, 0);
  EXPECT_NE(MappedFile::open(page)->text().find("<h2 id=\"results\""), std::string_view::npos);
  EXPECT_EQ(dlmbench({"plot", "history", "--to", folder_.file("h.svg"), "--db", all}).code, 0);
  EXPECT_TRUE(file_exists(folder_.file("h.gp")));
  EXPECT_EQ(dlmbench({"export", "--what", "latex", "--db", all}).code, 0);
}

// A store as version 3 wrote it, and what another program would take for a newer one.
void write_old_store(const std::string& path) {
  std::ifstream file(DLM_STORES "/v3.sql");
  const std::string sql((std::istreambuf_iterator<char>(file)), {});
  Database(path, Database::Mode::kCreate, std::chrono::seconds(1)).execute(sql);
}

TEST_F(Evidence, OlderStoresAreBroughtUpToDateWhereverTheyAreRead) {
  const auto old = [this](const char* name) {
    write_old_store(folder_.file(name));
    return folder_.file(name);
  };
  const std::string a = old("a.db");
  const std::string run = ids(a).at(1);  // likelihoods
  EXPECT_EQ(
      dlmbench({"compare", run, run, "--metric", "nll", "--db", a, "--db-b", old("b.db")}).code, 0);
  // A run is not its own counterpart, so there is nothing to judge, but the store is read.
  const ProcessResult gate = dlmbench({"gate", "--base", run, "--db", a, "--base-db", old("c.db")});
  EXPECT_EQ(gate.code, 5) << gate.out << gate.err;
  EXPECT_NE(gate.err.find("c.db was of an older version"), std::string::npos) << gate.err;
  EXPECT_EQ(dlmbench({"merge", old("d.db"), "--db", folder_.file("all.db")}).code, 0);
  EXPECT_EQ(ids(folder_.file("all.db")), ids(a));
  const std::string newer = old("newer.db");
  Database(newer, Database::Mode::kReadWrite, std::chrono::seconds(1))
      .execute("PRAGMA user_version=999");
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"compare", run, run, "--db", a, "--db-b", newer},
        {"gate", "--base", run, "--db", a, "--base-db", newer},
        {"merge", newer, "--db", folder_.file("all.db")},
        {"list", "--db", newer}}) {
    const ProcessResult refused = dlmbench(command);
    EXPECT_EQ(refused.code, 1) << command[0];
    EXPECT_NE(refused.err.find("newer dlmbench"), std::string::npos) << refused.err;
    EXPECT_EQ(std::count(refused.err.begin(), refused.err.end(), '\n'), 1) << refused.err;
  }
}

TEST_F(Evidence, ReproMeasuresTheCellsThatWereNotRun) {
  const auto paper = [](const std::string& claim) {
    return "[[table]]\nid = \"1\"\nmetric = \"nll\"\ncolumns = [\"NLL\"]\n"
           "tolerance = { class = \"exact\" }\nneeds = [\"nothing\"]\n"
           "run = \"dlmbench run --model exact:markov?v=4&seed=1 --task "
           "draws:markov?v=4&seed=1&documents=50&length=8\"\n[table.rows]\n"
           "\"r\" = [\"" +
           claim +
           "\"]\n[table.models]\n\"r\" = "
           "\"exact:markov?v=4&seed=1&concentration=1\"\n[table.tasks]\n\"r\" = "
           "\"draws:markov?v=4&seed=1&concentration=1&length=8&documents=50\"\n";
  };
  const std::string path = folder_.file("p.toml");
  write_file_atomically(path, paper("9.999"));
  const std::vector<std::string> run = {"repro", path, "--run", "--db", db_};
  const ProcessResult off = dlmbench(run);
  EXPECT_EQ(off.code, 3) << off.out << off.err;
  write_file_atomically(path, paper(fmt::format("{:.4f}", nll(db_))));
  const ProcessResult holds = dlmbench({"repro", path, "--db", db_});
  EXPECT_EQ(holds.code, 0) << holds.out << holds.err;
  dlmbench(run);
  EXPECT_EQ(ids(db_).size(), 1U);  // what was run is not run again
  std::string broken = paper("1.0");
  broken.replace(broken.find("--model exact:markov"), 20, "--model exact:nosuch");
  write_file_atomically(path, broken);
  EXPECT_EQ(dlmbench({"repro", path, "--run", "--db", folder_.file("new.db")}).code, 2);
}

constexpr const char* kSmallPaper = R"([[table]]
id = "1"
metric = "nll"
columns = ["NLL"]
tolerance = { class = "systematic", relative = 9, reason = "any" }
needs = ["nothing"]
run = "dlmbench run --model 'exact:markov?v=4&seed=1' --task 'draws:markov?v=4&seed=1&documents=50&length=8'"
[table.rows]
"r" = ["1.0"]
[table.models]
"r" = "exact:markov?v=4&seed=1&concentration=1"
[table.tasks]
"r" = "draws:markov?v=4&seed=1&concentration=1&length=8&documents=50"
)";

TEST_F(Evidence, ReproJudgesOnlyWhatTheCommandOfTheCellMeasures) {
  const std::string path = folder_.file("p.toml");
  write_file_atomically(path, kSmallPaper);
  const auto run_with = [this](const std::vector<std::string>& more) {
    std::vector<std::string> command = {"run",
                                        "--model",
                                        "exact:markov?v=4&seed=1",
                                        "--task",
                                        "draws:markov?v=4&seed=1&documents=50&length=8",
                                        "--db",
                                        db_,
                                        "-q"};
    command.insert(command.end(), more.begin(), more.end());
    const ProcessResult result = dlmbench(command);
    EXPECT_EQ(result.code, 0) << result.err;
  };
  run_with({"--seed", "2"});
  run_with({"-n", "7"});
  const ProcessResult none = dlmbench({"repro", path, "--db", db_});
  EXPECT_EQ(none.code, 5) << none.out << none.err;
  EXPECT_NE(none.out.find("has --limit 7"), std::string::npos) << none.out;
  run_with({"--batch-size", "3", "--threads", "1"});
  const ProcessResult own = dlmbench({"repro", path, "--db", db_});
  EXPECT_EQ(own.code, 0) << own.out << own.err;
  EXPECT_NE(own.out.find(ids(db_).back()), std::string::npos) << own.out;
  std::string other = kSmallPaper;
  other.replace(other.find("\"nll\""), 5, "\"exact_match\"");
  write_file_atomically(path, other);
  const ProcessResult unknown = dlmbench({"repro", path, "--db", db_});
  EXPECT_EQ(unknown.code, 1);
  EXPECT_NE(unknown.err.find("exact_match"), std::string::npos) << unknown.err;
}

TEST_F(Evidence, RunsWithoutACommonExampleAreNoVerdict) {
  for (const char* seed : {"3", "4"})
    dlmbench({"run", "--model", "exact:markov?v=3", "--task",
              fmt::format("draws:markov?v=3&seed={}&documents=5&length=8", seed), "--db", db_,
              "-q"});
  const auto runs = ids(db_);
  ASSERT_EQ(runs.size(), 2U);
  const ProcessResult result = dlmbench({"compare", runs[0], runs[1], "--db", db_});
  EXPECT_EQ(result.code, 5);
  EXPECT_TRUE(result.out.empty()) << result.out;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  ASSERT_EQ(dlmbench({"tag", "main", "--db", db_}).code, 0);
  EXPECT_NE(dlmbench({"show", "mian", "--db", db_}).err.find("did you mean 'main'"),
            std::string::npos);
}

// Two runs of one small world, the later one current.
class Repeated : public Evidence {
 protected:
  void SetUp() override {
    for (int i = 0; i < 2; ++i)
      ASSERT_EQ(dlmbench({"run", "--model", "exact:markov?v=3", "--task",
                          "draws:markov?v=3&documents=40&length=8", "--db", db_, "-q", "--fresh"})
                    .code,
                0);
    ids_ = ids(db_);
    ASSERT_EQ(ids_.size(), 2U);
  }

  // The command is refused with one line that holds `words`.
  void expect_refused(std::vector<std::string> command, const std::string& words) {
    command.insert(command.end(), {"--db", db_});
    const ProcessResult result = dlmbench(command);
    EXPECT_EQ(result.code, 1) << command[0] << result.out;
    EXPECT_NE(result.err.find(words), std::string::npos) << command[0] << ": " << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }

  std::vector<std::string> ids_;
};

TEST_F(Repeated, ABaselineDoesNotPassAgainstItself) {
  ASSERT_EQ(dlmbench({"tag", "main", "--db", db_}).code, 0);
  const ProcessResult alone =
      dlmbench({"gate", "--base", "main", "--metric", "nll", "--db", db_, "-o", "json"});
  EXPECT_EQ(alone.code, 5) << alone.out;
  EXPECT_NE(alone.out.find("\"verdict\": \"empty\""), std::string::npos) << alone.out;
  EXPECT_NE(alone.out.find("did not measure it"), std::string::npos) << alone.out;
}

TEST_F(Repeated, ATagNamesAllItsRuns) {
  ASSERT_EQ(dlmbench({"tag", "both", "--all", "--db", db_}).code, 0);
  const std::string rows =
      dlmbench({"export", "both", "--what", "runs", "-o", "jsonl", "--db", db_}).out;
  EXPECT_EQ(std::count(rows.begin(), rows.end(), '\n'), 2) << rows;
  expect_refused({"compare", "both", ids_[0]},
                 "one run is needed, and this tag names 2: " + ids_[0]);
  expect_refused({"rescore", "both"}, "names 2");
  // Nobody knows of two runs which program is faster; what they measured is the same.
  const ProcessResult compared = dlmbench({"compare", ids_[0], ids_[1], "--db", db_});
  EXPECT_TRUE(compared.code == 0 || compared.code == 4) << compared.out;
  const std::string all = folder_.file("all.db");
  ASSERT_EQ(dlmbench({"merge", db_, "--db", all}).code, 0);
  ASSERT_EQ(dlmbench({"tag", "both", ids_[1], "--db", db_}).code, 0);
  const ProcessResult merged = dlmbench({"merge", db_, "--db", all});
  EXPECT_NE(merged.err.find("tag 'both' names the 2 that it named here, not the 1 of"),
            std::string::npos)
      << merged.err;
}

TEST_F(Repeated, OptionsThatNothingReadsAreRefused) {
  expect_refused({"gate", "--base", "main", "--suite", "x.toml"}, "read with --rounds N only");
  expect_refused({"gate", "--base", "main", "--max-rounds", "9"}, "max-rounds = '9'");
  expect_refused({"plot", "history", ids_[0], "--model", "nope"}, "names one");
  expect_refused({"export", ids_[0], "--all", "-o", "csv"}, "names one");
  expect_refused({"export", "--what", "latex", "-o", "json"}, "has a form of its own");
  expect_refused({"export", "--what", "metrics"}, "is needed with --what metrics");
  expect_refused({"report", "-o", "nope"}, "unknown");
  expect_refused({"tag", "main", "-o", "json"}, "unknown");
  const ProcessResult two =
      dlmbench({"gate", "--base", ids_[0], "--metric", "nll", "--metric", "mauve", "--db", db_});
  EXPECT_EQ(two.code, 5) << two.out;
  EXPECT_NE(two.out.find("| nll "), std::string::npos) << two.out;
}

TEST_F(Evidence, BadInputIsOneLineAndChangesNothing) {
  measure(db_);
  const std::string id = ids(db_).at(0);
  const std::string foreign = folder_.file("foreign.db");
  write_file_atomically(foreign, std::string(200, 'x'));
  const std::string paper = folder_.file("p.toml");
  write_file_atomically(paper, "[[tabel]]\n");
  const std::vector<std::pair<std::vector<std::string>, int>> cases = {
      {{"compare", id, "ZZZZ", "--db", db_}, 1},
      {{"compare", id, id, "--db", db_}, 1},
      {{"compare", id, "--db", db_}, 1},
      {{"compare", id, id, "--db", foreign}, 1},
      {{"gate", "--base", "nobody", "--db", db_}, 5},
      {{"merge", foreign, "--db", db_}, 1},
      {{"merge", folder_.file("none.db"), "--db", db_}, 1},
      {{"plot", "fronteir", "--db", db_}, 1},
      {{"plot", "history", "--to", "x.jpg", "--db", db_}, 1},
      {{"repro", paper, "--db", db_}, 1},
      {{"report", "--task", "nothing", "--to", folder_.file("r.html"), "--db", db_}, 1},
      {{"tag", "x", "ZZZZ", "--db", db_}, 1}};
  for (const auto& [command, code] : cases) {
    const ProcessResult result = dlmbench(command);
    EXPECT_EQ(result.code, code) << command[0] << ": " << result.err;
    // A filter that no run matches is warned of first.
    const auto lines = std::count(result.err.begin(), result.err.end(), '\n');
    EXPECT_EQ(lines, result.err.starts_with("warning: no run of ") ? 2 : 1) << result.err;
  }
  EXPECT_FALSE(file_exists(folder_.file("r.html")));
  EXPECT_EQ(ids(db_).size(), 1U);
}

}  // namespace
}  // namespace dlm::testing
