#include "harness/base/error.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace dlm {
namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0U : 1U)});
      diagonal = above;
    }
  }
  return row.back();
}

}  // namespace

ConfigError::ConfigError(std::string_view field, std::string_view value, std::string_view allowed)
    : Error(fmt::format("{} = '{}': {}", field, value, allowed)) {}

DataError::DataError(std::string_view path, std::int64_t offset, std::string_view expected,
                     std::string_view found)
    : Error(offset < 0 ? fmt::format("{}: expected {}, found {}", path, expected, found)
                       : fmt::format("{}: at byte {}: expected {}, found {}", path, offset,
                                     expected, found)) {}

std::string nearest_name(std::string_view name, std::span<const std::string> known) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, name.size() / 2);
  for (const std::string& candidate : known) {
    const std::size_t distance = edit_distance(name, candidate);
    if (distance < best_distance || (distance == best_distance && best.empty())) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

ConfigError unknown_name(std::string_view field, std::string_view value,
                         std::span<const std::string> known) {
  const std::string near = nearest_name(value, known);
  if (!near.empty()) {
    return ConfigError(field, value, fmt::format("unknown; did you mean '{}'?", near));
  }
  return ConfigError(field, value, fmt::format("unknown; known are {}", fmt::join(known, ", ")));
}

namespace detail {

void check_failed(const char* file, int line, const char* condition, const std::string& message) {
  throw InternalError(
      fmt::format("internal error at {}:{}: {} ({})", file, line, message, condition));
}

}  // namespace detail
}  // namespace dlm
