// The store: one SQLite file that holds every run, its rows and its estimates. See schema.sql for
// the tables. A Store is used by one thread; any number of processes may use one file. What a call
// of add_rows was given is in the file whole or not at all, and is there when the call returns.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/curve.h"
#include "harness/base/record.h"
#include "results/reveal.h"
#include "results/run_lock.h"
#include "results/sqlite.h"
#include "results/table.h"

namespace dlm {

// Everything known of a run before its first example. All _json members are JSON texts.
struct RunHeader {
  std::string run_key;        // SHA-256 of identity_json, hex
  std::string identity_json;  // canonical; what decides the numbers
  std::string spec_json;      // every setting, canonical -> config.j
  std::string model_name, family, dtype, weights_sha256, tokenizer_sha256, model_config_json;
  std::int64_t parameters = 0;
  std::string task_name, task_kind, data_sha256, task_config_json;
  std::int64_t task_version = 0;
  std::int64_t n_docs = 0;
  std::string env_json;  // members host, machine, cpu, gpu, driver, os become columns
  std::string
      build_json;  // git_commit, dirty, compiler, flags, torch, cuda; numerics_epoch must be
  std::uint64_t seed = 0;  // below 2^63
  std::string command;
  bool smoke = false;   // only some of the documents
  std::string rows_of;  // a finished run whose rows a new run begins with; empty: with none
};

enum class RunState {
  kFresh,    // a new run, nothing stored yet
  kResumed,  // some rows may be there: rows()
  kDone,     // finished earlier: the cached result
  kBusy,     // another process is writing it now
};

struct OpenedRun {
  std::string run_id;
  RunState state = RunState::kFresh;
  std::string owner;  // of a busy run: "host:pid"
};

enum class Restart {
  kResume,
  kFresh,  // measure anew; the earlier run stays, marked as superseded
};

enum class RunOutcome { kDone, kFailed, kPartial };

struct RunEnd {
  RunOutcome outcome = RunOutcome::kDone;
  std::string error;         // of a failed run
  std::int64_t wall_ns = 0;  // of this session, load and warm-up excluded; added to earlier ones
  std::int64_t load_ns = 0;  // of this session; added to earlier ones
  std::int64_t peak_rss_bytes = 0;
  std::int64_t threads = 0;
};

// A row of table gate. base_run is empty where the baseline lies in another store.
struct GateVerdict {
  std::string base_run, new_run, metric, test, verdict;
  double margin = 0;
  std::optional<double> difference, ci_low, ci_high, p;
};

struct StoreOptions {
  std::vector<std::string> settings;  // columns of v_config: dotted paths into spec_json
  std::chrono::milliseconds busy_timeout = std::chrono::seconds(30);
};

class Store {
 public:
  // Opens for writing; makes the file, or brings an older one up to date. Throws DataError for what
  // is not a store (left untouched), a newer store, a folder or file that cannot be written to.
  static std::unique_ptr<Store> open(const std::string& path, const StoreOptions& options);
  // Throws DataError also where the file is missing or of an older version.
  static std::unique_ptr<Store> open_read_only(const std::string& path);

  // Finds the run of header.run_key or makes it. Of processes that begin the same run at once, one
  // gets it and the others kBusy; it is free again when that process finishes it or ends, however
  // it ends. A failed run is never resumed: its key begins a new one. A resumed run keeps its first
  // header. The rows of header.rows_of, and the order in which their texts were revealed, are there
  // when a fresh run is.
  OpenedRun begin_run(const RunHeader& header, Restart restart);

  // All rows by doc_id and rep, in byte order: the same whatever the order of work was. Doubles
  // come back bit for bit, but for -0.0, which is stored as 0.0. Throws DataError for damaged
  // output text.
  std::vector<ExampleRow> rows(std::string_view run_id);

  // One transaction. The run must have been begun here (fresh or resumed). A row that is there
  // already, or a number that is not finite, is an InternalError that names run, document and
  // field.
  // With `reveals`, the order in which texts of these rows were revealed; what has no tokens is
  // left out.
  void add_rows(std::string_view run_id, std::span<const ExampleRow> rows,
                std::span<const RowReveal> reveals = {});

  // One transaction; replaces estimates of the same metric and variant. Every metric needs its
  // definition; a definition whose unit or direction differs from the stored one is a DataError.
  // MetricDefinition.estimator is stored with each estimate; one that begins with "upper bound" or
  // "lower bound" is shown with its sign.
  void add_estimates(std::string_view run_id, std::span<const Estimate> estimates,
                     std::span<const MetricDefinition> definitions);
  std::vector<Estimate> estimates(std::string_view run_id);

  // One transaction; replaces points of the same metric and step. The run must have been begun
  // here.
  void add_curve(std::string_view run_id, std::span<const TrainingPoint> curve);
  std::vector<TrainingPoint> curve(std::string_view run_id);  // by metric, then step

  // The run must have been begun here; it is free for others afterwards.
  void finish_run(std::string_view run_id, const RunEnd& end);

  // The id that begins so (any case). Throws ConfigError with the candidates where there is none or
  // more than one.
  std::string resolve_run(std::string_view prefix);

  // A result kept by content: `key` hashes everything that decides it. Throws DataError for damaged
  // text.
  std::optional<std::string> cached(std::string_view key);

  // One transaction; a key that is there gets the new result.
  void add_cached(const std::map<std::string, std::string>& results);

  // One statement that only reads, with its parameters. Throws ConfigError for any other, with
  // SQLite's message for a wrong one. Blobs come as lower-case hexadecimal text.
  Table query(std::string_view sql, std::span<const Cell> parameters = {});

  // The same, row by row, without holding them: for the many rows of table sample.
  void scan(std::string_view sql, std::span<const Cell> parameters,
            const std::function<void(const Statement&)>& on_row);

  // Gives the runs a name, and takes it from those that had it. One transaction. Throws ConfigError
  // for a name that is empty, longer than 100 bytes or could be mistaken for an option.
  void set_tag(const std::string& name, std::span<const std::string> run_ids);

  // One transaction; rows of table gate, all with the time of now.
  void add_verdicts(std::span<const GateVerdict> verdicts);

  const std::string& path() const { return database_.path(); }

 private:
  Store(const std::string& path, Database::Mode mode, std::chrono::milliseconds busy_timeout);
  void insert_run(const std::string& run_id, const RunHeader& header);
  void copy_rows(std::string_view from, std::string_view to);
  void check_held(std::string_view run_id) const;

  Database database_;
  std::unique_ptr<RunLocks> locks_;  // none in a store that is only read
};

}  // namespace dlm
