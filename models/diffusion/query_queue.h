// Gathers masks of many blocks, draws and sequences into few large calls of a model.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "models/diffusion/estimator.h"

namespace dlm {

class QueryQueue {
 public:
  // Gets the terms of each query, in the order the queries were added: sums do not depend on where
  // a chunk ends.
  using Consumer = std::function<void(const WeightedQuery& query, std::span<const double> terms)>;

  // A call of the model holds queries of about `chunk_positions` positions, at least one query.
  QueryQueue(const Denoiser& denoiser, const CleanContext& context, std::int64_t chunk_positions,
             Consumer consumer);

  // Evaluates what has gathered when it makes a chunk; a query without masked positions is dropped.
  void add(WeightedQuery query);

  // Evaluates what is left.
  void flush();

 private:
  const Denoiser& denoiser_;
  const CleanContext& context_;
  std::size_t chunk_queries_;
  Consumer consumer_;
  std::vector<WeightedQuery> waiting_;
  std::vector<MaskQuery> queries_;
};

}  // namespace dlm
