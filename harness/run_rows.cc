#include "harness/run_rows.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <set>
#include <string_view>
#include <utility>

#include "harness/base/error.h"
#include "harness/base/text.h"
#include "results/table.h"

namespace dlm {
namespace {

constexpr std::size_t kValueWidth = 24;
constexpr std::size_t kRateWidth = 9;

// The estimates that have a column, in their order; a trailing "*" takes any ending.
constexpr std::array<std::pair<const char*, const char*>, 11> kShown{
    {{"accuracy", "*"},
     {"majority_accuracy", "*"},
     {"pass_at_k", "*"},
     {"kl_to_joint", ""},
     {"mauve", ""},
     {"mauve", "ceiling"},
     {"generative_perplexity", "pooled"},
     {"judge_nll_minus_entropy", ""},
     {"unigram_entropy", ""},
     {"repetition", "128 tokens"},
     {"sample_length", "mean"}}};

bool is_shown(const Estimate& estimate, const std::pair<const char*, const char*>& shown) {
  return estimate.metric == shown.first &&
         (std::string_view(shown.second) == "*" || estimate.variant == shown.second);
}

// "0.912 [0.905, 0.919]", with the digits that the interval leaves.
std::string value_text(const Estimate& estimate) {
  const double error = std::hypot(estimate.se_data.value_or(0), estimate.se_mc.value_or(0));
  std::optional<int> decimals = decimals_for_error(error);
  if (!decimals && estimate.ci_low)
    decimals = decimals_for_error((*estimate.ci_high - *estimate.ci_low) / 4);
  if (!decimals)
    return fmt::format("{:.6g}", estimate.value);
  if (!estimate.ci_low)
    return fmt::format("{:.{}f}", estimate.value, *decimals);
  return fmt::format("{:.{}f} [{:.{}f}, {:.{}f}]", estimate.value, *decimals, *estimate.ci_low,
                     *decimals, *estimate.ci_high, *decimals);
}

std::string rate_text(const Cell& cell) {
  if (const auto* number = std::get_if<std::int64_t>(&cell.value))
    return fmt::format("{}", *number);
  const auto* rate = std::get_if<double>(&cell.value);
  return rate == nullptr ? "" : fmt::format("{:.4g}", *rate);
}

std::string escaped(const std::string& text) {
  return replaced(text, "|", "\\|");
}

// One cell: its text, and how wide the column is at least.
struct Padded {
  std::string header, text;
  std::size_t width;
};

void print_line(const std::vector<Padded>& cells, std::string Padded::*member) {
  std::string line = "|";
  for (const Padded& cell : cells) {
    const std::string text = escaped(cell.*member);
    const std::size_t width = std::max(cell.width, display_width(escaped(cell.header)));
    const std::size_t used = display_width(text);
    line += " " + text + std::string(width > used ? width - used : 0, ' ') + " |";
  }
  fmt::print("{}\n", line);
}

void print_header(const std::vector<Padded>& cells) {
  print_line(cells, &Padded::header);
  std::string line = "|";
  for (const Padded& cell : cells)
    line += std::string(std::max(cell.width, display_width(escaped(cell.header))) + 2, '-') + "|";
  fmt::print("{}\n", line);
}

}  // namespace

RunRows::RunRows(std::span<const RunSpec> specs) {
  for (const auto& field : run_fields().fields()) {
    std::set<std::string> values;
    std::size_t width = 0;
    for (const RunSpec& spec : specs) {
      values.insert(field_text(field.get(spec)));
      width = std::max(width, display_width(escaped(*values.rbegin())));
    }
    if (values.size() < 2 || field.key == "metrics")
      continue;
    for (const std::string& value : values) width = std::max(width, display_width(escaped(value)));
    settings_.push_back({field.key, replaced(field_flag(field.key), "-", "_"), width});
  }
}

void RunRows::print(Store& store, const std::string& run_id, const RunSpec& spec) {
  std::vector<Padded> cells;
  for (const Setting& setting : settings_) {
    cells.push_back(
        {setting.name, field_text(run_fields().at(setting.key).get(spec)), setting.width});
  }
  const std::vector<Estimate> estimates = store.estimates(run_id);
  for (const auto& shown : kShown) {
    for (const Estimate& estimate : estimates) {
      if (!is_shown(estimate, shown))
        continue;
      const std::string name =
          estimate.variant.empty() ? estimate.metric : estimate.metric + " " + estimate.variant;
      cells.push_back({name, value_text(estimate), kValueWidth});
    }
  }
  const std::array<Cell, 1> parameters = {run_id};
  const Table cost = store.query(
      "SELECT n_rows, nfe, tokens_per_forward, tokens_per_second_accepted, "
      "tokens_per_second_canvas FROM v_speed WHERE run_id=?",
      parameters);
  constexpr std::array kNames{"texts", "NFE", "tokens/forward", "tokens/s accepted",
                              "tokens/s canvas"};
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    cells.push_back({kNames[i], cost.rows.empty() ? "" : rate_text(cost.rows[0][i]), kRateWidth});
  }
  std::vector<std::string> header;
  for (const Padded& cell : cells) header.push_back(cell.header);
  if (header != header_) {
    if (!header_.empty())
      fmt::print("\n");
    print_header(cells);
    header_ = std::move(header);
  }
  print_line(cells, &Padded::text);
  std::fflush(stdout);
}

}  // namespace dlm
