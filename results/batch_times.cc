#include "results/batch_times.h"

#include <algorithm>
#include <array>
#include <limits>

namespace dlm {
namespace {

// A row's part of its batch, and the range of what one pass or id of that batch took: the parts are
// rounded to whole nanoseconds, each by less than one.
struct Share {
  BatchTime time;
  double low = 0, high = 0;
};

// Rows of a benchmark are repeats, timed one by one.
std::int64_t most_rows_in_a_batch(Store& store, const std::string& run_id) {
  const std::array<Cell, 1> parameters = {run_id};
  std::int64_t most = std::numeric_limits<std::int64_t>::max();
  store.scan(
      "SELECT iif(task_kind='bench',1,json_extract(spec_json,'$.batch_size')) FROM v_run WHERE "
      "run_id=?",
      parameters, [&](const Statement& row) {
        if (row.integer(0) > 0)
          most = row.integer(0);
      });
  return most;
}

std::vector<Share> shares_of(Store& store, const std::string& run_id) {
  const std::array<Cell, 1> parameters = {run_id};
  std::vector<Share> shares;
  store.scan(
      "SELECT coalesce(kept_tok,n_tok), wall_ns, iif(canvas_tok>0,nfe+1,prompt_tok+n_tok) FROM "
      "sample WHERE run_id=? ORDER BY doc_id, rep",
      parameters, [&](const Statement& row) {
        const double ns = row.real(1);
        const double weight = std::max(1.0, row.real(2));
        shares.push_back({{row.real(0), ns, 1}, (ns - 1) / weight, (ns + 1) / weight});
      });
  return shares;
}

}  // namespace

std::vector<BatchTime> batch_times(Store& store, const std::string& run_id) {
  const std::int64_t most = most_rows_in_a_batch(store, run_id);
  std::vector<Share> shares = shares_of(store, run_id);
  // The fewest batches that explain the shares: each ends where its first range ends.
  std::stable_sort(shares.begin(), shares.end(),
                   [](const Share& a, const Share& b) { return a.high < b.high; });
  std::vector<BatchTime> batches;
  double end = 0;
  for (const Share& share : shares) {
    if (batches.empty() || share.low > end || batches.back().rows >= most) {
      batches.push_back(share.time);
      end = share.high;
      continue;
    }
    batches.back().tokens += share.time.tokens;
    batches.back().ns += share.time.ns;
    ++batches.back().rows;
  }
  return batches;
}

}  // namespace dlm
