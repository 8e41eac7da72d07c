// Which runs a gate is about, and how noisy their machine is.
#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "harness/base/error.h"
#include "results/compare_measures.h"
#include "results/gate.h"

namespace dlm {
namespace {

constexpr std::size_t kShortestCommit = 7;

std::vector<std::string> ids_of(Store& store, const char* sql, const std::string& parameter) {
  const std::array<Cell, 1> parameters = {parameter};
  std::vector<std::string> ids;
  store.scan(sql, parameters, [&](const Statement& row) { ids.push_back(row.text(0)); });
  return ids;
}

bool may_be_commit(const std::string& name) {
  return name.size() >= kShortestCommit && name.size() <= 40 &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace

std::vector<std::int64_t> rounds_to_look_at(std::int64_t first, std::int64_t most) {
  if (first < 1 || most < first)
    throw ConfigError("max-rounds", fmt::format("{}", most),
                      fmt::format("at least the {} rounds that are measured in any case", first));
  std::vector<std::int64_t> looks = {std::max(first, std::min(kFewestPairsOfRuns, most))};
  while (looks.back() < most)
    looks.push_back(std::min(most, looks.back() + (looks.back() + 1) / 2));
  return looks;
}

std::vector<std::string> runs_of_name(Store& store, const std::string& name) {
  auto ids = ids_of(store,
                    "SELECT run_id FROM tag JOIN run USING(run_id) WHERE name=? AND "
                    "status='done' ORDER BY run_id",
                    name);
  if (ids.empty() && may_be_commit(name)) {
    // A commit in the store may be shorter than the one named, and the other way round.
    ids =
        ids_of(store,
               "SELECT max(run_id) FROM v_run WHERE status='done' AND length(git_commit)>=7 AND "
               "(substr(git_commit,1,length(?1))=?1 OR substr(?1,1,length(git_commit))=git_commit) "
               "GROUP BY model, task, config_id ORDER BY 1",
               name);
  }
  if (ids.empty() && name.size() >= 4) {
    std::string upper = name;
    std::transform(upper.begin(), upper.end(), upper.begin(), [](char c) {
      return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    });
    ids = ids_of(store,
                 "SELECT run_id FROM run WHERE substr(run_id,1,length(?1))=?1 AND status='done' "
                 "LIMIT 2",
                 upper);
    if (ids.size() > 1)
      throw ConfigError("base", name, "begins the ids of more than one run");
  }
  return ids;
}

std::optional<double> speed_noise_floor(Store& store, const std::string& run_id) {
  const std::array<Cell, 1> parameters = {run_id};
  std::map<std::string, std::vector<double>> by_key;
  store.scan(
      "SELECT r.run_key||r.build_id, (SELECT ln(sum(coalesce(kept_tok,n_tok))*1e9/sum(wall_ns)) "
      "FROM sample s WHERE s.run_id=r.run_id) FROM run o JOIN run r ON r.env_id=o.env_id "
      "WHERE o.run_id=? AND r.status='done' AND r.resumes=0 AND EXISTS(SELECT 1 FROM run t WHERE "
      "t.run_key=r.run_key AND t.build_id=r.build_id AND t.env_id=r.env_id AND "
      "t.run_id<>r.run_id)",
      parameters, [&](const Statement& row) {
        if (const auto rate = row.optional_real(1))
          by_key[row.text(0)].push_back(*rate);
      });
  double squares = 0;
  double degrees = 0;
  for (const auto& [key, rates] : by_key) {
    double mean = 0;
    for (const double rate : rates) mean += rate / static_cast<double>(rates.size());
    for (const double rate : rates) squares += (rate - mean) * (rate - mean);
    degrees += static_cast<double>(rates.size()) - 1;
  }
  if (degrees < 2)
    return std::nullopt;
  const double of_pair = std::sqrt(2 * squares / degrees);
  return std::expm1(student_t_quantile(0.975, degrees) * of_pair);
}

}  // namespace dlm
