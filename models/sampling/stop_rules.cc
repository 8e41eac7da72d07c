#include "models/sampling/stop_rules.h"

#include <algorithm>
#include <cmath>

namespace dlm {

double unigram_entropy(std::span<const std::int64_t> ids) {
  std::vector<std::int64_t> sorted(ids.begin(), ids.end());
  std::sort(sorted.begin(), sorted.end());
  double entropy = 0;
  for (auto begin = sorted.begin(); begin != sorted.end();) {
    const auto end = std::upper_bound(begin, sorted.end(), *begin);
    const double share = static_cast<double>(end - begin) / static_cast<double>(sorted.size());
    entropy -= share * std::log(share);
    begin = end;
  }
  return std::max(entropy, 0.0);
}

std::optional<StopPoint> find_stop(std::span<const std::int64_t> ids, std::int64_t prompt,
                                   std::int64_t checked, const StopRules& rules) {
  const std::int64_t length = std::ssize(ids);
  if (rules.entropy_floor > 0 && length > kEntropyWindow && length - prompt >= kEntropyWindow) {
    const auto last = ids.last(static_cast<std::size_t>(kEntropyWindow));
    if (unigram_entropy(last) < rules.entropy_floor)
      return StopPoint{Stop::kEntropy, length - kEntropyWindow};
  }
  for (std::int64_t i = std::max(prompt, checked); i < length; ++i) {
    const std::int64_t id = ids[static_cast<std::size_t>(i)];
    if (std::find(rules.stop_ids.begin(), rules.stop_ids.end(), id) != rules.stop_ids.end())
      return StopPoint{Stop::kStopId, i + 1};
  }
  if (rules.text != nullptr && length > prompt &&
      rules.text->is_over(ids.subspan(static_cast<std::size_t>(prompt))))
    return StopPoint{Stop::kText, length};
  return std::nullopt;
}

}  // namespace dlm
