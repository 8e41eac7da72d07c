#include "models/diffusion/query_queue.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "harness/base/error.h"

namespace dlm {

QueryQueue::QueryQueue(const Denoiser& denoiser, const CleanContext& context,
                       std::int64_t chunk_positions, Consumer consumer)
    : denoiser_(denoiser),
      context_(context),
      chunk_queries_(static_cast<std::size_t>(
          std::max<std::int64_t>(1, chunk_positions / context.block_size()))),
      consumer_(std::move(consumer)) {}

void QueryQueue::add(WeightedQuery query) {
  if (query.query.masked.empty())
    return;
  queries_.push_back(query.query);
  waiting_.push_back(std::move(query));
  if (waiting_.size() >= chunk_queries_)
    flush();
}

void QueryQueue::flush() {
  if (waiting_.empty())
    return;
  const auto terms = denoiser_.token_terms(context_, queries_);
  DLM_CHECK(terms.size() == waiting_.size(), "{} results for {} queries", terms.size(),
            waiting_.size());
  for (std::size_t q = 0; q < terms.size(); ++q) {
    const MaskQuery& query = queries_[q];
    DLM_CHECK(terms[q].size() == query.masked.size(), "{} terms for {} masked positions",
              terms[q].size(), query.masked.size());
    for (const double term : terms[q])
      DLM_CHECK(std::isfinite(term), "{}: a term of sequence {}, block {} is {}",
                denoiser_.info().family, query.sequence, query.block, term);
    consumer_(waiting_[q], terms[q]);
  }
  waiting_.clear();
  queries_.clear();
}

}  // namespace dlm
