#include "tasks/windows.h"

#include <algorithm>
#include <utility>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/text.h"

namespace dlm {
namespace {

using Ids = std::vector<std::int64_t>;

const std::vector<std::string>& mode_names() {
  static const std::vector<std::string> kNames{"document", "packed", "sliding"};
  return kNames;
}

[[noreturn]] void refuse(std::string_view field, std::int64_t value, std::string_view allowed) {
  throw ConfigError(field, fmt::format("{}", value), allowed);
}

void check_packed(const WindowOptions& options) {
  const std::int64_t ends =
      (options.bos_id && options.bos_per_chunk ? 1 : 0) + (options.chunk_eos_id ? 1 : 0);
  if (options.length <= ends)
    refuse("length", options.length, "room for a token beside BOS and EOS of the chunk");
  if (options.bos_per_chunk && !options.bos_id)
    throw ConfigError("bos_per_chunk", "true", "only with a BOS token");
  if (options.documents_per_group < 0)
    refuse("documents_per_group", options.documents_per_group, "0 (all) or more");
  if (options.shards < 1)
    refuse("shards", options.shards, "1 or more");
}

void check(const WindowOptions& options) {
  const std::int64_t shortest = options.scores_first_token ? 1 : 2;
  if (options.length < shortest)
    refuse("length", options.length, fmt::format("{} or more", shortest));
  if (options.mode == WindowMode::kPacked)
    return check_packed(options);
  if (options.stride < 1 || options.stride > options.length)
    refuse("stride", options.stride, fmt::format("1 to the length, {}", options.length));
  if (options.eos_id || options.chunk_eos_id || options.bos_per_chunk || options.drop_remainder ||
      options.documents_per_group != 0 || options.shards != 1) {
    throw ConfigError("windows", window_mode_name(options.mode),
                      "'packed' for EOS, BOS of chunks, dropped remainders, document groups and "
                      "shards");
  }
}

std::string sha_of_ids(const Ids& ids) {
  return sha256_hex(std::as_bytes(std::span(ids)));
}

// First position that may be scored in a window without earlier context.
std::int64_t first_of_text(bool has_bos, const WindowOptions& options) {
  return options.scores_first_token && (options.scores_bos || !has_bos) ? 0 : 1;
}

// Documents [first, first + count).
struct Group {
  std::size_t first = 0;
  std::size_t count = 0;
};

// Which documents are joined: shards of neighbours, the first (n mod shards) of them longer by one,
// each in groups.
std::vector<Group> groups_of(std::size_t documents, const WindowOptions& options) {
  const std::size_t shards =
      std::min(static_cast<std::size_t>(options.shards), std::max<std::size_t>(documents, 1));
  const auto most = static_cast<std::size_t>(options.documents_per_group);
  std::vector<Group> groups;
  std::size_t first = 0;
  for (std::size_t s = 0; s < shards; ++s) {
    const std::size_t end = first + documents / shards + (s < documents % shards ? 1 : 0);
    while (first < end) {
      const std::size_t count = most == 0 ? end - first : std::min(most, end - first);
      groups.push_back({first, count});
      first += count;
    }
  }
  return groups;
}

// Overlapping windows over one sequence, BOS included: each position is scored once.
std::vector<ScoringWindow> strided_windows(const Ids& ids, const WindowOptions& options) {
  const auto n = static_cast<std::int64_t>(ids.size());
  const std::int64_t stride =
      options.scores_first_token ? options.stride : std::min(options.stride, options.length - 1);
  std::vector<ScoringWindow> windows;
  std::int64_t scored = first_of_text(options.bos_id.has_value(), options);
  for (std::int64_t begin = 0; scored < n; begin += stride) {
    const std::int64_t end = std::min(begin + options.length, n);
    windows.push_back({Ids(ids.begin() + begin, ids.begin() + end), scored - begin});
    scored = end;
  }
  return windows;
}

// The documents joined, with what is needed to give each position its share of bytes and words.
struct Stream {
  struct Share {
    std::int64_t bytes = 0;
    std::int64_t words = 0;
  };

  Ids ids;
  std::vector<Share> before;             // text before each position; one more than ids
  std::vector<std::size_t> document_of;  // index of the document at each position
  std::vector<bool> special;             // BOS or EOS

