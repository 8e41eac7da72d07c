// The task "draws:WORLD&documents=N&length=L": documents drawn from an exact world, whose entropy
// is known.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dlm {

struct DrawnCorpus {
  std::string name;                            // canonical spec
  std::vector<std::vector<std::int64_t>> ids;  // one list a document
  double entropy_per_token = 0;  // nats: what an exact model of the source scores on average
};

bool is_draws_task(std::string_view task);

// `task` is "draws:markov?v=8&seed=1&documents=200&length=64"; documents default to 200, length to
// the world's own (64 for a Markov source). Document i depends on `seed` and i alone; `limit` > 0
// keeps the first documents. Throws ConfigError.
DrawnCorpus draw_corpus(std::string_view task, std::uint64_t seed, std::int64_t limit);

}  // namespace dlm
