#include "results/html_report.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <vector>

#include "harness/base/error.h"
#include "harness/base/text.h"
#include "results/compare.h"
#include "results/html.h"
#include "results/html_samples.h"
#include "results/plot_data.h"
#include "results/report.h"

namespace dlm {

namespace embedded {
extern const std::string_view results_report_css;
extern const std::string_view results_report_js;
}  // namespace embedded

namespace {

Table query(Store& store, const char* sql, const std::string& run_id) {
  const std::array<Cell, 1> parameters = {run_id};
  return store.query(sql, parameters);
}

std::string text_of(const Cell& cell) {
  return cell_for_people(cell);
}

// A table of the given query over every run.
Table over_runs(Store& store, std::span<const std::string> run_ids, const char* sql) {
  Table all;
  for (const std::string& run_id : run_ids) {
    Table one = query(store, sql, run_id);
    if (all.columns.empty())
      all.columns = one.columns;
    for (auto& row : one.rows) all.rows.push_back(std::move(row));
  }
  return all;
}

std::string runs_section(Store& store, std::span<const std::string> run_ids) {
  Table runs = over_runs(
      store, run_ids,
      "SELECT run_id AS run, model, task, status, n_docs AS documents, started_at AS started, "
      "round(wall_ns/1e9,3) AS seconds, cpu, gpu, threads, torch, git_commit AS \"commit\", "
      "iif(dirty,'changed since','') AS tree, error FROM v_run WHERE run_id=?");
  // A column of nothing tells nothing.
  for (std::size_t i = 0; i < runs.columns.size(); ++i) {
    const bool empty = std::all_of(runs.rows.begin(), runs.rows.end(),
                                   [i](const auto& row) { return text_of(row[i]).empty(); });
    if (empty)
      runs.columns[i].audience = Audience::kPrograms;
  }
  return "<h2 id=\"runs\">What ran where</h2>\n" + html_table(runs);
}

// Runs of one task, in order, in the order of the tasks' first runs.
std::vector<std::vector<std::string>> by_task(Store& store, std::span<const std::string> run_ids) {
  std::vector<std::vector<std::string>> groups;
  std::map<std::string, std::size_t> places;
  for (const std::string& run_id : run_ids) {
    const Table found = query(store, "SELECT task FROM v_run WHERE run_id=?", run_id);
    const auto [place, is_new] = places.try_emplace(text_of(found.rows.at(0)[0]), groups.size());
    if (is_new)
      groups.emplace_back();
    groups[place->second].push_back(run_id);
  }
  return groups;
}

constexpr std::size_t kLongTable = 30;

// A long table begins with the metrics that have a better side; what only describes (lengths of
// texts, margins) is folded up behind it.
std::string folded_table(const Table& table) {
  const auto better = std::find_if(table.columns.begin(), table.columns.end(),
                                   [](const Column& column) { return column.name == "better"; });
  if (table.rows.size() <= kLongTable || better == table.columns.end())
    return html_table(table);
  Table first{table.title, table.columns, {}}, rest = first;
  const auto place = static_cast<std::size_t>(better - table.columns.begin());
  for (const auto& row : table.rows)
    (text_of(row[place]) == "none" ? rest : first).rows.push_back(row);
  if (first.rows.empty() || rest.rows.empty())
    return html_table(table);
  return html_table(first) +
         fmt::format("<details><summary>{} more, which describe</summary>\n{}</details>\n",
                     rest.rows.size(), html_table(rest));
}

// A table a task: the settings that differ within it are its columns.
std::string estimates_section(Store& store, std::span<const std::string> run_ids) {
  std::string out =
      "<h2 id=\"results\">Results</h2>\n<p class=\"note\">± data is the standard error over "
      "documents, ± mc that of the Monte-Carlo estimate given the documents; ≤ marks an upper "
      "bound. A click on a column sorts.</p>\n";
  for (const auto& group : by_task(store, run_ids)) {
    Table table = estimates_table(store, group);
    if (table.rows.empty())
      continue;
    out += fmt::format("<h3>{}</h3>\n", html_text(text_of(table.rows[0][2])));
    table.columns[2].audience = Audience::kPrograms;  // the task is in the heading
    out += folded_table(table);
  }
  return out;
}

std::string comparison_html(Store& store, const std::string& base, const std::string& other) {
  try {
    const CompareResult result = compare_runs({&store, base}, {&store, other}, {});
    if (result.comparisons.empty())
      return "";
    Table table = comparison_table(result.comparisons);
    std::string differing;
    for (const auto& [name, values] : result.differing) {
      if (name.find("sha256") == std::string::npos)
        differing += fmt::format("{}{}: {} → {}", differing.empty() ? "" : "; ", name, values.first,
                                 values.second);
    }
    const std::string title = result.a.model == result.b.model
                                  ? result.b.model
                                  : result.b.model + " against " + result.a.model;
    const std::string out = fmt::format(
        "<h3>{}</h3>\n<p class=\"note\">{}{}B is run <a href=\"#{}\">{}</a>, A run <a "
        "href=\"#{}\">{}</a>.</p>\n",
        html_text(title), html_text(differing), differing.empty() ? "" : ". ", run_anchor(other),
        other, run_anchor(base), base);
    return out + html_table(table, [](const std::vector<Cell>& row) {
             for (const Cell& cell : row) {
               const std::string text = text_of(cell);
               if (text == "worse" || text == "better")
                 return text;
             }
             return std::string();
           });
  } catch (const ConfigError&) {
    return "";  // unlike data: the report claims nothing about them
  }
}

std::string comparisons_section(Store& store, std::span<const std::string> run_ids,
                                std::int64_t most) {
  std::string out;
  for (const auto& group : by_task(store, run_ids)) {
    for (std::size_t i = 1; i < group.size() && most > 0; ++i, --most)
      out += comparison_html(store, group[0], group[i]);
  }
  return out.empty() ? ""
                     : "<h2 id=\"differences\">Differences</h2>\n<p class=\"note\">Paired by "
                       "document; p by Holm over the metrics of a pair.</p>\n" +
                           out;
}

// gnuplot's SVG without what belongs to a file of its own.
std::string inline_svg(const Plot& plot) {
  std::string svg = plot_svg(plot);
  svg.erase(0, svg.find("<svg"));
  const std::string title = "<title>Gnuplot</title>";
  if (const auto at = svg.find(title); at != std::string::npos)
    svg.replace(at, title.size(), "<title>" + html_text(plot.title) + "</title>");
  return svg;
}

struct Plots {
  std::string html;
  std::string problem;
};

Plots plots_section(Store& store, std::span<const std::string> run_ids) {
  Plots plots;
  std::set<std::string> drawn;
  for (const auto& group : by_task(store, run_ids)) {
    if (group.size() < 2)
      continue;
    for (const char* kind : {"frontier", "perplexity", "mauve", "variance"}) {
      try {
        const Plot plot = make_plot(store, group, {kind, "", ""});
        const Table data = plot_table(plot);
        if (data.rows.size() < 2)
          continue;
        plots.html += "<figure>" + inline_svg(plot) + "<details><summary>data</summary>" +
                      html_table(data) + "</details></figure>\n";
      } catch (const ConfigError&) {
        continue;  // these runs have nothing of the kind
      } catch (const DataError& error) {
        plots.problem = error.what();
        return plots;
      }
    }
  }
  if (!plots.html.empty())
    plots.html = "<h2 id=\"plots\">Plots</h2>\n<div class=\"plots\">" + plots.html + "</div>\n";
  return plots;
}

std::string settings_section(Store& store, std::span<const std::string> run_ids) {
  std::string out = "<h2 id=\"settings\">Settings, and how to repeat</h2>\n";
  for (const std::string& run_id : run_ids) {
    const Table run = query(store, "SELECT model, task, cmdline FROM v_run WHERE run_id=?", run_id);
    out += fmt::format(
        "<details id=\"{}\"><summary>{}: {} on {}</summary>\n<code class=\"command\">{}</code>\n",
        run_anchor(run_id), run_id, html_text(text_of(run.rows.at(0)[0])),
        html_text(text_of(run.rows.at(0)[1])), html_text(text_of(run.rows.at(0)[2])));
    for (const Table& table : show_tables(store, run_id)) {
      if (table.title != "estimates")
        out += fmt::format("<h3>{}</h3>\n{}", html_text(table.title), html_table(table));
    }
    out += "</details>\n";
  }
  return out;
}

std::string page(const std::string& title, const std::string& body) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
      "style-src "
      "'unsafe-inline'; script-src '{}'; base-uri 'none'; form-action 'none'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
      "<link rel=\"icon\" href=\"data:,\">\n<title>{}</title>\n<style>{}</style></head>\n<body>\n"
      "{}<script>{}</script>\n</body></html>\n",
      csp_hash(embedded::results_report_js), html_text(title), embedded::results_report_css, body,
      embedded::results_report_js);
}

}  // namespace

