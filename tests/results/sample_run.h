// Runs and rows for the tests of the store: everything is decided by the numbers given.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "harness/base/file.h"
#include "harness/base/random.h"
#include "results/store.h"

namespace dlm::testing {

// The header of a run whose identity is `name`.
inline RunHeader sample_header(const std::string& name) {
  RunHeader header;
  header.identity_json = fmt::format(R"({{"run":"{}"}})", name);
  header.run_key = sha256_hex(header.identity_json);
  header.spec_json = R"({"sampler":{"block_size":4,"name":"ancestral"},"seed":7})";
  header.model_name = "tiny";
  header.family = "bd3lm";
  header.dtype = "f32";
  header.weights_sha256 = "aa";
  header.tokenizer_sha256 = "bb";
  header.model_config_json = "{}";
  header.parameters = 1234;
  header.task_name = "corpus";
  header.task_kind = "likelihood";
  header.data_sha256 = "cc";
  header.task_config_json = R"({"counts":{"dropped_tokens":7},"split":"lines"})";
  header.task_version = 2;
  header.n_docs = 100;
  header.env_json = R"({"cpu":"a cpu","host":"here"})";
  header.build_json = R"({"dirty":true,"git_commit":"abc","numerics_epoch":3})";
  header.seed = 7;
  header.command = "dlmbench run --model tiny";
  return header;
}

// Document `i` of a corpus, with numbers that use all bits of a double.
inline ExampleRow sample_row(std::int64_t i) {
  const RandomStream draw(1, Purpose::kTest, static_cast<std::uint64_t>(i));
  ExampleRow row;
  row.doc_id = fmt::format("doc-{}", i);
  row.rep = i % 2;
  row.doc_sha = fmt::format("sha-{}", i);
  row.cluster = i % 3 == 0 ? "" : fmt::format("cluster-{}", i % 3);
  row.nll = 300 * draw.uniform(0, 0);
  row.tokens = 100 + i;
  row.bytes = 500 + i;
  row.words = 80;
  row.prompt_tokens = 1;
  row.special_tokens = 2;
  row.counts = {10 + i, 1000, 900, 50, 1e12 * draw.uniform(0, 1)};
  row.wall_ns = 1000000 + i;
  row.nll_m2 = i % 5 == 0 ? 0 : draw.uniform(0, 2);
  row.n_mc = i % 5;
  row.canvas_tokens = i % 2 == 0 ? 0 : 64;
  row.kept_tokens = i % 2 == 0 ? 0 : 60 - i % 60;
  if (i % 3 == 1)
    row.score = draw.uniform(0, 3);
  row.exec_status = i % 3 == 1 ? "passed" : "";
  if (i % 3 == 2)
    row.margin = draw.uniform(0, 4);
  row.output = i % 4 == 0 ? "" : fmt::format("text {} of the model", i % 5);
  return row;
}

inline std::vector<ExampleRow> sample_rows(std::int64_t first, std::int64_t count) {
  std::vector<ExampleRow> rows;
  for (std::int64_t i = first; i < first + count; ++i) rows.push_back(sample_row(i));
  return rows;
}

// A row as text that differs where any bit of it differs.
inline std::string row_bits(const ExampleRow& row) {
  const PassCounts& c = row.counts;
  return fmt::format("{}|{}|{}|{}|{:a}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{:a}|{}|{}", row.doc_id, row.rep,
                     row.doc_sha, row.cluster, row.nll, row.tokens, row.bytes, row.words,
                     row.prompt_tokens, row.special_tokens, c.passes, c.positions, c.head_rows,
                     c.cached_positions, c.flops, row.wall_ns, row.output) +
         fmt::format("|{:a}|{}|{}|{}|{:a}|{}|{:a}", row.nll_m2, row.n_mc, row.canvas_tokens,
                     row.kept_tokens, row.score.value_or(-1), row.exec_status,
                     row.margin.value_or(-1));
}

inline std::vector<std::string> rows_bits(const std::vector<ExampleRow>& rows) {
  std::vector<std::string> bits;
  for (const ExampleRow& row : rows) bits.push_back(row_bits(row));
  return bits;
}

}  // namespace dlm::testing
