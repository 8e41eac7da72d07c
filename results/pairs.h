// Two stored runs joined document by document.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "results/store.h"

namespace dlm {

// What a run is, beside its rows. Texts are empty where the store does not know.
struct RunFacts {
  std::string run_id, model, family, task, status, tokenizer_sha256, env_id, estimator;
  std::string pairing_key;  // equal in two runs: their Monte-Carlo draws are the same
  std::string measured;     // equal in two runs: the same thing was measured, by whatever program
  bool smoke = false;
  std::map<std::string, std::string>
      settings;  // spec, content hashes, program and machine, by name
};

// Throws InternalError where there is no such run.
RunFacts run_facts(Store& store, const std::string& run_id);

// The settings of which A and B hold different values: name, (A's, B's).
std::map<std::string, std::pair<std::string, std::string>> differing_facts(const RunFacts& a,
                                                                           const RunFacts& b);

// The numbers of one row of table sample.
struct RowNumbers {
  std::optional<double> score;
  std::optional<double> nll;  // nats
  double nll_m2 = 0;
  std::int64_t n_mc = 0;
  std::int64_t tokens = 0;  // scored
  std::int64_t bytes = 0;
  std::int64_t kept_tokens = 0;  // accepted where text was generated, else scored
  std::int64_t nfe = 0;
  std::int64_t wall_ns = 0;
};

struct RowPair {
  RowNumbers a, b;
  std::int64_t cluster = 0;  // 0, 1, ...; rows of one cluster are not independent
};

struct Pairing {
  std::vector<RowPair> rows;  // same doc_id, rep and doc_sha, in the order of their ids
  std::int64_t n_clusters = 0;
  std::int64_t changed = 0;  // same doc_id and rep, another text
  std::int64_t only_a = 0, only_b = 0;
  bool same_outputs = true;  // of every pair; where no texts are stored there is no other
};

// Documents without a cluster are their own, with all of their replicates. Reads both runs once;
// holds the rows of A in memory.
Pairing pair_rows(Store& store_a, const std::string& run_a, Store& store_b,
                  const std::string& run_b);

}  // namespace dlm
