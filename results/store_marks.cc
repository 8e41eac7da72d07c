// The part of Store that writes what people decide about runs: tags and verdicts.
#include <cmath>
#include <map>

#include "harness/base/error.h"
#include "results/run_id.h"
#include "results/run_names.h"
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

std::string nearest_run_name(Store& store, std::string_view name) {
  constexpr std::size_t kShortestBeginning = 4;
  std::vector<std::string> known;
  const Table tags = store.query("SELECT DISTINCT name FROM tag ORDER BY name");
  for (const auto& row : tags.rows) known.push_back(cell_for_people(row[0]));
  if (const std::string tag = nearest_name(name, known); !tag.empty())
    return tag;
  if (name.size() < kShortestBeginning)
    return "";
  std::string upper(name);
  for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  const Table runs = store.query("SELECT run_id FROM run ORDER BY run_id DESC LIMIT 1000");
  std::map<std::string, std::string> run_of;  // by the beginning of its id; the latest
  known.clear();
  for (const auto& row : runs.rows) {
    const std::string run = cell_for_people(row[0]);
    if (run_of.try_emplace(run.substr(0, name.size()), run).second)
      known.push_back(run.substr(0, name.size()));
  }
  const std::string near = nearest_name(upper, known);
  return near.empty() ? "" : run_of.at(near);
}

}  // namespace dlm
