// Exact worlds as denoisers, and what estimators give on them, for the tests of this folder.
#pragma once

#include <memory>
#include <numeric>
#include <string_view>
#include <vector>

#include "models/diffusion/estimator.h"
#include "models/exact/exact_denoiser.h"

namespace dlm::testing {

using Ids = std::vector<std::int64_t>;

// Documents 0 .. count - 1 of seed 1.
inline std::vector<Ids> documents_of(const ExactWorld& world, std::uint64_t count,
                                     std::int64_t length) {
  std::vector<Ids> documents;
  for (std::uint64_t i = 0; i < count; ++i) documents.push_back(world.draw(1, i, length));
  return documents;
}

inline std::vector<std::uint64_t> numbers(std::size_t count, std::uint64_t first = 0) {
  std::vector<std::uint64_t> result(count);
  std::iota(result.begin(), result.end(), first);
  return result;
}

inline LikelihoodEstimates estimate(const Denoiser& denoiser, const std::vector<Ids>& sequences,
                                    const EstimatorOptions& options) {
  return estimate_likelihood(denoiser, sequences, numbers(sequences.size()), options);
}

// -log p of a document; of what follows its first token where that is given.
inline double true_nats(const ExactWorld& world, const Ids& ids, std::string_view first_token) {
  const double all = -world.log_probability(ids);
  return first_token == "scored" ? all : all + world.log_probability(std::span(ids).first(1));
}

}  // namespace dlm::testing