  void push(std::int64_t id, std::size_t document, bool is_special) {
    ids.push_back(id);
    document_of.push_back(document);
    special.push_back(is_special);
    before.push_back(before.back());
  }
};

void append_document(Stream& stream, const TokenizedDocument& document, std::size_t index) {
  const Stream::Share start = stream.before.back();
  const auto n = static_cast<std::int64_t>(document.ids.size());
  for (std::int64_t k = 1; k <= n; ++k) {
    stream.push(document.ids[static_cast<std::size_t>(k - 1)], index, false);
    stream.before.back() = {start.bytes + document.bytes * k / n,
                            start.words + document.words * k / n};
  }
  // Text that became no token goes to the position before it, so that sums stay exact.
  stream.before.back() = {start.bytes + document.bytes, start.words + document.words};
}

Stream join(std::span<const TokenizedDocument> documents, std::size_t first_index,
            const WindowOptions& options) {
  Stream stream;
  stream.before.emplace_back();
  if (options.bos_id && !options.bos_per_chunk)
    stream.push(*options.bos_id, first_index, true);
  for (std::size_t i = 0; i < documents.size(); ++i) {
    append_document(stream, documents[i], first_index + i);
    if (options.eos_id)
      stream.push(*options.eos_id, first_index + i, true);
  }
  return stream;
}

class Planner {
 public:
  Planner(std::span<const TokenizedDocument> documents, const WindowOptions& options)
      : documents_(documents), options_(options), dropped_of_(documents.size(), 0) {}

  WindowPlan plan() {
    if (options_.mode == WindowMode::kDocument)
      plan_documents();
    else if (options_.mode == WindowMode::kSliding)
      plan_sliding();
    else
      plan_packed();
    count_documents();
    return std::move(plan_);
  }

 private:
  void plan_documents() {
    for (std::size_t i = 0; i < documents_.size(); ++i) {
      const TokenizedDocument& document = documents_[i];
      Ids ids;
      if (options_.bos_id)
        ids.push_back(*options_.bos_id);
      ids.insert(ids.end(), document.ids.begin(), document.ids.end());
      ScoringUnit unit{document.id,
                       document.sha,
                       document.cluster,
                       strided_windows(ids, options_),
                       document.bytes,
                       document.words,
                       0,
                       0};
      if (options_.bos_id && first_of_text(true, options_) == 0)
        unit.special_tokens = 1;
      if (!add(std::move(unit)))
        dropped_of_[i] = static_cast<std::int64_t>(document.ids.size());
      else if (options_.bos_id)
        ++plan_.counts.special_tokens;
    }
  }

  void plan_sliding() {
    if (documents_.empty())
      return;  // BOS alone is no text
    const Stream stream = join(documents_, 0, options_);
    std::vector<ScoringWindow> windows = strided_windows(stream.ids, options_);
    if (windows.empty())
      drop(stream, 0, stream.ids.size());
    else if (options_.bos_id)
      ++plan_.counts.special_tokens;
    std::size_t begin = 0;  // of the tokens whose text this window answers for
    for (std::size_t w = 0; w < windows.size(); ++w) {
      const auto scored = windows[w].ids.size() - static_cast<std::size_t>(windows[w].first_scored);
      const std::size_t end = w == 0 ? windows[w].ids.size() : begin + scored;
      ScoringUnit unit = unit_of(stream, begin, end, fmt::format("w{:06}", w));
      unit.windows.push_back(std::move(windows[w]));
      if (w == 0 && options_.bos_id && unit.windows[0].first_scored == 0)
        unit.special_tokens = 1;
      add(std::move(unit));
      begin = end;
    }
  }

  void plan_packed() {
    for (const Group& group : groups_of(documents_.size(), options_))
      cut_into_chunks(join(documents_.subspan(group.first, group.count), group.first, options_));
  }

  std::int64_t chunk_ends() const {
    return (options_.bos_id && options_.bos_per_chunk ? 1 : 0) + (options_.chunk_eos_id ? 1 : 0);
  }

  void cut_into_chunks(const Stream& stream) {
    const auto room = static_cast<std::size_t>(options_.length - chunk_ends());
    for (std::size_t begin = 0; begin < stream.ids.size(); begin += room) {
      const std::size_t end = std::min(begin + room, stream.ids.size());
      if ((end - begin < room && options_.drop_remainder) || !add(chunk_of(stream, begin, end)))
        drop(stream, begin, end);
      else
        plan_.counts.special_tokens += chunk_ends() + special_ids(stream, begin, end);
    }
  }

  static std::int64_t special_ids(const Stream& stream, std::size_t begin, std::size_t end) {
    return std::count(stream.special.begin() + static_cast<std::ptrdiff_t>(begin),
                      stream.special.begin() + static_cast<std::ptrdiff_t>(end), true);
  }

