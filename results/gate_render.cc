// What a gate found, as text: Markdown for people, tables for programs.
#include <cstdint>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "results/gate.h"

namespace dlm {
namespace {

// Names come from outside: they stay on their line.
std::string one_line(std::string text) {
  for (char& c : text) c = static_cast<unsigned char>(c) < 0x20 || c == '`' ? ' ' : c;
  return text;
}

std::string headline(Verdict verdict) {
  switch (verdict) {
    case Verdict::kSame:
      return "✅ passed: nothing differs by more than the margins";
    case Verdict::kBetter:
      return "✅ passed: something is better, nothing is worse";
    case Verdict::kWorse:
      return "❌ failed: something is worse";
    case Verdict::kAmbiguous:
      return "❔ undecided: the data do not settle it";
    case Verdict::kEmpty:
      return "⚠️ not everything was measured";
  }
  return "";
}

std::string advice(Verdict verdict) {
  switch (verdict) {
    case Verdict::kWorse:
      return "Where the change is meant, make its runs the new baseline: `dlmbench tag NAME "
             "RUN...`.";
    case Verdict::kAmbiguous:
      return "More documents (the verdict says how many) or more repeats decide it; a wider margin "
             "decides that it does not matter.";
    case Verdict::kEmpty:
      return "Run the suite of the baseline with this build, into the store that the gate reads.";
    default:
      return "";
  }
}

// The row of what was not measured: its words, under their columns.
std::vector<Cell> empty_row(const std::vector<Column>& columns,
                            const std::map<std::string, std::string>& words) {
  std::vector<Cell> row;
  for (const Column& column : columns) {
    const auto word = words.find(column.name);
    row.push_back(word == words.end() ? Cell() : Cell(word->second));
  }
  return row;
}

Table verdict_table(const GateResult& result) {
  Table table{"gate",
              {{"baseline", ""},
               {"pairs", "", Align::kRight},
               {"noise_floor", "", Align::kRight},
               {"verdict", ""},
               {"exit_code", "", Align::kRight}},
              {}};
  table.rows.push_back({result.baseline, std::ssize(result.pairs), result.noise_floor,
                        verdict_name(result.verdict), std::int64_t{result.exit_code}});
  return table;
}

}  // namespace

std::vector<Table> gate_tables(const GateResult& result) {
  Table table = comparison_table({});
  const std::vector<Column> of_pair = {{"pair", ""}, {"base_run", ""}, {"new_run", ""}};
  table.columns.insert(table.columns.begin(), of_pair.begin(), of_pair.end());
  const std::string empty = verdict_name(Verdict::kEmpty);
  for (const GatePair& pair : result.pairs) {
    if (!pair.problem.empty()) {
      table.rows.push_back(empty_row(table.columns, {{"pair", pair.label},
                                                     {"base_run", pair.base_run},
                                                     {"new_run", pair.new_run},
                                                     {"verdict", empty},
                                                     {"verdict_text", empty},
                                                     {"note", pair.problem}}));
      continue;
    }
    for (auto& cells : comparison_table(pair.result.comparisons).rows) {
      std::vector<Cell> row = {pair.label, pair.base_run, pair.new_run};
      row.insert(row.end(), cells.begin(), cells.end());
      table.rows.push_back(std::move(row));
    }
  }
  for (const std::string& metric : result.missing) {
    table.rows.push_back(empty_row(table.columns, {{"metric", metric},
                                                   {"verdict", empty},
                                                   {"verdict_text", empty},
                                                   {"note", "no pair of runs has it"}}));
  }
  return {verdict_table(result), std::move(table)};
}

std::string gate_markdown(const GateResult& result) {
  std::string out = fmt::format("## dlmbench gate: {}\n", headline(result.verdict));
  out += fmt::format("\nAgainst baseline `{}`, {} pair{} of runs. ", one_line(result.baseline),
                     result.pairs.size(), result.pairs.size() == 1 ? "" : "s");
  out += result.noise_floor ? fmt::format("Noise floor of speed on this machine: {:.1f} %.\n",
                                          100 * *result.noise_floor)
                            : "Noise floor of speed on this machine: unknown.\n";
  for (const GatePair& pair : result.pairs) {
    out += fmt::format("\n### {}\n\n", one_line(pair.label));
    if (!pair.problem.empty()) {
      out += fmt::format("Not compared (run `{}`): {}\n", pair.base_run, pair.problem);
      continue;
    }
    Table table = comparison_table(pair.result.comparisons);
    table.title.clear();
    out += render(table, "md");
    out += fmt::format("\nA is run `{}`, B run `{}`.", pair.base_run, pair.new_run);
    for (const auto& [name, values] : pair.result.differing)
      out += fmt::format(" {}: {} → {}.", name, one_line(values.first), one_line(values.second));
    out += "\n";
    for (const std::string& note : pair.result.notes) out += fmt::format("Note: {}\n", note);
  }
  for (const std::string& metric : result.missing)
    out += fmt::format("\nNot measured: `{}` is asked for, and no pair of runs has it.\n", metric);
  if (const std::string text = advice(result.verdict); !text.empty())
    out += "\n" + text + "\n";
  return out;
}

}  // namespace dlm
