// The part of Store that writes what people decide about runs: tags and verdicts.
#include <cmath>

#include "harness/base/error.h"
#include "results/run_id.h"
#include "results/store.h"

namespace dlm {
namespace {

constexpr std::size_t kLongestTag = 100;

// SQLite would keep an infinity and JSON could not show it.
std::optional<double> finite_or_absent(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? value : std::nullopt;
}

}  // namespace

void Store::set_tag(const std::string& name, std::span<const std::string> run_ids) {
  DLM_CHECK(locks_ != nullptr, "{} is open for reading only", path());
  if (name.empty() || name.size() > kLongestTag || name.starts_with('-'))
    throw ConfigError("tag", name, "1 to 100 bytes that do not begin with a dash");
  Transaction transaction(database_);
  database_.prepare("DELETE FROM tag WHERE name=?").bind_all(name).run();
  for (const std::string& run_id : run_ids) {
    database_.prepare("INSERT OR IGNORE INTO tag VALUES(?,?,strftime('%Y-%m-%dT%H:%M:%fZ','now'))")
        .bind_all(name, run_id)
        .run();
  }
  transaction.commit();
}

void Store::add_verdicts(std::span<const GateVerdict> verdicts) {
  DLM_CHECK(locks_ != nullptr, "{} is open for reading only", path());
  Transaction transaction(database_);
  std::string id = database_.text("SELECT coalesce(max(gate_id),'') FROM gate");
  for (const GateVerdict& verdict : verdicts) {
    id = next_run_id(id);
    database_
        .prepare(
            "INSERT INTO gate VALUES(?,?,?,?,?,?,?,?,?,?,?,strftime('%Y-%m-%dT%H:%M:%fZ','now'))")
        .bind_all(id, absent_if_empty(verdict.base_run), absent_if_empty(verdict.new_run),
                  verdict.metric, verdict.test, verdict.margin,
                  finite_or_absent(verdict.difference), finite_or_absent(verdict.ci_low),
                  finite_or_absent(verdict.ci_high), finite_or_absent(verdict.p), verdict.verdict)
        .run();
  }
  transaction.commit();
}

}  // namespace dlm
