#include "results/store.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "results/run_id.h"
#include "results/run_names.h"
#include "results/schema.h"

namespace dlm {
namespace {

constexpr const char* kNow = "strftime('%Y-%m-%dT%H:%M:%fZ','now')";

std::string folder_of(const std::string& path) {
  return std::filesystem::absolute(path).parent_path().string();
}

bool may_write(const std::string& path) {
  return ::faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) == 0;
}

void check_place_to_write(const std::string& path) {
  if (path.empty())
    throw ConfigError("db", path, "the name of a file");
  const std::string folder = folder_of(path);
  if (!std::filesystem::is_directory(folder))
    throw DataError(folder, -1, "a folder for the store", "no such folder");
  check_is_store(path);
  if (file_exists(path) && !may_write(path))
    throw DataError(path, -1, "a file that can be written to", std::strerror(errno));
  if (!may_write(folder)) {
    throw DataError(folder, -1, "a folder that can be written to (files beside the store)",
                    std::strerror(errno));
  }
}

std::optional<std::string> text_member(const Json& object, const char* key, const char* where) {
  if (!object.contains(key) || object.at(key).is_null())
    return std::nullopt;
  return json_string(object, key, where);
}

std::string insert_env(Database& database, const std::string& env_json) {
  const Json env = parse_json(env_json, "env");
  std::string id = sha256_hex(env_json);
  const auto member = [&env](const char* key) { return text_member(env, key, "env"); };
  database.prepare("INSERT OR IGNORE INTO env VALUES(?,?,?,?,?,?,?,?)")
      .bind_all(id, member("host"), member("machine"), member("cpu"), member("gpu"),
                member("driver"), member("os"), env_json)
      .run();
  return id;
}

std::string insert_build(Database& database, const std::string& build_json) {
  const Json build = parse_json(build_json, "build");
  std::string id = sha256_hex(build_json);
  const auto member = [&build](const char* key) { return text_member(build, key, "build"); };
  const std::int64_t dirty = json_bool_or(build, "dirty", false, "build") ? 1 : 0;
  database.prepare("INSERT OR IGNORE INTO build VALUES(?,?,?,?,?,?,?,?,?)")
      .bind_all(id, member("git_commit"), dirty, member("compiler"), member("flags"),
                member("torch"), member("cuda"), json_int(build, "numerics_epoch", "build"),
                build_json)
      .run();
  return id;
}

std::string insert_model(Database& database, const RunHeader& header) {
  std::string id = sha256_hex(canonical_json(
      Json::array({header.model_name, header.family, header.parameters, header.dtype,
                   header.weights_sha256, header.tokenizer_sha256, header.model_config_json})));
  database.prepare("INSERT OR IGNORE INTO model VALUES(?,?,?,?,?,?,?,?)")
      .bind_all(id, header.model_name, header.family, header.parameters, header.dtype,
                header.weights_sha256, absent_if_empty(header.tokenizer_sha256),
                absent_if_empty(header.model_config_json))
      .run();
  return id;
}

std::string insert_task(Database& database, const RunHeader& header) {
  std::string id = sha256_hex(
      canonical_json(Json::array({header.task_name, header.task_version, header.task_kind,
                                  header.data_sha256, header.n_docs, header.task_config_json})));
  database
      .prepare(
          "INSERT OR IGNORE INTO task(task_id,name,version,kind,data_sha256,n_docs,config_json) "
          "VALUES(?,?,?,?,?,?,?)")
      .bind_all(id, header.task_name, header.task_version, header.task_kind, header.data_sha256,
                header.n_docs, absent_if_empty(header.task_config_json))
      .run();
  return id;
}

std::string insert_config(Database& database, const std::string& spec_json) {
  std::string id = sha256_hex(spec_json);
  database.prepare("INSERT OR IGNORE INTO config(config_id,j) VALUES(?,?)")
      .bind_all(id, spec_json)
      .run();
  return id;
}

void check_header(const RunHeader& header) {
  DLM_CHECK(header.run_key == sha256_hex(header.identity_json),
            "run key {} is not the SHA-256 of its identity {}", header.run_key,
            header.identity_json);
  if (header.seed > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
    throw ConfigError("seed", fmt::format("{}", header.seed), "0 to 9223372036854775807");
}

std::string this_process() {
  std::array<char, 256> host{};
  const bool known = ::gethostname(host.data(), host.size() - 1) == 0;
  return fmt::format("{}:{}", known ? host.data() : "?", ::getpid());
}

// The one run of a key that counts; an empty run_id where there is none.
struct CurrentRun {
  std::string run_id;
  std::string status;
  std::string owner;
};

CurrentRun find_current(Database& database, const std::string& run_key) {
  Statement statement = database.prepare(
      "SELECT run_id, status, owner FROM run "
      "WHERE run_key=? AND status<>'failed' AND superseded_by IS NULL");
  if (!statement.bind_all(run_key).step())
    return {};
  return {statement.text(0), statement.text(1), statement.text(2)};
}

void mark_resumed(Database& database, const std::string& run_id) {
  database
      .prepare(
          "UPDATE run SET status='running', resumes=resumes+1, owner=?, ended_at=NULL, error=NULL, "
          "stored_rows=NULL "
          "WHERE run_id=?")
      .bind_all(this_process(), run_id)
      .run();
}

void mark_superseded(Database& database, const std::string& run_id, const std::string& new_id) {
  database
      .prepare(
          "UPDATE run SET superseded_by=?, status=iif(status='running','partial',status) "
          "WHERE run_id=?")
      .bind_all(new_id, run_id)
      .run();
}

const char* status_name(RunOutcome outcome) {
  switch (outcome) {
    case RunOutcome::kDone:
      return "done";
    case RunOutcome::kFailed:
      return "failed";
    case RunOutcome::kPartial:
      return "partial";
  }
  DLM_CHECK(false, "no such outcome");
  return "";
}

// Gives a lock back where the transaction that took it does not reach its commit.
class LockGuard {
 public:
  LockGuard(RunLocks& locks, std::string run_id) : locks_(&locks), run_id_(std::move(run_id)) {}

  LockGuard(const LockGuard&) = delete;
  LockGuard& operator=(const LockGuard&) = delete;

  ~LockGuard() {
    if (locks_ != nullptr)
      locks_->release(run_id_);
  }

  void keep() { locks_ = nullptr; }

 private:
  RunLocks* locks_;
  std::string run_id_;
};

}  // namespace

Store::Store(const std::string& path, Database::Mode mode, std::chrono::milliseconds busy_timeout)
    : database_(path, mode, busy_timeout) {}

std::unique_ptr<Store> Store::open(const std::string& path, const StoreOptions& options) {
  check_place_to_write(path);
  std::unique_ptr<Store> store(new Store(path, Database::Mode::kCreate, options.busy_timeout));
  prepare_schema(store->database_, schema_steps());
  prepare_config_view(store->database_, options.settings);
  store->locks_ = std::make_unique<RunLocks>(path);
  return store;
}

std::unique_ptr<Store> Store::open_read_only(const std::string& path) {
  if (!file_exists(path))
    throw DataError(path, -1, "a dlmbench store", "no such file");
  check_is_store(path);
  // Reading a WAL file makes small files beside it; where that is not allowed, and no writer has
  // left any, the file is complete by itself.
  const bool alone = !may_write(folder_of(path)) && !file_exists(path + "-wal");
  const auto mode = alone ? Database::Mode::kImmutable : Database::Mode::kReadOnly;
  std::unique_ptr<Store> store(new Store(path, mode, StoreOptions().busy_timeout));
  check_schema_version(store->database_, schema_steps());
  return store;
}

OpenedRun Store::begin_run(const RunHeader& header, Restart restart) {
  DLM_CHECK(locks_ != nullptr, "{} is open for reading only", path());
  check_header(header);
  Transaction transaction(database_);
  const CurrentRun current = find_current(database_, header.run_key);
  if (current.status == "done" && restart == Restart::kResume)
    return {current.run_id, RunState::kDone, ""};
  const bool found = !current.run_id.empty();
  if (found && !locks_->try_acquire(current.run_id))
    return {current.run_id, RunState::kBusy, current.owner};
  LockGuard current_lock(*locks_, current.run_id);
  if (found && restart == Restart::kResume) {
    mark_resumed(database_, current.run_id);
    transaction.commit();
    current_lock.keep();
    return {current.run_id, RunState::kResumed, ""};
  }
  const std::string new_id =
      next_run_id(database_.text("SELECT coalesce(max(run_id),'') FROM run"));
  DLM_CHECK(locks_->try_acquire(new_id), "the new run {} is held already", new_id);
  LockGuard new_lock(*locks_, new_id);
  if (found)
    mark_superseded(database_, current.run_id, new_id);
  insert_run(new_id, header);
  if (!header.rows_of.empty())
    copy_rows(header.rows_of, new_id);
  transaction.commit();
  new_lock.keep();
  return {new_id, RunState::kFresh, ""};
}

void Store::insert_run(const std::string& run_id, const RunHeader& header) {
  const std::string model = insert_model(database_, header);
  const std::string task = insert_task(database_, header);
  const std::string config = insert_config(database_, header.spec_json);
  const std::string env = insert_env(database_, header.env_json);
  const std::string build = insert_build(database_, header.build_json);
  const std::int64_t smoke = header.smoke ? 1 : 0;
  database_
      .prepare(
          fmt::format("INSERT INTO run(run_id,model_id,task_id,config_id,env_id,build_id,run_key,"
                      "identity_json,seed,status,smoke,started_at,cmdline,owner,text_of_run) "
                      "VALUES(?,?,?,?,?,?,?,?,?,'running',?,{},?,?,?)",
                      kNow))
      .bind_all(run_id, model, task, config, env, build, header.run_key, header.identity_json,
                static_cast<std::int64_t>(header.seed), smoke, header.command, this_process(),
                absent_if_empty(header.rows_of))
      .run();
}

void Store::finish_run(std::string_view run_id, const RunEnd& end) {
  check_held(run_id);
  Transaction transaction(database_);
  database_
      .prepare(fmt::format(
          "UPDATE run SET status=?, error=?, ended_at={}, wall_ns=coalesce(wall_ns,0)+?, "
          "load_ns=coalesce(load_ns,0)+?, peak_rss_bytes=max(coalesce(peak_rss_bytes,0),?), "
          "threads=?, stored_rows=(SELECT count(*) FROM sample s WHERE s.run_id=run.run_id) WHERE "
          "run_id=?",
          kNow))
      .bind_all(status_name(end.outcome), absent_if_empty(end.error), end.wall_ns, end.load_ns,
                end.peak_rss_bytes, end.threads, run_id)
      .run();
  // What the examples took together, where nobody has timed the run more closely.
  database_
      .prepare(
          "INSERT OR IGNORE INTO timing(run_id,rep,phase,ns,kept_tok,nfe) SELECT run_id, 0, "
          "'total', "
          "sum(wall_ns), sum(coalesce(kept_tok,n_tok)), sum(nfe) FROM sample WHERE run_id=? GROUP "
          "BY "
          "run_id HAVING sum(wall_ns)>0")
      .bind_all(run_id)
      .run();
  transaction.commit();
  locks_->release(run_id);
}

void Store::check_held(std::string_view run_id) const {
  DLM_CHECK(locks_ != nullptr, "{} is open for reading only", path());
  DLM_CHECK(locks_->holds(run_id), "run {} was not begun here", run_id);
}

std::string Store::resolve_run(std::string_view prefix) {
  std::string start(prefix);
  for (char& c : start) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  Statement statement = database_.prepare(
      "SELECT run_id FROM run WHERE substr(run_id,1,length(?1))=?1 ORDER BY run_id DESC LIMIT 6");
  statement.bind_all(start);
  std::vector<std::string> candidates;
  while (statement.step()) candidates.push_back(statement.text(0));
  if (!start.empty() && candidates.size() == 1)
    return candidates[0];
  if (!start.empty() && candidates.size() > 1) {
    const bool more = candidates.size() > 5;
    candidates.resize(more ? 5 : candidates.size());
    throw ConfigError("run", prefix,
                      fmt::format("begins the ids of more than one run: {}{}",
                                  fmt::join(candidates, ", "), more ? ", ..." : ""));
  }
  statement.reset();
  statement.bind_all("");
  std::vector<std::string> latest;
  while (statement.step()) latest.push_back(statement.text(0));
  if (latest.empty())
    throw ConfigError("run", prefix, fmt::format("no such run; {} has no runs yet", path()));
  const std::string near = nearest_run_name(*this, prefix);
  throw ConfigError("run", prefix,
                    fmt::format("no run of {} begins so; {}the latest are {}", path(),
                                near.empty() ? "" : fmt::format("did you mean '{}'? ", near),
                                fmt::join(latest, ", ")));
}

}  // namespace dlm
