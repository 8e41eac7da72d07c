#include "harness/sweep.h"

#include <algorithm>
#include <optional>

#include "harness/base/error.h"
#include "harness/base/text.h"

namespace dlm {
namespace {

constexpr std::size_t kMostRuns = 10000;

struct Range {
  std::int64_t first, last, step;
  bool multiply;
};

// "a-b", "a-b+s" or "a-b*m" with a, b >= 0.
std::optional<Range> parse_range(std::string_view text) {
  const auto dash = text.find('-', 1);
  if (dash == std::string_view::npos)
    return std::nullopt;
  std::string_view rest = text.substr(dash + 1);
  const auto sign = rest.find_first_of("+*");
  const auto first = parse_int(text.substr(0, dash));
  const auto last = parse_int(rest.substr(0, sign));
  const auto step = sign == std::string_view::npos ? std::optional<std::int64_t>(1)
                                                   : parse_int(rest.substr(sign + 1));
  if (!first || !last || !step)
    return std::nullopt;
  return Range{*first, *last, *step, sign != std::string_view::npos && rest[sign] == '*'};
}

void append_range(const std::string& key, std::string_view text, const Range& range,
                  std::vector<std::string>& out) {
  const bool grows = range.multiply ? range.step >= 2 && range.first >= 1 : range.step >= 1;
  if (!grows || range.last < range.first) {
    throw ConfigError(key, text,
                      "is an empty or endless range; write FIRST-LAST+STEP or FIRST-LAST*FACTOR");
  }
  for (std::int64_t v = range.first; v <= range.last;) {
    out.push_back(std::to_string(v));
    if (out.size() > kMostRuns)
      throw ConfigError(key, text, "has more than 10000 values");
    // Both steps are checked against `last` without overflow.
    if (range.multiply ? v > range.last / range.step : v > range.last - range.step)
      break;
    v = range.multiply ? v * range.step : v + range.step;
  }
}

std::size_t table_order(const std::string& key) {
  const auto& fields = run_fields().fields();
  const auto it =
      std::find_if(fields.begin(), fields.end(), [&](const auto& f) { return f.key == key; });
  return static_cast<std::size_t>(it - fields.begin());
}

}  // namespace

SweepAxis make_axis(const std::string& key, std::string_view text) {
  const FieldValue like = run_fields().at(key).get(RunSpec());
  if (std::holds_alternative<std::vector<std::string>>(like))
    return {key, {std::string(text)}};
  const bool whole_number =
      std::holds_alternative<std::int64_t>(like) || std::holds_alternative<std::uint64_t>(like);
  SweepAxis axis{key, {}};
  for (const std::string& item : split(text, ',')) {
    const auto range = whole_number ? parse_range(item) : std::nullopt;
    if (range) {
      append_range(key, item, *range, axis.values);
    } else {
      axis.values.push_back(item);
    }
  }
  return axis;
}

std::vector<RunSpec> expand(const RunSpec& base, std::vector<SweepAxis> axes) {
  std::stable_sort(axes.begin(), axes.end(), [](const SweepAxis& a, const SweepAxis& b) {
    return table_order(a.key) < table_order(b.key);
  });
  std::vector<RunSpec> specs{base};
  for (const SweepAxis& axis : axes) {
    if (specs.size() * axis.values.size() > kMostRuns) {
      throw ConfigError(axis.key, std::to_string(axis.values.size()),
                        "the sweep has more than 10000 runs");
    }
    std::vector<RunSpec> next;
    for (const RunSpec& spec : specs) {
      for (const std::string& value : axis.values) {
        next.push_back(spec);
        run_fields().set_text(next.back(), run_fields().at(axis.key), value);
      }
    }
    specs = std::move(next);
  }
  return specs;
}

}  // namespace dlm
