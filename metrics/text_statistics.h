// What stands beside every score of generated text: how varied it is and how long. A low
// generative perplexity is bought with repetition, and these numbers show it.
//
// All are over token ids, of whatever tokenizer the caller chose.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "harness/base/record.h"
#include "models/sampling/stop_rules.h"

namespace dlm {

using TokenSpan = std::span<const std::int64_t>;

// Distinct n-grams over n-grams; absent where the text is shorter than n >= 1. Source: Li et al.,
// "A diversity-promoting objective function", NAACL 2016.
std::optional<double> distinct_ngrams(TokenSpan ids, std::int64_t n);

// Share of the ids that occur among the `window` ids before them; absent for an empty text. Source:
// Welleck et al., "Neural text generation with unlikelihood training", ICLR 2020 (rep/l).
std::optional<double> repeated_tokens(TokenSpan ids, std::int64_t window);

// Estimates over texts, each text a unit: mean unigram_entropy (stop_rules.h); distinct_n for n =
// 1, 2, 3; repetition ("4-gram": 1 - distinct 4-grams; "128 tokens": repeated_tokens), each a mean
// over the texts that have it with its standard error and 95 % t interval; sample_length, mean,
// median with the interval of its order statistics, and max; and the histogram of lengths as
// sample_length_share, one row for every bin [2^i, 2^(i+1)) between the shortest and the longest,
// with its Wilson interval. Throws ConfigError for no texts.
std::vector<Estimate> text_statistics(std::span<const std::vector<std::int64_t>> texts);

std::vector<MetricDefinition> text_statistics_definitions();

}  // namespace dlm
