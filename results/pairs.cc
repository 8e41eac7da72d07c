#include "results/pairs.h"

#include <array>
#include <functional>
#include <string_view>
#include <unordered_map>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/json.h"

namespace dlm {
namespace {

void flatten_into(const Json& value, const std::string& name,
                  std::map<std::string, std::string>& out) {
  if (value.is_object()) {
    for (const auto& [key, member] : value.items())
      flatten_into(member, name.empty() ? key : name + "." + key, out);
  } else {
    out[name] = value.is_string() ? value.get<std::string>() : canonical_json(value);
  }
}

// A string member of `object`, at its top or in any object right below it.
std::string member_text(const Json& object, const char* key) {
  if (object.contains(key) && object.at(key).is_string())
    return object.at(key).get<std::string>();
  for (const auto& [name, member] : object.items()) {
    if (member.is_object() && member.contains(key) && member.at(key).is_string())
      return member.at(key).get<std::string>();
  }
  return "";
}

// What decides the numbers, without the version of the program's own arithmetic.
std::string what_was_measured(Json identity) {
  identity.erase("numerics");
  return canonical_json(identity);
}

std::string text_of(const Cell& cell) {
  if (const auto* text = std::get_if<std::string>(&cell.value))
    return *text;
  if (const auto* integer = std::get_if<std::int64_t>(&cell.value))
    return fmt::format("{}", *integer);
  return "";
}

constexpr const char* kSelectFacts =
    "SELECT model, family, dtype, weights_sha256, tokenizer_sha256, task, task_version, "
    "data_sha256, git_commit, torch, numerics_epoch, host, cpu, gpu, threads, seed, status, smoke, "
    "env_id, spec_json, identity_json, "
    "(SELECT max(est) FROM metric m WHERE m.run_id=v.run_id AND m.metric='nll') AS estimator "
    "FROM v_run v WHERE run_id=?";

constexpr const char* kSelectNumbers =
    "SELECT doc_id, rep, doc_sha, cluster, score, nll, nll_m2, n_mc, n_tok, n_bytes, "
    "coalesce(kept_tok,n_tok), nfe, wall_ns, out_sha FROM sample WHERE run_id=? ORDER BY doc_id, "
    "rep";

// A row with its name; hashes of texts are folded to 64 bits, enough to tell two texts apart.
struct NamedRow {
  std::string doc_id;
  std::int64_t rep = 0;
  std::size_t text_hash = 0;
  std::size_t output_hash = 0;
  std::string cluster;
  RowNumbers numbers;
};

NamedRow read_named_row(const Statement& row) {
  NamedRow named;
  named.doc_id = row.text(0);
  named.rep = row.integer(1);
  named.text_hash = std::hash<std::string>()(row.text(2));
  named.cluster = row.text(3);
  named.numbers.score = row.optional_real(4);
  named.numbers.nll = row.optional_real(5);
  named.numbers.nll_m2 = row.real(6);
  named.numbers.n_mc = row.integer(7);
  named.numbers.tokens = row.integer(8);
  named.numbers.bytes = row.integer(9);
  named.numbers.kept_tokens = row.integer(10);
  named.numbers.nfe = row.integer(11);
  named.numbers.wall_ns = row.integer(12);
  named.output_hash = std::hash<std::string>()(row.text(13));
  return named;
}

// Cluster names as numbers; a document without a name has its own, and its replicates come next to
// each other.
class ClusterNumbers {
 public:
  std::int64_t of(const NamedRow& row) {
    if (row.cluster.empty()) {
      if (row.doc_id != last_document_) {
        last_document_ = row.doc_id;
        last_number_ = next_++;
      }
      return last_number_;
    }
    const auto [place, is_new] = by_name_.try_emplace(row.cluster, next_);
    next_ += is_new ? 1 : 0;
    return place->second;
  }

  std::int64_t count() const { return next_; }

 private:
  std::unordered_map<std::string, std::int64_t> by_name_;
  std::string last_document_;
  std::int64_t last_number_ = 0;
  std::int64_t next_ = 0;
};

int compare_names(const NamedRow& a, const NamedRow& b) {
  if (const int order = a.doc_id.compare(b.doc_id); order != 0)
    return order;
  return a.rep < b.rep ? -1 : static_cast<int>(a.rep > b.rep);
}

}  // namespace

RunFacts run_facts(Store& store, const std::string& run_id) {
  const std::array<Cell, 1> parameters = {run_id};
  const Table found = store.query(kSelectFacts, parameters);
  DLM_CHECK(!found.rows.empty(), "no run {}", run_id);
  std::map<std::string, std::string> columns;
  for (std::size_t i = 0; i < found.columns.size(); ++i)
    columns[found.columns[i].name] = text_of(found.rows[0][i]);
  RunFacts facts;
  facts.run_id = run_id;
  facts.model = columns["model"];
  facts.family = columns["family"];
  facts.task = columns["task"];
  facts.status = columns["status"];
  facts.tokenizer_sha256 = columns["tokenizer_sha256"];
  facts.env_id = columns["env_id"];
  facts.estimator = columns["estimator"];
  facts.smoke = columns["smoke"] != "0";
  const Json spec = parse_json(columns["spec_json"], store.path());
  const Json identity = parse_json(columns["identity_json"], store.path());
  facts.pairing_key = member_text(identity, "pairing_key");
  if (facts.pairing_key.empty())
    facts.pairing_key = member_text(spec, "pairing_key");
  facts.measured = what_was_measured(identity);
  for (const char* name : {"status", "smoke", "env_id", "spec_json", "identity_json", "estimator"})
    columns.erase(name);
  flatten_into(spec, "", facts.settings);
  for (const auto& [name, value] : columns) facts.settings.try_emplace(name, value);
  return facts;
}

std::map<std::string, std::pair<std::string, std::string>> differing_facts(const RunFacts& a,
                                                                           const RunFacts& b) {
  std::map<std::string, std::pair<std::string, std::string>> all;
  for (const auto& [name, value] : a.settings) all[name].first = value;
  for (const auto& [name, value] : b.settings) all[name].second = value;
  std::erase_if(all, [](const auto& entry) { return entry.second.first == entry.second.second; });
  return all;
}

Pairing pair_rows(Store& store_a, const std::string& run_a, Store& store_b,
                  const std::string& run_b) {
  std::vector<NamedRow> rows_a;
  const std::array<Cell, 1> parameters_a = {run_a};
  store_a.scan(kSelectNumbers, parameters_a,
               [&](const Statement& row) { rows_a.push_back(read_named_row(row)); });
  Pairing pairing;
  ClusterNumbers clusters;
  std::size_t next = 0;
  const std::array<Cell, 1> parameters_b = {run_b};
  store_b.scan(kSelectNumbers, parameters_b, [&](const Statement& row) {
    const NamedRow b = read_named_row(row);
    for (; next < rows_a.size() && compare_names(rows_a[next], b) < 0; ++next) ++pairing.only_a;
    if (next == rows_a.size() || compare_names(rows_a[next], b) != 0) {
      ++pairing.only_b;
      return;
    }
    const NamedRow& a = rows_a[next++];
    if (a.text_hash != b.text_hash) {
      ++pairing.changed;
      return;
    }
    pairing.same_outputs = pairing.same_outputs && a.output_hash == b.output_hash;
    pairing.rows.push_back({a.numbers, b.numbers, clusters.of(a)});
  });
  pairing.only_a += std::ssize(rows_a) - static_cast<std::int64_t>(next);
  pairing.n_clusters = clusters.count();
  return pairing;
}

}  // namespace dlm
