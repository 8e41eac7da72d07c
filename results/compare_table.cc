// A comparison as tables.
#include <algorithm>

#include <fmt/format.h>

#include "results/compare.h"

namespace dlm {
namespace {

// Enough decimals for the difference to show two significant digits of its uncertainty.
std::optional<int> decimals_of(const Comparison& comparison) {
  if (comparison.relative)
    return std::nullopt;
  if (comparison.std_error && *comparison.std_error > 0)
    return decimals_for_error(*comparison.std_error);
  return std::nullopt;
}

std::string number(double value, const std::optional<int>& decimals) {
  return decimals ? fmt::format("{:.{}f}", value, *decimals) : fmt::format("{:.5g}", value);
}

std::string signed_number(double value, const std::optional<int>& decimals) {
  return (value > 0 ? "+" : "") + number(value, decimals);
}

std::string percent(double value) {
  return fmt::format("{:+.2f} %", 100 * value);
}

std::string p_text(const std::optional<double>& p) {
  if (!p)
    return "";
  if (*p < 1e-300)
    return "<1e-300";
  return *p < 1e-4 ? fmt::format("{:.0e}", *p) : fmt::format("{:.2g}", *p);
}

Cell difference_text(const Comparison& comparison) {
  return comparison.relative ? percent(comparison.difference)
                             : signed_number(comparison.difference, decimals_of(comparison));
}

Cell interval_text(const Comparison& comparison) {
  if (!comparison.interval)
    return {};
  const auto& [low, high] = *comparison.interval;
  if (comparison.relative)
    return fmt::format("[{}, {}]", percent(low), percent(high));
  const auto decimals = decimals_of(comparison);
  return fmt::format("[{}, {}]", signed_number(low, decimals), signed_number(high, decimals));
}

Cell margin_text(const Comparison& comparison) {
  if (comparison.relative)
    return fmt::format("±{:.3g} %", 100 * comparison.margin);
  return fmt::format("±{:.3g}", comparison.margin);
}

std::string verdict_text(const Comparison& comparison) {
  std::string text = verdict_name(comparison.verdict);
  if (comparison.verdict != Verdict::kAmbiguous || comparison.needed <= 0)
    return text;
  if (comparison.needed <= comparison.n_units)
    return text + ": the difference is near the margin";
  return text + fmt::format(": about {} units for 80 % power", comparison.needed);
}

std::vector<Column> comparison_columns() {
  constexpr Align kRight = Align::kRight;
  constexpr Align kLeft = Align::kLeft;
  constexpr Audience kPeople = Audience::kPeople;
  constexpr Audience kPrograms = Audience::kPrograms;
  return {{"metric", ""},
          {"arrow", " ", kLeft, kPeople},
          {"better", "", kLeft, kPrograms},
          {"unit", "", kLeft, kPrograms},
          {"a", "A", kRight},
          {"b", "B", kRight},
          {"difference_text", "B-A", kRight, kPeople},
          {"interval_text", "95% CI", kRight, kPeople},
          {"verdict_text", "verdict", kLeft, kPeople},
          {"difference", "", kRight, kPrograms},
          {"relative", "", kLeft, kPrograms},
          {"std_error", "", kRight, kPrograms},
          {"ci_low", "", kRight, kPrograms},
          {"ci_high", "", kRight, kPrograms},
          {"ci_method", "", kLeft, kPrograms},
          {"pairing", ""},
          {"test", ""},
          {"p_text", "p", kRight, kPeople},
          {"p", "", kRight, kPrograms},
          {"p_adjusted", "", kRight, kPrograms},
          {"margin_text", "margin", kRight, kPeople},
          {"margin", "", kRight, kPrograms},
          {"n", "", kRight, kPrograms},
          {"units", "", kRight},
          {"verdict", "", kLeft, kPrograms},
          {"needed_units", "", kRight, kPrograms},
          {"note", ""}};
}

std::vector<Cell> comparison_cells(const Comparison& c) {
  const auto decimals = decimals_of(c);
  const Cell low = c.interval ? Cell(c.interval->low) : Cell();
  const Cell high = c.interval ? Cell(c.interval->high) : Cell();
  const auto value = [&](double number_of) {
    return decimals ? Cell(number_of, *decimals) : Cell(number_of);
  };
  return {c.metric,
          c.better == "hi" ? "↑" : "↓",
          c.better,
          c.unit,
          value(c.a),
          value(c.b),
          difference_text(c),
          interval_text(c),
          verdict_text(c),
          c.difference,
          c.relative ? "yes" : "no",
          c.std_error,
          low,
          high,
          c.interval_method,
          c.pairing,
          c.test,
          p_text(c.p_adjusted),
          c.p,
          c.p_adjusted,
          margin_text(c),
          c.margin,
          c.n,
          c.n_units,
          verdict_name(c.verdict),
          c.needed,
          c.note};
}

}  // namespace

Table comparison_table(std::span<const Comparison> comparisons) {
  Table table{"comparison", comparison_columns(), {}};
  for (const Comparison& one : comparisons) table.rows.push_back(comparison_cells(one));
  return table;
}

std::vector<Table> comparison_tables(const CompareResult& result) {
  std::vector<Table> tables = {comparison_table(result.comparisons)};
  Table settings{"settings that differ", {{"setting", ""}, {"a", "A"}, {"b", "B"}}, {}};
  for (const auto& [name, values] : result.differing)
    settings.rows.push_back({name, values.first, values.second});
  if (!settings.rows.empty())
    tables.push_back(std::move(settings));
  return tables;
}

}  // namespace dlm
