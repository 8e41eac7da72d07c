// What becomes of the delimiters when text is split.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "models/tokenizer/pre_tokenizer.h"

namespace dlm {

enum class SplitBehaviour {
  kRemoved,
  kIsolated,
  kMergedWithPrevious,
  kMergedWithNext,
  kContiguous
};

// From the name in a tokenizer.json, for example "Isolated"; DataError for another.
SplitBehaviour parse_split_behaviour(std::string_view name, std::string_view where);

// A stretch of a text, match or what stands between matches; stretches follow without gaps.
struct Stretch {
  std::size_t begin;
  std::size_t end;
  bool match;
};

// Appends the pieces that the behaviour makes of the stretches; empty ones are left out.
void append_pieces(const std::vector<Stretch>& stretches, SplitBehaviour behaviour,
                   std::vector<PreTokenized::Piece>& out);

}  // namespace dlm
