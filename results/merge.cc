#include "results/merge.h"

#include <filesystem>
#include <map>

#include "harness/base/error.h"
#include "results/schema.h"
#include "results/store.h"

namespace dlm {
namespace {

// The source as schema `src` of the target's connection, for the life of the object.
class Attached {
 public:
  Attached(Database& target, const std::string& source) : target_(target) {
    target_.prepare("ATTACH ? AS src").bind_all(source).run();
  }

  Attached(const Attached&) = delete;
  Attached& operator=(const Attached&) = delete;

  ~Attached() {
    try {
      target_.execute("DETACH src");
    } catch (const Error&) {  // the connection ends soon anyway
    }
  }

 private:
  Database& target_;
};

void check_source(const Database& target, const std::string& source) {
  Store::open_read_only(source);  // is a store, and of this version
  std::error_code ignored;
  if (std::filesystem::equivalent(target.path(), source, ignored))
    throw DataError(source, -1, "another store than the one merged into", "the same file");
}

void check_definitions(Database& target, const std::string& source) {
  Statement statement = target.prepare(
      "SELECT s.metric, s.unit, s.better, t.unit, t.better FROM src.metric_def s "
      "JOIN main.metric_def t USING(metric) WHERE s.unit IS NOT t.unit OR s.better IS NOT "
      "t.better");
  if (statement.step()) {
    throw DataError(source, -1,
                    fmt::format("metric '{}' in '{}', better '{}'", statement.text(0),
                                statement.text(3), statement.text(4)),
                    fmt::format("'{}', better '{}'", statement.text(1), statement.text(2)));
  }
}

struct SourceRun {
  std::string run_id, run_key, status, superseded_by;
};

std::vector<SourceRun> source_runs(Database& target) {
  // Successors before what they replaced: a run follows its successor into the target or not.
  Statement statement = target.prepare(
      "SELECT run_id, run_key, status, superseded_by FROM src.run ORDER BY run_id DESC");
  std::vector<SourceRun> runs;
  while (statement.step()) {
    runs.push_back({statement.text(0), statement.text(1), statement.text(2), statement.text(3)});
  }
  return runs;
}

std::int64_t count(Database& target, const char* sql, const std::string& a, const std::string& b) {
  Statement statement = target.prepare(sql);
  statement.bind_all(a, b).step();
  return statement.integer(0);
}

// Rows of the source's run that the target's run of another or the same id does not have alike.
std::int64_t differing_rows(Database& target, const std::string& source_id,
                            const std::string& target_id) {
  return count(
      target,
      "SELECT (SELECT count(*) FROM src.sample s LEFT JOIN main.sample t ON t.run_id=?2 "
      "AND t.doc_id=s.doc_id AND t.rep=s.rep WHERE s.run_id=?1 AND (t.run_id IS NULL OR "
      "t.doc_sha<>s.doc_sha OR t.nll IS NOT s.nll OR t.score IS NOT s.score OR t.out_sha "
      "IS NOT s.out_sha)) + (SELECT count(*) FROM main.sample t LEFT JOIN src.sample s ON "
      "s.run_id=?1 AND s.doc_id=t.doc_id AND s.rep=t.rep WHERE t.run_id=?2 AND s.run_id IS "
      "NULL)",
      source_id, target_id);
}

struct TargetRun {
  std::string run_id, status;
};

TargetRun find_target(Database& target, const char* where, const std::string& value) {
  Statement statement =
      target.prepare(fmt::format("SELECT run_id, status FROM main.run WHERE {}", where));
  if (!statement.bind_all(value).step())
    return {};
  return {statement.text(0), statement.text(1)};
}

// What is to be done with a run, before anything is.
struct Decision {
  MergeOutcome outcome = MergeOutcome::kAdded;
  std::string detail;
  std::string superseded_by;
};

Decision decide_there(Database& target, const SourceRun& run, const TargetRun& there) {
  const std::int64_t differing = differing_rows(target, run.run_id, run.run_id);
  if (differing == 0 && there.status == run.status)
    return {MergeOutcome::kThere, "", ""};
  return {MergeOutcome::kConflict,
          fmt::format("the same id has {} differing rows (status '{}' here, '{}' there)", differing,
                      there.status, run.status),
          ""};
}

Decision decide_same_key(Database& target, const SourceRun& run, const TargetRun& current) {
  if (current.status != "done") {
    return {MergeOutcome::kConflict,
            fmt::format("run {} of the same key is '{}' here", current.run_id, current.status), ""};
  }
  const std::int64_t differing = differing_rows(target, run.run_id, current.run_id);
  if (differing > 0) {
    return {MergeOutcome::kConflict,
            fmt::format("run {} of the same key has {} differing rows", current.run_id, differing),
            ""};
  }
  return {MergeOutcome::kDuplicate, "same numbers as " + current.run_id, current.run_id};
}

// `brought` holds what was decided for the source's later runs.
Decision decide(Database& target, const SourceRun& run,
                const std::map<std::string, MergeOutcome>& brought) {
  if (run.status != "done" && run.status != "failed")
    return {MergeOutcome::kUnfinished, "status '" + run.status + "'", ""};
  if (const TargetRun there = find_target(target, "run_id=?", run.run_id); !there.run_id.empty())
    return decide_there(target, run, there);
  if (!run.superseded_by.empty()) {
    const auto successor = brought.find(run.superseded_by);
    const bool comes = successor != brought.end() && successor->second != MergeOutcome::kConflict &&
                       successor->second != MergeOutcome::kUnfinished;
    if (!comes)
      return {MergeOutcome::kUnfinished, "its successor is not merged", ""};
    return {MergeOutcome::kAdded, "", run.superseded_by};
  }
  if (run.status == "failed")
    return {MergeOutcome::kAdded, "", ""};
  const TargetRun current =
      find_target(target, "run_key=? AND status<>'failed' AND superseded_by IS NULL", run.run_key);
  return current.run_id.empty() ? Decision{} : decide_same_key(target, run, current);
}

void copy_parts(Database& target) {
  for (const char* table : {"env", "build", "model", "task", "sweep", "metric_def"}) {
    target.execute(fmt::format("INSERT OR IGNORE INTO main.{0} SELECT * FROM src.{0}", table));
  }
}

// The generated columns of config are not written.
void copy_config(Database& target) {
  target.execute(
      "INSERT OR IGNORE INTO main.config(config_id,j) SELECT config_id,j FROM src.config");
}

void copy_run(Database& target, const SourceRun& run, const Decision& decision) {
  static constexpr const char* kColumns =
      "run_id,sweep_id,model_id,task_id,config_id,env_id,build_id,run_key,identity_json,seed,"
      "status,smoke,started_at,ended_at,cmdline,error,owner,resumes,wall_ns,load_ns,"
      "peak_rss_bytes,threads,stored_rows,text_of_run";
  target
      .prepare(fmt::format("INSERT INTO main.run({0},superseded_by) SELECT {0},?2 FROM src.run "
                           "WHERE run_id=?1",
                           kColumns))
      .bind_all(run.run_id, absent_if_empty(decision.superseded_by))
      .run();
  for (const char* sql :
       {"INSERT OR IGNORE INTO main.blob SELECT * FROM src.blob WHERE sha256 IN (SELECT out_sha "
        "FROM src.sample WHERE run_id=?)",
        "INSERT INTO main.sample SELECT * FROM src.sample WHERE run_id=?",
        "INSERT INTO main.reveal SELECT * FROM src.reveal WHERE run_id=?",
        "INSERT INTO main.metric SELECT * FROM src.metric WHERE run_id=?",
        "INSERT INTO main.curve SELECT * FROM src.curve WHERE run_id=?",
        "INSERT INTO main.timing SELECT * FROM src.timing WHERE run_id=?"})
    target.prepare(sql).bind_all(run.run_id).run();
}

// Names that are new to the target, with those of their runs that it holds now. A name that it has
// means what it meant.
void copy_tags(Database& target) {
  target.execute(
      "INSERT INTO main.tag SELECT * FROM src.tag WHERE name NOT IN (SELECT name FROM main.tag) "
      "AND run_id IN (SELECT run_id FROM main.run)");
}

}  // namespace

const char* merge_outcome_name(MergeOutcome outcome) {
  switch (outcome) {
    case MergeOutcome::kAdded:
      return "added";
    case MergeOutcome::kThere:
      return "there already";
    case MergeOutcome::kDuplicate:
      return "added as history";
    case MergeOutcome::kConflict:
      return "conflict";
    case MergeOutcome::kUnfinished:
      return "not finished";
  }
  DLM_CHECK(false, "no such outcome");
  return "";
}

std::vector<MergedRun> merge_store(Database& target, const std::string& source) {
  check_source(target, source);
  const Attached attached(target, source);
  Transaction transaction(target);
  check_definitions(target, source);
  std::vector<MergedRun> merged;
  std::map<std::string, MergeOutcome> brought;
  copy_config(target);
  copy_parts(target);
  for (const SourceRun& run : source_runs(target)) {
    const Decision decision = decide(target, run, brought);
    brought[run.run_id] = decision.outcome;
    if (decision.outcome == MergeOutcome::kAdded || decision.outcome == MergeOutcome::kDuplicate)
      copy_run(target, run, decision);
    merged.push_back({source, run.run_id, decision.outcome, decision.detail});
  }
  copy_tags(target);
  target.execute(
      "INSERT OR IGNORE INTO main.gate SELECT * FROM src.gate WHERE (base_run IS NULL OR "
      "base_run IN (SELECT run_id FROM main.run)) AND new_run IN (SELECT run_id FROM main.run)");
  transaction.commit();
  return {merged.rbegin(), merged.rend()};
}

std::vector<TagDifference> differing_tags(Database& target, const std::string& source) {
  check_source(target, source);
  const Attached attached(target, source);
  Statement statement = target.prepare(
      "SELECT name, count(*) AS there, (SELECT count(*) FROM main.tag t WHERE t.name=s.name) AS "
      "here, sum(EXISTS(SELECT 1 FROM main.tag t WHERE t.name=s.name AND t.run_id=s.run_id)) AS "
      "common FROM src.tag s GROUP BY name HAVING there<>here OR common<there ORDER BY name");
  std::vector<TagDifference> tags;
  while (statement.step()) {
    tags.push_back(
        {statement.text(0), statement.integer(1), statement.integer(2), statement.integer(3)});
  }
  return tags;
}

Table merge_table(const std::vector<MergedRun>& runs) {
  Table table{"", {{"source", ""}, {"run_id", "run"}, {"outcome", ""}, {"detail", ""}}, {}};
  for (const MergedRun& run : runs)
    table.rows.push_back({run.source, run.run_id, merge_outcome_name(run.outcome), run.detail});
  return table;
}

}  // namespace dlm
