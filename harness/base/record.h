// What flows from a task through a model into the store: documents, the rows measured on them, and
// the estimates.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace dlm {

// One text to be scored. `id` is stable: it does not depend on --limit, batch size or order of
// work.
struct Document {
  std::string id;
  std::string text;
  std::string cluster;  // documents of one cluster are not independent; empty = its own cluster
};

// One row to score: -log p(ids[i] | ids[0..i)) is wanted for i in [first_scored, ids.size()).
struct ScoringWindow {
  std::vector<std::int64_t> ids;
  std::int64_t first_scored = 1;  // >= 1, or 0 where the model scores its first token
};

// What network passes cost, counted at the network (DESIGN, Counting).
struct PassCounts {
  std::int64_t passes = 0;            // NFE
  std::int64_t positions = 0;         // positions computed, padding included
  std::int64_t head_rows = 0;         // rows that went through the LM head
  std::int64_t cached_positions = 0;  // positions read from a KV cache, summed over passes
  double flops = 0;                   // 2 x multiply-adds of every matrix product, from shapes

  PassCounts& operator+=(const PassCounts& other);
  PassCounts operator-(const PassCounts& other) const;
};

// What was measured on one document (one replicate of it).
struct ExampleRow {
  std::string doc_id;
  std::int64_t rep = 0;
  std::string doc_sha;  // SHA-256 of the document's text (or token ids where it has no text)
  std::string cluster;
  double nll = 0;     // nats, summed over scored tokens
  double nll_m2 = 0;  // sum of (replicate - nll)^2 over Monte-Carlo replicates whose mean nll is
  std::int64_t n_mc = 0;    // independent Monte-Carlo replicates; 0 = nll is exact
  std::int64_t tokens = 0;  // scored tokens
  std::int64_t bytes = 0;   // UTF-8 bytes of the document's text
  std::int64_t words = 0;   // white-space separated words
  std::int64_t prompt_tokens =
      0;  // conditioned on, not scored (BOS, context repeated by a sliding window)
  std::int64_t special_tokens =
      0;                           // scored tokens that are not text (EOS between packed documents)
  std::int64_t canvas_tokens = 0;  // positions generated, filler and what follows a stop included
  std::int64_t kept_tokens = 0;    // of them, those of the text that counts (accepted)
  std::optional<double> score;     // of a judged answer: 1 right, 0 wrong
  std::string exec_status;         // how a generated program ended; empty where none was run
  std::optional<double> margin;    // of generated text: that of its sampler's closest decision
  PassCounts counts;
  std::int64_t wall_ns = 0;  // share of its batch's time, by tokens
  std::string output;        // generated text; empty for likelihood
};

// A number with its uncertainty. An absent standard error is unknown, not zero.
struct Estimate {
  std::string metric;   // "nll", "perplexity", ...; row of metric_def
  std::string variant;  // extractor, k of pass@k, ...; usually empty
  double value = 0;
  std::optional<double> se_data;  // standard error over documents
  std::optional<double>
      se_mc;  // Monte-Carlo standard error of the estimator given the documents; 0 when exact
  std::optional<double> ci_low, ci_high;  // 95 %
  std::string ci_method;
  std::int64_t n = 0;  // documents
  std::int64_t n_clusters = 0;
};

// A row of metric_def: what a metric is.
struct MetricDefinition {
  std::string metric;
  std::string unit;
  std::string better;  // "hi", "lo" or "none"
  std::string estimator;
  std::string doc;
};

}  // namespace dlm
