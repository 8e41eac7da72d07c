#include "harness/score_loop.h"

#include <algorithm>
#include <chrono>
#include <numeric>

#include "harness/base/error.h"

namespace dlm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kBatchesPerStretch = 32;

std::int64_t scored_tokens(const ScoringWindow& window) {
  return static_cast<std::int64_t>(window.ids.size()) - window.first_scored;
}

// A unit's row while its windows come in.
struct OpenUnit {
  ExampleRow row;
  std::size_t windows_left = 0;
};

OpenUnit open_unit(const ScoringUnit& unit) {
  OpenUnit open;
  open.row.doc_id = unit.id;
  open.row.doc_sha = unit.sha;
  open.row.cluster = unit.cluster;
  open.row.bytes = unit.bytes;
  open.row.words = unit.words;
  open.row.prompt_tokens = unit.prompt_tokens;
  open.row.special_tokens = unit.special_tokens;
  open.windows_left = unit.windows.size();
  return open;
}

// What one pass cost and took, to be shared among its windows.
struct PassCost {
  PassCounts counts;
  std::int64_t wall_ns;
  std::int64_t longest;
  std::int64_t tokens;  // of all windows, unpadded
};

void add_window(const ScoringWindow& window, const std::vector<double>& nll, const PassCost& cost,
                ExampleRow& row) {
  row.nll += std::accumulate(nll.begin(), nll.end(), 0.0);
  row.tokens += scored_tokens(window);
  const double share = static_cast<double>(window.ids.size()) / static_cast<double>(cost.tokens);
  row.counts.passes += 1;
  row.counts.positions += cost.longest;
  row.counts.head_rows += scored_tokens(window);
  row.counts.flops += cost.counts.flops * share;
  row.wall_ns += static_cast<std::int64_t>(static_cast<double>(cost.wall_ns) * share);
}

class ScoreLoop {
 public:
  ScoreLoop(const LanguageModel& model, std::span<const ScoringUnit> units,
            const std::set<std::string>& done)
      : model_(model), units_(units) {
    for (const ScoringUnit& unit : units) {
      open_.push_back(open_unit(unit));
      done_.push_back(done.contains(unit.id));
    }
  }

  bool needed(const WindowBatch& batch) const {
    return std::any_of(batch.begin(), batch.end(),
                       [&](const WindowRef& ref) { return !done_[ref.unit]; });
  }

  // Scores the batch and hands over the rows of the units it finished.
  void score(const WindowBatch& batch, const RowSink& sink) {
    std::vector<ScoringWindow> windows;
    PassCost cost{{}, 0, 0, 0};
    for (const WindowRef& ref : batch) {
      windows.push_back(units_[ref.unit].windows[ref.window]);
      const auto length = static_cast<std::int64_t>(windows.back().ids.size());
      cost.longest = std::max(cost.longest, length);
      cost.tokens += length;
    }
    const PassCounts before = model_.counts();
    const auto start = Clock::now();
    const auto nll = model_.token_nll(windows);
    cost.wall_ns =
        std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count();
    cost.counts = model_.counts() - before;
    std::vector<ExampleRow> finished;
    std::int64_t tokens = 0;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      tokens += scored_tokens(windows[i]);
      if (done_[batch[i].unit])
        continue;
      OpenUnit& open = open_[batch[i].unit];
      add_window(windows[i], nll[i], cost, open.row);
      if (--open.windows_left == 0)
        finished.push_back(open.row);
    }
    sink(finished, tokens);
  }

 private:
  const LanguageModel& model_;
  std::span<const ScoringUnit> units_;
  std::vector<OpenUnit> open_;
  std::vector<bool> done_;
};

}  // namespace

std::vector<WindowBatch> make_batches(std::span<const ScoringUnit> units, std::int64_t batch_size) {
  DLM_CHECK(batch_size > 0, "batch size {}", batch_size);
  std::vector<WindowRef> order;
  for (std::size_t u = 0; u < units.size(); ++u) {
    for (std::size_t w = 0; w < units[u].windows.size(); ++w) order.push_back({u, w});
  }
  const auto length = [&](const WindowRef& ref) {
    return units[ref.unit].windows[ref.window].ids.size();
  };
  const auto size = static_cast<std::size_t>(batch_size);
  const std::size_t stretch = size * kBatchesPerStretch;
  std::vector<WindowBatch> batches;
  for (std::size_t first = 0; first < order.size(); first += stretch) {
    const std::size_t last = std::min(first + stretch, order.size());
    const auto begin = order.begin() + static_cast<std::ptrdiff_t>(first);
    const auto end = order.begin() + static_cast<std::ptrdiff_t>(last);
    std::stable_sort(begin, end,
                     [&](const WindowRef& a, const WindowRef& b) { return length(a) > length(b); });
    for (std::size_t i = first; i < last; i += size) {
      batches.emplace_back(order.begin() + static_cast<std::ptrdiff_t>(i),
                           order.begin() + static_cast<std::ptrdiff_t>(std::min(i + size, last)));
    }
  }
  return batches;
}

void score_units(const LanguageModel& model, std::span<const ScoringUnit> units,
                 std::span<const WindowBatch> batches, const std::set<std::string>& done,
                 const RowSink& sink) {
  ScoreLoop loop(model, units, done);
  for (const WindowBatch& batch : batches) {
    if (loop.needed(batch))
      loop.score(batch, sink);
  }
}

}  // namespace dlm
