// Generative perplexity: how likely generated text is to a judge, an autoregressive model that did
// not write it.
//
// What the number means hangs on what is scored, so the conventions in use have names and none is
// tacit:
//   clean   BOS (where the judge has one) is conditioned on, every token of the text is scored
//   once,
//           end-of-text tokens inside it too.
//   bd3lms  overlapping windows; the first token of the text is never scored, no end-of-text target
//           ever is. Source: kuleshov-group/bd3lms metrics.py record_generative_perplexity.
//   mdlm    windows without overlap, the first token of each unscored; of the end-of-text targets
//           of a window only the first in it is scored. Source: kuleshov-group/mdlm diffusion.py
//           compute_generative_perplexity.
// The originals pad a batch with end-of-text tokens; here a text is never padded, so a value does
// not depend on its neighbours (mdlm would score one padding token of all but the longest text).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/record.h"
#include "models/language_model.h"

namespace dlm {

enum class EosConvention { kClean, kBd3lms, kMdlm };

// "clean", "bd3lms", "mdlm". The reverse throws ConfigError.
std::string eos_convention_name(EosConvention convention);
EosConvention eos_convention(std::string_view name);

struct JudgeOptions {
  EosConvention convention = EosConvention::kClean;
  std::int64_t window = 1024;  // most ids of one pass, in [2, the judge's longest]
  std::int64_t stride = 512;   // advance of overlapping windows, in [1, window); mdlm has none
  std::int64_t eos_id = -1;    // -1 = none
  bool scores_first = false;   // clean: the judge has a law of the first token, so it counts too
};

// One pass over part of a text, and which of the tokens it scores count.
struct JudgeWindow {
  ScoringWindow window;
  std::vector<char> counted;  // (ids - first_scored)
};

// The windows of one text's ids, specials included. Empty where there is nothing to score. Window j
// starts at token j * stride and scores what no earlier one scored. Throws ConfigError for options
// out of range.
std::vector<JudgeWindow> judge_windows(std::span<const std::int64_t> ids,
                                       const JudgeOptions& options);

struct JudgedText {
  double nll = 0;            // nats, over counted tokens
  std::int64_t tokens = 0;   // counted
  std::int64_t context = 0;  // ids passed and not counted, over all windows
  PassCounts counts;         // its windows' share of their passes
  std::int64_t wall_ns = 0;  // the same
};

// Judges every text, in passes of at most `batch_size` windows of like length. Throws ConfigError
// as judge_windows and as LanguageModel::token_nll.
std::vector<JudgedText> judge_texts(const LanguageModel& judge,
                                    std::span<const std::vector<std::int64_t>> texts,
                                    const JudgeOptions& options, std::int64_t batch_size);

// Of rows with nll and tokens of one text each (rows without a token are left out, and n counts the
// rest): "pooled", exp of the sum of nll over the sum of tokens, 95 % interval by t on the
// linearised ratio; and "sample mean", the arithmetic mean of each text's own perplexity, which is
// never lower in the limit and is what published tables hold. se_mc is 0: the judge is exact. One
// beyond the range of double is left out. Throws ConfigError where nothing was scored.
std::vector<Estimate> generative_perplexity(std::span<const ExampleRow> rows);

std::vector<MetricDefinition> generative_perplexity_definitions();

}  // namespace dlm
