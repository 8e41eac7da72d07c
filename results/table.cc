#include "results/table.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <utf8proc.h>

#include "harness/base/text.h"

namespace dlm {

std::optional<int> decimals_for_error(double std_error) {
  constexpr int kMost = 12;
  if (!std::isfinite(std_error) || std_error <= 0)
    return std::nullopt;
  // Through the printed form, so that an error which rounds up to a power of ten counts as that.
  const std::string printed = fmt::format("{:.1e}", std_error);
  const std::string_view digits = std::string_view(printed).substr(printed.find('e') + 1);
  const std::int64_t exponent = parse_int(digits[0] == '+' ? digits.substr(1) : digits).value_or(0);
  return static_cast<int>(std::clamp<std::int64_t>(1 - exponent, 0, kMost));
}

ValueWithError format_with_error(double value, double std_error) {
  const std::optional<int> decimals = decimals_for_error(std_error);
  if (!decimals.has_value())
    return {fmt::format("{:.6g}", value), std_error == 0 ? "0" : fmt::format("{}", std_error)};
  return {fmt::format("{:.{}f}", value, *decimals), fmt::format("{:.{}f}", std_error, *decimals)};
}

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  for (std::size_t offset = 0; offset < text.size();) {
    const CodePoint point = decode_utf8(text, offset);
    width += static_cast<std::size_t>(
        std::max(0, utf8proc_charwidth(static_cast<utf8proc_int32_t>(point.value))));
    offset += point.bytes;
  }
  return width;
}

}  // namespace dlm