ReportPage html_report(Store& store, std::span<const std::string> run_ids,
                       const ReportOptions& options) {
  if (run_ids.empty())
    throw ConfigError("run", "", "no run is selected: nothing to report");
  const Plots plots = plots_section(store, run_ids);
  const std::vector<std::string> sections = {
      estimates_section(store, run_ids),
      comparisons_section(store, run_ids, options.most_comparisons),
      plots.html,
      samples_section(store, by_task(store, run_ids), options),
      runs_section(store, run_ids),
      settings_section(store, run_ids)};
  std::string body = fmt::format("<h1>{}</h1>\n<nav>", html_text(options.title));
  for (const auto& [id, name] :
       std::initializer_list<std::pair<std::string, std::string>>{{"results", "Results"},
                                                                  {"differences", "Differences"},
                                                                  {"plots", "Plots"},
                                                                  {"samples", "Samples"},
                                                                  {"runs", "Runs"},
                                                                  {"settings", "Settings"}}) {
    const bool there = std::any_of(sections.begin(), sections.end(), [&id](const auto& section) {
      return section.starts_with("<h2 id=\"" + id + "\"");
    });
    if (there)
      body += fmt::format("<a href=\"#{}\">{}</a>", id, name);
  }
  body += "</nav>\n";
  if (!plots.problem.empty())
    body += fmt::format("<p class=\"note\">No plots: {}</p>\n", html_text(plots.problem));
  for (const std::string& section : sections) body += section;
  return {page(options.title, body), plots.problem};
}

}  // namespace dlm
