#include "models/tokenizer/split_behaviour.h"

#include <algorithm>

#include "harness/base/error.h"

namespace dlm {
namespace {

// Every stretch, but a match that follows something that is no match is joined to it.
void append_merged(const std::vector<Stretch>& stretches, std::vector<PreTokenized::Piece>& out) {
  const std::size_t first = out.size();
  bool previous_match = false;
  for (const Stretch& stretch : stretches) {
    if (stretch.match && !previous_match && out.size() > first) {
      out.back().begin = std::min(out.back().begin, stretch.begin);
      out.back().end = std::max(out.back().end, stretch.end);
    } else {
      out.push_back({stretch.begin, stretch.end});
    }
    previous_match = stretch.match;
  }
}

void append_contiguous(const std::vector<Stretch>& stretches,
                       std::vector<PreTokenized::Piece>& out) {
  const std::size_t first = out.size();
  bool previous_match = false;
  for (const Stretch& stretch : stretches) {
    if (stretch.match == previous_match && out.size() > first) {
      out.back().end = stretch.end;
    } else {
      out.push_back({stretch.begin, stretch.end});
    }
    previous_match = stretch.match;
  }
}

}  // namespace

SplitBehaviour parse_split_behaviour(std::string_view name, std::string_view where) {
  if (name == "Removed")
    return SplitBehaviour::kRemoved;
  if (name == "Isolated")
    return SplitBehaviour::kIsolated;
  if (name == "MergedWithPrevious")
    return SplitBehaviour::kMergedWithPrevious;
  if (name == "MergedWithNext")
    return SplitBehaviour::kMergedWithNext;
  if (name == "Contiguous")
    return SplitBehaviour::kContiguous;
  throw DataError(where, -1,
                  "behavior Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous",
                  fmt::format("'{}'", name));
}

void append_pieces(const std::vector<Stretch>& stretches, SplitBehaviour behaviour,
                   std::vector<PreTokenized::Piece>& out) {
  const std::size_t first = out.size();
  if (behaviour == SplitBehaviour::kContiguous) {
    append_contiguous(stretches, out);
  } else if (behaviour == SplitBehaviour::kMergedWithPrevious) {
    append_merged(stretches, out);
  } else if (behaviour == SplitBehaviour::kMergedWithNext) {
    append_merged({stretches.rbegin(), stretches.rend()}, out);
    std::reverse(out.begin() + static_cast<std::ptrdiff_t>(first), out.end());
  } else {
    for (const Stretch& stretch : stretches) {
      if (!stretch.match || behaviour == SplitBehaviour::kIsolated)
        out.push_back({stretch.begin, stretch.end});
    }
  }
  const auto empty = [](const PreTokenized::Piece& piece) { return piece.begin == piece.end; };
  out.erase(std::remove_if(out.begin() + static_cast<std::ptrdiff_t>(first), out.end(), empty),
            out.end());
}

}  // namespace dlm
