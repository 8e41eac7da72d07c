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

// What one pass cost and took, shared out among its windows by their ids: the shares add up to the
// whole.
class PassCost {
 public:
  PassCost(const PassCounts& counts, std::int64_t wall_ns, std::int64_t ids)
      : counts_(counts), wall_ns_(wall_ns), ids_(ids) {}

  void take_share(std::int64_t ids, ExampleRow& row) {
    row.counts.passes += 1;
    row.counts.positions += slice(counts_.positions, ids);
    row.counts.cached_positions += slice(counts_.cached_positions, ids);
    row.counts.flops += counts_.flops * static_cast<double>(ids) / static_cast<double>(ids_);
    row.wall_ns += slice(wall_ns_, ids);
    taken_ += ids;
  }

 private:
  std::int64_t slice(std::int64_t whole, std::int64_t ids) const {
    return up_to(whole, taken_ + ids) - up_to(whole, taken_);
  }

  std::int64_t up_to(std::int64_t whole, std::int64_t ids) const {
    return static_cast<std::int64_t>(static_cast<double>(whole) * static_cast<double>(ids) /
                                     static_cast<double>(ids_));
  }

  PassCounts counts_;
  std::int64_t wall_ns_;
  std::int64_t ids_;
  std::int64_t taken_ = 0;
};

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

  bool needed(const BatchRefs& batch) const {
    return std::any_of(batch.begin(), batch.end(),
                       [&](const WindowRef& ref) { return !done_[ref.unit]; });
  }

  // Scores the batch and hands over the rows of the units it finished.
  void score(const BatchRefs& batch, const RowSink& sink) {
    std::vector<ScoringWindow> windows;
    std::int64_t ids = 0;
    std::int64_t tokens = 0;
    for (const WindowRef& ref : batch) {
      windows.push_back(units_[ref.unit].windows[ref.window]);
      ids += static_cast<std::int64_t>(windows.back().ids.size());
      tokens += scored_tokens(windows.back());
    }
    const PassCounts before = model_.counts();
    const auto start = Clock::now();
    const auto nll = model_.token_nll(windows);
    const auto wall = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start);
    PassCost cost(model_.counts() - before, wall.count(), ids);
    std::vector<ExampleRow> finished;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      OpenUnit& open = open_[batch[i].unit];
      cost.take_share(static_cast<std::int64_t>(windows[i].ids.size()), open.row);
      open.row.nll += std::accumulate(nll[i].begin(), nll[i].end(), 0.0);
      open.row.tokens += scored_tokens(windows[i]);
      open.row.counts.head_rows += scored_tokens(windows[i]);
      if (--open.windows_left == 0 && !done_[batch[i].unit])
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

std::vector<BatchRefs> make_batches(std::span<const ScoringUnit> units, std::int64_t batch_size) {
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
  std::vector<BatchRefs> batches;
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
                 std::span<const BatchRefs> batches, const std::set<std::string>& done,
                 const RowSink& sink) {
  ScoreLoop loop(model, units, done);
  for (const BatchRefs& batch : batches) {
    if (loop.needed(batch))
      loop.score(batch, sink);
  }
}

}  // namespace dlm