  void drop(const Stream& stream, std::size_t begin, std::size_t end) {
    plan_.counts.dropped_special_tokens += special_ids(stream, begin, end);
    for (std::size_t i = begin; i < end; ++i) {
      if (!stream.special[i])
        ++dropped_of_[stream.document_of[i]];
    }
  }

  void count_documents() {
    WindowCounts& counts = plan_.counts;
    counts.documents = static_cast<std::int64_t>(documents_.size());
    for (std::size_t i = 0; i < documents_.size(); ++i) {
      const auto tokens = static_cast<std::int64_t>(documents_[i].ids.size());
      counts.tokens += tokens;
      counts.dropped_tokens += dropped_of_[i];
      if (tokens == 0)
        ++counts.empty_documents;
      else if (dropped_of_[i] == tokens)
        ++counts.dropped_documents;
    }
  }

  ScoringUnit chunk_of(const Stream& stream, std::size_t begin, std::size_t end) {
    ScoringUnit unit = unit_of(stream, begin, end, fmt::format("c{:06}", chunks_++));
    const bool chunk_bos = options_.bos_id && options_.bos_per_chunk;
    const bool opens_with_bos = options_.bos_id && (chunk_bos || begin == 0);
    ScoringWindow window;
    if (chunk_bos)
      window.ids.push_back(*options_.bos_id);
    window.ids.insert(window.ids.end(), stream.ids.begin() + static_cast<std::ptrdiff_t>(begin),
                      stream.ids.begin() + static_cast<std::ptrdiff_t>(end));
    window.first_scored = first_of_text(opens_with_bos, options_);
    const std::size_t first =
        chunk_bos ? begin : begin + static_cast<std::size_t>(window.first_scored);
    unit.special_tokens = special_ids(stream, first, end);
    if (chunk_bos && window.first_scored == 0)
      ++unit.special_tokens;
    if (options_.chunk_eos_id) {
      window.ids.push_back(*options_.chunk_eos_id);
      ++unit.special_tokens;
    }
    unit.windows.push_back(std::move(window));
    return unit;
  }

  // A unit that answers for positions [begin, end) of the stream, without its windows.
  ScoringUnit unit_of(const Stream& stream, std::size_t begin, std::size_t end,
                      std::string id) const {
    ScoringUnit unit;
    unit.id = std::move(id);
    // Text without a token at the very start is before position 0 already.
    const Stream::Share before = begin == 0 ? Stream::Share{} : stream.before[begin];
    unit.bytes = stream.before[end].bytes - before.bytes;
    unit.words = stream.before[end].words - before.words;
    const TokenizedDocument& document = documents_[stream.document_of[begin]];
    unit.cluster = document.cluster.empty() ? document.id : document.cluster;
    return unit;
  }

  // False where the unit has no token to score: it is counted as skipped and left out.
  bool add(ScoringUnit unit) {
    std::erase_if(unit.windows, [](const ScoringWindow& window) {
      return window.first_scored >= static_cast<std::int64_t>(window.ids.size());
    });
    if (unit.windows.empty()) {
      ++plan_.skipped_units;
      return false;
    }
    for (const ScoringWindow& window : unit.windows) unit.prompt_tokens += window.first_scored;
    if (unit.sha.empty())
      unit.sha = sha_of_ids(unit.windows[0].ids);
    plan_.units.push_back(std::move(unit));
    return true;
  }

  std::span<const TokenizedDocument> documents_;
  const WindowOptions& options_;
  WindowPlan plan_;
  std::vector<std::int64_t> dropped_of_;  // tokens, per document
  std::int64_t chunks_ = 0;
};

}  // namespace

TokenizedDocument tokenized_document(const Document& document, std::vector<std::int64_t> ids) {
  return {document.id,
          document.cluster,
          sha256_hex(document.text),
          std::move(ids),
          static_cast<std::int64_t>(document.text.size()),
          count_words(document.text)};
}

std::int64_t ScoringUnit::scored_tokens() const {
  std::int64_t tokens = 0;
  for (const ScoringWindow& window : windows)
    tokens += static_cast<std::int64_t>(window.ids.size()) - window.first_scored;
  return tokens;
}

WindowPlan plan_windows(std::span<const TokenizedDocument> documents,
                        const WindowOptions& options) {
  check(options);
  return Planner(documents, options).plan();
}

std::string window_mode_name(WindowMode mode) {
  return mode_names().at(static_cast<std::size_t>(mode));
}

WindowMode window_mode(std::string_view name) {
  const auto& names = mode_names();
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end())
    throw unknown_name("windows", name, names);
  return static_cast<WindowMode>(found - names.begin());
}

}  // namespace dlm
