#include <algorithm>
#include <array>
#include <map>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "harness/base/text.h"
#include "results/export_formats.h"

namespace dlm {
namespace {

using Row = std::map<std::string, Cell>;

std::vector<Row> rows_of(Store& store, const std::string& sql, const std::string& run_id) {
  const std::array<Cell, 1> parameters = {run_id};
  const Table found = store.query(sql, parameters);
  std::vector<Row> rows;
  for (const auto& cells : found.rows) {
    Row& row = rows.emplace_back();
    for (std::size_t i = 0; i < cells.size(); ++i) row[found.columns[i].name] = cells[i];
  }
  return rows;
}

Json json_of(const Cell& cell) {
  if (const auto* integer = std::get_if<std::int64_t>(&cell.value))
    return *integer;
  if (const auto* real = std::get_if<double>(&cell.value))
    return *real;
  if (const auto* text = std::get_if<std::string>(&cell.value))
    return replace_invalid_utf8(*text);
  return nullptr;
}

std::string text_of(const Row& row, const char* name) {
  const auto* text = std::get_if<std::string>(&row.at(name).value);
  return text == nullptr ? "" : *text;
}

// A name as part of a path: what could leave the folder or end it is replaced.
std::string as_file_name(std::string_view text) {
  std::string name;
  for (const char c : text.substr(0, 100)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '=' || (c == '.' && !name.empty());
    name += plain ? c : '_';
  }
  return name.empty() ? "_" : name;
}

std::string metric_key(const Row& row, const char* suffix) {
  const std::string variant = text_of(row, "variant");
  return fmt::format("{}{},{}", text_of(row, "metric"), suffix, variant.empty() ? "none" : variant);
}

Json results_json(Store& store, const Row& run, const std::string& run_id) {
  Json results = Json::object();
  Json better = Json::object();
  const std::string task = replace_invalid_utf8(text_of(run, "task"));
  results["alias"] = task;
  for (const Row& row : rows_of(store,
                                "SELECT m.*, d.better FROM metric m JOIN metric_def d "
                                "USING(metric) WHERE run_id=? ORDER BY metric, variant",
                                run_id)) {
    const Json error = json_of(row.at("se_data"));
    results[metric_key(row, "")] = json_of(row.at("value"));
    results[metric_key(row, "_stderr")] = error.is_null() ? Json("N/A") : error;
    if (text_of(row, "better") != "none")
      better[text_of(row, "metric")] = text_of(row, "better") == "hi";
  }
  const Json spec = parse_json(text_of(run, "spec_json"), store.path());
  return {
      {"results", {{task, results}}},
      {"group_subtasks", {{task, Json::array()}}},
      {"configs",
       {{task, {{"task", task}, {"metadata", {{"version", json_of(run.at("task_version"))}}}}}}},
      {"versions", {{task, json_of(run.at("task_version"))}}},
      {"n-shot", Json::object()},
      {"higher_is_better", {{task, better}}},
      {"n-samples",
       {{task, {{"original", json_of(run.at("n_docs"))}, {"effective", json_of(run.at("rows"))}}}}},
      {"config",
       {{"model", json_of(run.at("family"))},
        {"model_args", spec},
        {"model_dtype", json_of(run.at("dtype"))},
        {"model_sha", json_of(run.at("weights_sha256"))},
        {"model_num_parameters", json_of(run.at("params"))},
        {"random_seed", json_of(run.at("seed"))}}},
      {"git_hash", json_of(run.at("git_commit"))},
      {"date", json_of(run.at("started"))},
      {"model_name", json_of(run.at("model"))},
      {"task_hashes", {{task, json_of(run.at("data_sha256"))}}},
      {"total_evaluation_time_seconds", json_of(run.at("wall_s"))},
      {"dlmbench_run", run_id}};
}

std::string samples_jsonl(Store& store, const std::string& run_id) {
  std::string out;
  std::int64_t number = 0;
  for (const ExampleRow& row : store.rows(run_id)) {
    const std::string text = replace_invalid_utf8(row.output);
    Json sample = {{"doc_id", number++},
                   {"doc", {{"id", replace_invalid_utf8(row.doc_id)}, {"repeat", row.rep}}},
                   {"target", ""},
                   {"arguments", Json::object()},
                   {"resps", Json::array({Json::array({text})})},
                   {"filtered_resps", Json::array({text})},
                   {"filter", "none"},
                   {"doc_hash", replace_invalid_utf8(row.doc_sha)}};
    Json metrics = Json::array();
    if (row.score) {
      metrics.push_back("score");
      sample["score"] = *row.score;
    }
    if (row.tokens > 0) {
      metrics.push_back("loglikelihood");
      sample["loglikelihood"] = -row.nll;
      sample["n_tokens"] = row.tokens;
    }
    sample["metrics"] = metrics;
    out += sample.dump() + "\n";
  }
  return out;
}

}  // namespace

std::vector<ExportedFile> export_lm_eval(Store& store, std::span<const std::string> run_ids) {
  std::vector<ExportedFile> files;
  for (const std::string& run_id : run_ids) {
    const auto found = rows_of(
        store,
        "SELECT *, strftime('%s',started_at)+0.0 AS started, wall_ns/1e9 AS wall_s, "
        "(SELECT count(*) FROM sample s WHERE s.run_id=v.run_id) AS rows FROM v_run v WHERE "
        "run_id=?",
        run_id);
    DLM_CHECK(!found.empty(), "no run {}", run_id);
    const Row& run = found.front();
    const std::string folder = as_file_name(text_of(run, "model"));
    const std::string time = as_file_name(text_of(run, "started_at"));
    // Two runs can begin in the same millisecond; their ids differ in the end.
    const std::string stamp =
        time + "_" + run_id.substr(run_id.size() - std::min<std::size_t>(6, run_id.size()));
    files.push_back({fmt::format("{}/results_{}.json", folder, stamp),
                     results_json(store, run, run_id).dump(2) + "\n"});
    files.push_back(
        {fmt::format("{}/samples_{}_{}.jsonl", folder, as_file_name(text_of(run, "task")), stamp),
         samples_jsonl(store, run_id)});
  }
  return files;
}

std::string export_google_benchmark(Store& store, std::span<const std::string> run_ids) {
  Json benchmarks = Json::array();
  Json context = {{"executable", "dlmbench"},
                  {"library_build_type", "release"},
                  {"caches", Json::array()},
                  {"load_avg", Json::array()},
                  {"cpu_time", "not measured; equal to real_time"}};
  for (const std::string& run_id : run_ids) {
    const auto runs = rows_of(store,
                              "SELECT v.*, s.n_rows AS rows, s.tok, s.wall_ns AS ns FROM v_run v "
                              "JOIN v_speed s USING(run_id) WHERE v.run_id=?",
                              run_id);
    if (runs.empty())
      continue;  // a run without rows has no speed
    const Row& run = runs.front();
    context["date"] = json_of(run.at("started_at"));
    context["host_name"] = json_of(run.at("host"));
    context["cpu"] = json_of(run.at("cpu"));
    context["num_cpus"] = json_of(run.at("threads"));
    const auto rows = std::get<std::int64_t>(run.at("rows").value);
    auto repeats = rows_of(store,
                           "SELECT ns, kept_tok AS tok FROM timing WHERE run_id=? AND "
                           "phase='total' ORDER BY rep",
                           run_id);
    if (repeats.empty())
      repeats.push_back({{"ns", run.at("ns")}, {"tok", run.at("tok")}});
    const std::string name = replace_invalid_utf8(fmt::format(
        "{}/{}/block_size:{}/tokens_per_step:{}", text_of(run, "model"), text_of(run, "task"),
        json_of(run.at("block_size")).dump(), json_of(run.at("tokens_per_step")).dump()));
    for (std::size_t i = 0; i < repeats.size(); ++i) {
      const Json ns = json_of(repeats[i].at("ns"));
      const Json tokens = json_of(repeats[i].at("tok"));
      if (!ns.is_number() || ns.get<double>() <= 0)
        continue;
      const double each = ns.get<double>() / static_cast<double>(rows);
      Json entry = {{"name", name},
                    {"run_name", name},
                    {"run_type", "iteration"},
                    {"repetitions", repeats.size()},
                    {"repetition_index", i},
                    {"threads", 1},
                    {"iterations", rows},
                    {"real_time", each},
                    {"cpu_time", each},
                    {"time_unit", "ns"},
                    {"label", run_id}};
      if (tokens.is_number())
        entry["items_per_second"] = 1e9 * tokens.get<double>() / ns.get<double>();
      benchmarks.push_back(std::move(entry));
    }
  }
  return Json({{"context", context}, {"benchmarks", benchmarks}}).dump(2) + "\n";
}

}  // namespace dlm
