#include "harness/score_loop.h"

#include <algorithm>
#include <chrono>
#include <numeric>

#include "harness/base/error.h"
#include "harness/pass_cost.h"

namespace dlm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kBatchesPerStretch = 32;

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

void add_score(const WindowScore& score, ExampleRow& row) {
  row.nll += score.nll;
  row.nll_m2 += score.nll_m2;
  row.n_mc = score.n_mc;
  row.tokens += score.tokens;
  row.counts.passes += score.passes;
  row.counts.head_rows += score.head_rows;
}

class ScoreLoop {
 public:
  ScoreLoop(const WindowScorer& scorer, std::span<const ScoringUnit> units,
            const std::set<std::string>& done)
      : scorer_(scorer), units_(units) {
    std::uint64_t windows = 0;
    for (const ScoringUnit& unit : units) {
      open_.push_back(open_unit(unit));
      done_.push_back(done.contains(unit.id));
      first_example_.push_back(windows);
      windows += unit.windows.size();
    }
  }

  bool needed(const BatchRefs& batch) const {
    return std::any_of(batch.begin(), batch.end(),
                       [&](const WindowRef& ref) { return !done_[ref.unit]; });
  }

  // Scores the batch and hands over the rows of the units it finished.
  Continue score(const BatchRefs& batch, const RowSink& sink) {
    std::vector<WindowJob> jobs;
    std::int64_t ids = 0;
    for (const WindowRef& ref : batch) {
      jobs.push_back(
          {&units_[ref.unit].windows[ref.window], first_example_[ref.unit] + ref.window});
      ids += std::ssize(jobs.back().window->ids);
    }
    const PassCounts before = scorer_.counts();
    const auto start = Clock::now();
    const std::vector<WindowScore> scores = scorer_.score(jobs);
    const auto wall = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start);
    PassCounts counts = scorer_.counts() - before;
    counts.head_rows = 0;  // each window knows its own
    PassCost cost(counts, wall.count(), ids);
    std::vector<ExampleRow> finished;
    std::int64_t tokens = 0;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      OpenUnit& open = open_[batch[i].unit];
      cost.take_share(std::ssize(jobs[i].window->ids), open.row);
      add_score(scores[i], open.row);
      tokens += scores[i].tokens;
      if (--open.windows_left == 0 && !done_[batch[i].unit])
        finished.push_back(open.row);
    }
    return sink(finished, tokens);
  }

 private:
  const WindowScorer& scorer_;
  std::span<const ScoringUnit> units_;
  std::vector<OpenUnit> open_;
  std::vector<bool> done_;
  std::vector<std::uint64_t> first_example_;  // of each unit's windows
};

}  // namespace

std::vector<BatchRefs> make_batches(std::span<const ScoringUnit> units, std::int64_t batch_size,
                                    BatchOrder order) {
  DLM_CHECK(batch_size > 0, "batch size {}", batch_size);
  std::vector<WindowRef> refs;
  for (std::size_t u = 0; u < units.size(); ++u) {
    for (std::size_t w = 0; w < units[u].windows.size(); ++w) refs.push_back({u, w});
  }
  const auto longer = [&](const WindowRef& a, const WindowRef& b) {
    return units[a.unit].windows[a.window].ids.size() > units[b.unit].windows[b.window].ids.size();
  };
  const auto size = static_cast<std::size_t>(batch_size);
  const std::size_t stretch = size * kBatchesPerStretch;
  std::vector<BatchRefs> batches;
  for (std::size_t first = 0; first < refs.size(); first += stretch) {
    const std::size_t last = std::min(first + stretch, refs.size());
    const auto begin = refs.begin() + static_cast<std::ptrdiff_t>(first);
    const auto end = refs.begin() + static_cast<std::ptrdiff_t>(last);
    if (order == BatchOrder::kByLength)
      std::stable_sort(begin, end, longer);
    for (std::size_t i = first; i < last; i += size) {
      batches.emplace_back(refs.begin() + static_cast<std::ptrdiff_t>(i),
                           refs.begin() + static_cast<std::ptrdiff_t>(std::min(i + size, last)));
    }
  }
  return batches;
}

void score_units(const WindowScorer& scorer, std::span<const ScoringUnit> units,
                 std::span<const BatchRefs> batches, const std::set<std::string>& done,
                 const RowSink& sink) {
  ScoreLoop loop(scorer, units, done);
  for (const BatchRefs& batch : batches) {
    if (loop.needed(batch) && loop.score(batch, sink) == Continue::kNo)
      return;
  }
}

}  // namespace dlm
