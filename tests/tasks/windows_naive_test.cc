// plan_windows against slow programs that say the same position by position, on random documents
// and options. All properties are exact, so there are no false alarms.
#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/random.h"
#include "tasks/windows.h"

namespace dlm {
namespace {

using Ids = std::vector<std::int64_t>;

constexpr std::int64_t kBos = 1001, kEos = 1002, kChunkEos = 1003;

// Uniform numbers of one trial, in the order of the calls.
class Dice {
 public:
  explicit Dice(std::uint64_t trial) : stream_(23, Purpose::kTest, 0), trial_(trial) {}

  std::int64_t below(std::int64_t bound) {
    return static_cast<std::int64_t>(
        stream_.below(static_cast<std::uint64_t>(bound), trial_, calls_++));
  }

  bool coin() { return below(2) == 1; }

 private:
  RandomStream stream_;
  std::uint64_t trial_, calls_ = 0;
};

// Documents whose tokens are all different numbers below 1,000; some are empty.
std::vector<TokenizedDocument> random_documents(Dice& dice) {
  std::vector<TokenizedDocument> documents(static_cast<std::size_t>(dice.below(12)));
  std::int64_t next = 0;
  for (std::size_t i = 0; i < documents.size(); ++i) {
    TokenizedDocument& document = documents[i];
    document.id = std::to_string(i);
    document.sha = "sha-" + document.id;
    document.ids.resize(static_cast<std::size_t>(dice.below(4) == 0 ? 0 : dice.below(25)));
    std::iota(document.ids.begin(), document.ids.end(), next);
    next += static_cast<std::int64_t>(document.ids.size());
    document.bytes = dice.below(100);
    document.words = dice.below(20);
  }
  return documents;
}

WindowOptions random_packed(Dice& dice) {
  WindowOptions options;
  options.mode = WindowMode::kPacked;
  options.length = 3 + dice.below(12);
  if (dice.coin())
    options.eos_id = kEos;
  if (dice.coin())
    options.bos_id = kBos;
  options.bos_per_chunk = options.bos_id && dice.coin();
  if (dice.coin())
    options.chunk_eos_id = kChunkEos;
  options.drop_remainder = dice.coin();
  options.documents_per_group = dice.below(5);
  options.shards = 1 + dice.below(6);
  options.scores_first_token = dice.coin();
  options.scores_bos = dice.coin();
  return options;
}

// Documents [first, end) of each batch that is joined, as a map over contiguous shards in batches
// makes them: document i is in the shard s with floor-divided bounds that numpy's array_split has.
std::vector<std::pair<std::size_t, std::size_t>> naive_groups(std::size_t n,
                                                              const WindowOptions& options) {
  std::vector<std::pair<std::size_t, std::size_t>> groups;
  const std::size_t shards = std::min(static_cast<std::size_t>(options.shards), n);
  for (std::size_t s = 0; s < shards; ++s) {
    const std::size_t start = (n / shards) * s + std::min(s, n % shards);
    const std::size_t end = (n / shards) * (s + 1) + std::min(s + 1, n % shards);
    const std::size_t step = options.documents_per_group == 0
                                 ? n
                                 : static_cast<std::size_t>(options.documents_per_group);
    for (std::size_t at = start; at < end; at += step)
      groups.emplace_back(at, std::min(at + step, end));
  }
  return groups;
}

struct NaivePacked {
  std::vector<Ids> chunks;
  std::vector<std::int64_t> first_scored;
  std::int64_t skipped = 0;
};

NaivePacked naive_packed(const std::vector<TokenizedDocument>& documents,
                         const WindowOptions& options) {
  NaivePacked result;
  const bool chunk_bos = options.bos_per_chunk;
  for (const auto& [first, end] : naive_groups(documents.size(), options)) {
    Ids joined;
    if (options.bos_id && !chunk_bos)
      joined.push_back(kBos);
    for (std::size_t d = first; d < end; ++d) {
      joined.insert(joined.end(), documents[d].ids.begin(), documents[d].ids.end());
      if (options.eos_id)
        joined.push_back(kEos);
    }
    const auto room = static_cast<std::size_t>(options.length) - (chunk_bos ? 1 : 0) -
                      (options.chunk_eos_id ? 1 : 0);
    for (std::size_t at = 0; at < joined.size(); at += room) {
      const std::size_t take = std::min(room, joined.size() - at);
      Ids chunk;
      if (chunk_bos)
        chunk.push_back(kBos);
      for (std::size_t i = 0; i < take; ++i) chunk.push_back(joined[at + i]);
      if (options.chunk_eos_id)
        chunk.push_back(kChunkEos);
      if (take < room && options.drop_remainder)
        continue;
      const bool begins_with_bos = chunk[0] == kBos;
      const bool is_scored = options.scores_first_token && (!begins_with_bos || options.scores_bos);
      const std::int64_t first_scored = is_scored ? 0 : 1;
      if (static_cast<std::int64_t>(chunk.size()) <= first_scored) {
        ++result.skipped;
        continue;
      }
      result.chunks.push_back(chunk);
      result.first_scored.push_back(first_scored);
    }
  }
  return result;
}

bool is_special(std::int64_t id) {
  return id >= kBos;
}

// The counts, from the chunks alone.
void expect_counts(const WindowPlan& plan, const std::vector<TokenizedDocument>& documents,
                   const NaivePacked& naive) {
  Ids kept;
  std::int64_t special = 0;
  for (const Ids& chunk : naive.chunks) {
    for (const std::int64_t id : chunk) {
      if (is_special(id))
        ++special;
      else
        kept.push_back(id);
    }
  }
  std::int64_t tokens = 0, empty = 0, dropped_documents = 0;
  for (const TokenizedDocument& document : documents) {
    tokens += static_cast<std::int64_t>(document.ids.size());
    if (document.ids.empty())
      ++empty;
    else if (std::none_of(document.ids.begin(), document.ids.end(), [&](std::int64_t id) {
               return std::find(kept.begin(), kept.end(), id) != kept.end();
             }))
      ++dropped_documents;
  }
  EXPECT_EQ(plan.counts.documents, static_cast<std::int64_t>(documents.size()));
  EXPECT_EQ(plan.counts.empty_documents, empty);
  EXPECT_EQ(plan.counts.tokens, tokens);
  EXPECT_EQ(plan.counts.special_tokens, special);
  EXPECT_EQ(plan.counts.dropped_tokens, tokens - static_cast<std::int64_t>(kept.size()));
  EXPECT_EQ(plan.counts.dropped_documents, dropped_documents);
  EXPECT_EQ(plan.skipped_units, naive.skipped);
}

TEST(PackedWindowsNaive, AgreeOnRandomDocumentsAndOptions) {
  for (std::uint64_t trial = 0; trial < 3000; ++trial) {
    SCOPED_TRACE(trial);
    Dice dice(trial);
    const auto documents = random_documents(dice);
    const WindowOptions options = random_packed(dice);
    const WindowPlan plan = plan_windows(documents, options);
    const NaivePacked naive = naive_packed(documents, options);
    ASSERT_EQ(plan.units.size(), naive.chunks.size());
    for (std::size_t u = 0; u < plan.units.size(); ++u) {
      const ScoringUnit& unit = plan.units[u];
      ASSERT_EQ(unit.windows.size(), 1U);
      ASSERT_EQ(unit.windows[0].ids, naive.chunks[u]);
      ASSERT_EQ(unit.windows[0].first_scored, naive.first_scored[u]);
      ASSERT_EQ(unit.prompt_tokens, naive.first_scored[u]);
      ASSERT_EQ(unit.special_tokens, std::count_if(naive.chunks[u].begin() + naive.first_scored[u],
                                                   naive.chunks[u].end(), is_special));
    }
    expect_counts(plan, documents, naive);
  }
}

// Which window scores each position, by the rule: the first one that reaches it.
std::vector<std::int64_t> naive_window_of(std::int64_t n, std::int64_t first, std::int64_t length,
                                          std::int64_t stride) {
  std::vector<std::int64_t> window_of(static_cast<std::size_t>(n), -1);
  for (std::int64_t i = first; i < n; ++i) {
    std::int64_t j = 0;
    while (std::min(j * stride + length, n) <= i) ++j;
    window_of[static_cast<std::size_t>(i)] = j;
  }
  return window_of;
}

void expect_strided(const std::vector<ScoringWindow>& windows, const Ids& sequence,
                    const WindowOptions& options) {
  const auto n = static_cast<std::int64_t>(sequence.size());
  const bool has_bos = options.bos_id.has_value();
  const std::int64_t first = options.scores_first_token && (!has_bos || options.scores_bos) ? 0 : 1;
  const std::int64_t stride =
      options.scores_first_token ? options.stride : std::min(options.stride, options.length - 1);
  const auto window_of = naive_window_of(n, first, options.length, stride);
  std::int64_t next = first;  // position that is scored next
  for (const ScoringWindow& window : windows) {
    ASSERT_LT(next, n);
    const std::int64_t j = window_of[static_cast<std::size_t>(next)];
    const std::int64_t begin = j * stride;
    const std::int64_t end = std::min(begin + options.length, n);
    ASSERT_EQ(window.ids, Ids(sequence.begin() + begin, sequence.begin() + end));
    ASSERT_EQ(begin + window.first_scored, next);
    next = end;
  }
  ASSERT_EQ(next, std::max(n, first));
}

TEST(StridedWindowsNaive, AgreeOnRandomDocumentsAndOptions) {
  for (std::uint64_t trial = 0; trial < 2000; ++trial) {
    SCOPED_TRACE(trial);
    Dice dice(100'000 + trial);
    const auto documents = random_documents(dice);
    WindowOptions options;
    options.mode = dice.coin() ? WindowMode::kDocument : WindowMode::kSliding;
    options.length = 2 + dice.below(14);
    options.stride = 1 + dice.below(options.length);
    options.scores_first_token = dice.coin();
    options.scores_bos = dice.coin();
    if (dice.coin())
      options.bos_id = kBos;
    const WindowPlan plan = plan_windows(documents, options);
    Ids stream;
    if (options.bos_id && !documents.empty())
      stream.push_back(kBos);
    std::size_t unit = 0;
    std::int64_t kept = 0, tokens = 0;
    for (const TokenizedDocument& document : documents) {
      Ids sequence;
      if (options.bos_id)
        sequence.push_back(kBos);
      sequence.insert(sequence.end(), document.ids.begin(), document.ids.end());
      stream.insert(stream.end(), document.ids.begin(), document.ids.end());
      tokens += static_cast<std::int64_t>(document.ids.size());
      const bool is_kept = unit < plan.units.size() && plan.units[unit].id == document.id;
      if (options.mode == WindowMode::kDocument && is_kept) {
        expect_strided(plan.units[unit++].windows, sequence, options);
        kept += static_cast<std::int64_t>(document.ids.size());
      } else if (options.mode == WindowMode::kDocument) {
        expect_strided({}, sequence, options);
      }
    }
    if (options.mode == WindowMode::kSliding) {
      std::vector<ScoringWindow> windows;
      for (const ScoringUnit& one : plan.units) windows.push_back(one.windows.at(0));
      expect_strided(windows, stream, options);
      kept = plan.units.empty() ? 0 : tokens;
      unit = plan.units.size();
    }
    ASSERT_EQ(unit, plan.units.size());
    ASSERT_EQ(plan.counts.tokens, tokens);
    ASSERT_EQ(plan.counts.dropped_tokens, tokens - kept);
  }
}

// Five documents over two shards: three in the first, two in the second, as array_split has them;
// more shards than documents are as many as documents.
TEST(PackedWindows, ShardsAreRunsOfNeighboursWithRemaindersOfTheirOwn) {
  std::vector<TokenizedDocument> documents;
  for (std::int64_t i = 0; i < 5; ++i) {
    documents.push_back({std::to_string(i), "", "", {10 * i, 10 * i + 1, 10 * i + 2}, 3, 1});
  }
  WindowOptions options;
  options.mode = WindowMode::kPacked;
  options.length = 4;
  options.drop_remainder = true;
  const auto chunks = [&] {
    std::vector<Ids> found;
    for (const ScoringUnit& unit : plan_windows(documents, options).units)
      found.push_back(unit.windows[0].ids);
    return found;
  };
  using Chunks = std::vector<Ids>;
  EXPECT_EQ(chunks(), (Chunks{{0, 1, 2, 10}, {11, 12, 20, 21}, {22, 30, 31, 32}}));
  options.shards = 2;
  EXPECT_EQ(chunks(), (Chunks{{0, 1, 2, 10}, {11, 12, 20, 21}, {30, 31, 32, 40}}));
  options.documents_per_group = 2;
  EXPECT_EQ(chunks(), (Chunks{{0, 1, 2, 10}, {30, 31, 32, 40}}));
  options.documents_per_group = 0;
  options.shards = 9;
  EXPECT_EQ(chunks(), Chunks{});
  const WindowPlan plan = plan_windows(documents, options);
  EXPECT_EQ(plan.counts.dropped_tokens, 15);
  EXPECT_EQ(plan.counts.dropped_documents, 5);
}

// SEDD and MDLM score the BOS of a chunk in the published evaluation.
TEST(PackedWindows, ScoreTheBosOfAChunkWhereToldTo) {
  const std::vector<TokenizedDocument> documents{{"a", "", "", {1, 2, 3, 4}, 4, 1}};
  WindowOptions options;
  options.mode = WindowMode::kPacked;
  options.length = 4;
  options.bos_id = 8;
  options.bos_per_chunk = true;
  options.chunk_eos_id = 9;
  options.scores_first_token = true;
  options.scores_bos = true;
  const WindowPlan plan = plan_windows(documents, options);
  ASSERT_EQ(plan.units.size(), 2U);
  EXPECT_EQ(plan.units[1].windows[0].ids, (Ids{8, 3, 4, 9}));
  EXPECT_EQ(plan.units[1].windows[0].first_scored, 0);
  EXPECT_EQ(plan.units[1].special_tokens, 2);
  EXPECT_EQ(plan.units[1].prompt_tokens, 0);
  EXPECT_EQ(plan.counts.special_tokens, 4);
  EXPECT_EQ(plan.counts.dropped_tokens, 0);
}

}  // namespace
}  // namespace dlm
