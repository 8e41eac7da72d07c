#include "tasks/windows.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/random.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

using Ids = std::vector<std::int64_t>;

Ids range(std::int64_t begin, std::int64_t count) {
  Ids ids(static_cast<std::size_t>(count));
  std::iota(ids.begin(), ids.end(), begin);
  return ids;
}

TokenizedDocument document(std::string id, Ids ids, std::int64_t bytes, std::int64_t words = 1) {
  return {id, "", "sha-" + id, std::move(ids), bytes, words};
}

WindowOptions options_of(WindowMode mode, std::int64_t length, std::int64_t stride) {
  WindowOptions options;
  options.mode = mode;
  options.length = length;
  options.stride = stride;
  return options;
}

// All ids that are scored, in order of windows.
Ids scored_ids(const WindowPlan& plan) {
  Ids ids;
  for (const ScoringUnit& unit : plan.units) {
    for (const ScoringWindow& window : unit.windows)
      ids.insert(ids.end(), window.ids.begin() + window.first_scored, window.ids.end());
  }
  return ids;
}

std::string error_of(const WindowOptions& options) {
  try {
    plan_windows({}, options);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

TEST(TokenizedDocument, CountsBytesAndWordsOfTheText) {
  const auto made = tokenized_document({"7", "a b\u00e9 c", "x"}, {1, 2});
  EXPECT_EQ(made.id, "7");
  EXPECT_EQ(made.cluster, "x");
  EXPECT_EQ(made.bytes, 7);
  EXPECT_EQ(made.words, 3);
  EXPECT_EQ(made.sha, sha256_hex("a b\u00e9 c"));
}

TEST(DocumentWindows, AShortDocumentIsOneWindow) {
  const std::vector<TokenizedDocument> documents{document("a", {5, 6, 7}, 9, 2)};
  WindowOptions options = options_of(WindowMode::kDocument, 8, 4);
  WindowPlan plan = plan_windows(documents, options);
  ASSERT_EQ(plan.units.size(), 1U);
  EXPECT_EQ(plan.units[0].windows[0].ids, (Ids{5, 6, 7}));
  EXPECT_EQ(plan.units[0].windows[0].first_scored, 1);
  EXPECT_EQ(plan.units[0].prompt_tokens, 1);
  EXPECT_EQ(plan.units[0].scored_tokens(), 2);
  EXPECT_EQ(plan.units[0].bytes, 9);
  EXPECT_EQ(plan.units[0].words, 2);
  EXPECT_EQ(plan.units[0].sha, "sha-a");
  options.bos_id = 99;
  plan = plan_windows(documents, options);
  EXPECT_EQ(plan.units[0].windows[0].ids, (Ids{99, 5, 6, 7}));
  EXPECT_EQ(plan.units[0].scored_tokens(), 3);
  EXPECT_EQ(plan.units[0].prompt_tokens, 1);
  options.bos_id = std::nullopt;
  options.scores_first_token = true;
  plan = plan_windows(documents, options);
  EXPECT_EQ(plan.units[0].windows[0].first_scored, 0);
  EXPECT_EQ(plan.units[0].prompt_tokens, 0);
}

// 10 tokens, length 4, stride 2: windows at 0, 2, 4, 6; each later one scores its last two.
TEST(DocumentWindows, ALongDocumentIsScoredInOverlappingWindows) {
  const std::vector<TokenizedDocument> documents{document("a", range(0, 10), 10)};
  const WindowPlan plan = plan_windows(documents, options_of(WindowMode::kDocument, 4, 2));
  ASSERT_EQ(plan.units.size(), 1U);
  const auto& windows = plan.units[0].windows;
  ASSERT_EQ(windows.size(), 4U);
  EXPECT_EQ(windows[0].ids, range(0, 4));
  EXPECT_EQ(windows[0].first_scored, 1);
  for (std::size_t j = 1; j < 4; ++j) {
    EXPECT_EQ(windows[j].ids, range(2 * static_cast<std::int64_t>(j), 4));
    EXPECT_EQ(windows[j].first_scored, 2);
  }
  EXPECT_EQ(plan.units[0].prompt_tokens, 1 + 3 * 2);
}

// Window 1024, stride 512 as the published generative perplexity counts them: max(1,
// ceil((n - 512) / 512)) windows.
TEST(DocumentWindows, CountAgreesWithThePublishedFormula) {
  for (const std::int64_t n : {2, 512, 1024, 1025, 1536, 1537, 2048, 2049, 5000}) {
    const std::vector<TokenizedDocument> documents{document("a", range(0, n), n)};
    const WindowPlan plan = plan_windows(documents, options_of(WindowMode::kDocument, 1024, 512));
    const std::int64_t expected = std::max<std::int64_t>(1, (n - 512 + 511) / 512);
    EXPECT_EQ(static_cast<std::int64_t>(plan.units[0].windows.size()), expected) << n;
  }
}

TEST(DocumentWindows, SkipsAndCountsWhatHasNoTokenToScore) {
  const std::vector<TokenizedDocument> documents{document("a", {}, 0), document("b", {4}, 1),
                                                 document("c", {4, 5}, 2)};
  WindowOptions options = options_of(WindowMode::kDocument, 8, 4);
  WindowPlan plan = plan_windows(documents, options);
  EXPECT_EQ(plan.skipped_units, 2);
  ASSERT_EQ(plan.units.size(), 1U);
  EXPECT_EQ(plan.units[0].id, "c");
  options.bos_id = 0;
  plan = plan_windows(documents, options);
  EXPECT_EQ(plan.skipped_units, 1);
  EXPECT_EQ(plan.units.size(), 2U);
}

// A stride of `length` would leave the first token of each window without context.
TEST(DocumentWindows, AStrideOfLengthKeepsOneTokenOfContext) {
  const std::vector<TokenizedDocument> documents{document("a", range(0, 10), 10)};
  WindowOptions options = options_of(WindowMode::kDocument, 4, 4);
  WindowPlan plan = plan_windows(documents, options);
  ASSERT_EQ(plan.units[0].windows.size(), 3U);
  EXPECT_EQ(plan.units[0].windows[1].ids, range(3, 4));
  EXPECT_EQ(plan.units[0].windows[1].first_scored, 1);
  EXPECT_EQ(scored_ids(plan), range(1, 9));
  options.scores_first_token = true;
  plan = plan_windows(documents, options);
  EXPECT_EQ(plan.units[0].windows[1].ids, range(4, 4));
  EXPECT_EQ(plan.units[0].windows[1].first_scored, 0);
  EXPECT_EQ(scored_ids(plan), range(0, 10));
}

TEST(SlidingWindows, JoinDocumentsAndScoreEachTokenOnce) {
  const std::vector<TokenizedDocument> documents{document("a", range(0, 5), 50, 5),
                                                 document("b", range(5, 5), 5, 2)};
  WindowOptions options = options_of(WindowMode::kSliding, 6, 3);
  options.bos_id = 99;
  const WindowPlan plan = plan_windows(documents, options);
  ASSERT_EQ(plan.units.size(), 3U);
  EXPECT_EQ(plan.units[0].id, "w000000");
  EXPECT_EQ(plan.units[0].windows[0].ids, (Ids{99, 0, 1, 2, 3, 4}));
  EXPECT_EQ(plan.units[1].windows[0].ids, (Ids{2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(plan.units[1].windows[0].first_scored, 3);
  EXPECT_EQ(plan.units[2].windows[0].ids, (Ids{5, 6, 7, 8, 9}));
  EXPECT_EQ(scored_ids(plan), range(0, 10));
  EXPECT_EQ(plan.units[0].bytes, 50);
  EXPECT_EQ(plan.units[1].bytes, 3);
  EXPECT_EQ(plan.units[2].bytes, 2);
  EXPECT_EQ(plan.units[1].words, 1);  // floor(2 * 3 / 5)
  EXPECT_EQ(plan.units[2].words, 1);
  EXPECT_EQ(plan.units[0].cluster, "a");
  EXPECT_EQ(plan.units[1].cluster, "b");
  EXPECT_EQ(plan.units[0].prompt_tokens, 1);
  EXPECT_EQ(plan.units[0].special_tokens, 0);
}

TEST(PackedWindows, PutEosAfterDocumentsAndKeepTheRemainder) {
  const std::vector<TokenizedDocument> documents{document("a", {1, 2, 3}, 30), document("b", {}, 0),
                                                 document("c", {4, 5}, 20)};
  WindowOptions options = options_of(WindowMode::kPacked, 3, 1);
  options.eos_id = 0;
  WindowPlan plan = plan_windows(documents, options);
  ASSERT_EQ(plan.units.size(), 3U);
  EXPECT_EQ(plan.units[0].windows[0].ids, (Ids{1, 2, 3}));
  EXPECT_EQ(plan.units[1].windows[0].ids, (Ids{0, 0, 4}));
  EXPECT_EQ(plan.units[2].windows[0].ids, (Ids{5, 0}));
  EXPECT_EQ(plan.units[1].special_tokens, 1);  // the first EOS is context
  EXPECT_EQ(plan.units[2].special_tokens, 1);
  EXPECT_EQ(plan.units[0].bytes, 30);
  EXPECT_EQ(plan.units[1].bytes, 10);
  EXPECT_EQ(plan.units[2].bytes, 10);
  EXPECT_EQ(plan.units[2].id, "c000002");
  options.drop_remainder = true;
  plan = plan_windows(documents, options);
  EXPECT_EQ(plan.units.size(), 2U);
  EXPECT_EQ(plan.counts.dropped_tokens, 1);
  EXPECT_EQ(plan.counts.dropped_special_tokens, 1);
}

TEST(PackedWindows, PutBosAndEosAtTheEndsOfChunks) {
  const std::vector<TokenizedDocument> documents{document("a", {1, 2, 3, 4, 5}, 5)};
  WindowOptions options = options_of(WindowMode::kPacked, 4, 1);
  options.bos_id = 8;
  options.bos_per_chunk = true;
  options.chunk_eos_id = 9;
  const WindowPlan plan = plan_windows(documents, options);
  ASSERT_EQ(plan.units.size(), 3U);
  EXPECT_EQ(plan.units[0].windows[0].ids, (Ids{8, 1, 2, 9}));
  EXPECT_EQ(plan.units[2].windows[0].ids, (Ids{8, 5, 9}));
  EXPECT_EQ(plan.units[0].windows[0].first_scored, 1);
  EXPECT_EQ(plan.units[0].special_tokens, 1);
  EXPECT_EQ(plan.units[0].scored_tokens(), 3);
}

TEST(PackedWindows, BosAloneOpensTheStream) {
  const std::vector<TokenizedDocument> documents{document("a", {1, 2, 3, 4}, 4)};
  WindowOptions options = options_of(WindowMode::kPacked, 3, 1);
  options.bos_id = 8;
  const WindowPlan plan = plan_windows(documents, options);
  ASSERT_EQ(plan.units.size(), 2U);
  EXPECT_EQ(plan.units[0].windows[0].ids, (Ids{8, 1, 2}));
  EXPECT_EQ(plan.units[0].special_tokens, 0);
  EXPECT_EQ(plan.units[1].windows[0].ids, (Ids{3, 4}));
}

TEST(PackedWindows, GroupsOfDocumentsHaveARemainderEach) {
  const std::vector<TokenizedDocument> documents{
      document("a", range(0, 3), 3), document("b", range(3, 2), 2), document("c", range(5, 4), 4)};
  WindowOptions options = options_of(WindowMode::kPacked, 4, 1);
  options.documents_per_group = 2;
  options.drop_remainder = true;
  const WindowPlan plan = plan_windows(documents, options);
  ASSERT_EQ(plan.units.size(), 2U);
  EXPECT_EQ(plan.units[0].windows[0].ids, range(0, 4));
  EXPECT_EQ(plan.units[1].windows[0].ids, range(5, 4));
  EXPECT_EQ(plan.units[1].cluster, "c");
  EXPECT_EQ(plan.counts.dropped_tokens, 1);
}

TEST(PackedWindows, TextWithoutTokensKeepsItsBytes) {
  const std::vector<TokenizedDocument> documents{document("a", {}, 3), document("b", {1, 2}, 4),
                                                 document("c", {}, 5)};
  const WindowPlan plan = plan_windows(documents, options_of(WindowMode::kPacked, 8, 1));
  ASSERT_EQ(plan.units.size(), 1U);
  EXPECT_EQ(plan.units[0].bytes, 12);
}

// 300 random cases per mode: with BOS every token is scored once and in order, and bytes and words
// add up. Exact properties, so no false alarms.
TEST(Windows, ScoreEveryTokenOnceForRandomLengthsAndStrides) {
  const RandomStream stream(11, Purpose::kTest, 0);
  for (std::uint64_t trial = 0; trial < 300; ++trial) {
    const auto below = [&](std::uint64_t bound, std::uint64_t what) {
      return static_cast<std::int64_t>(stream.below(bound, trial, what));
    };
    std::vector<TokenizedDocument> documents;
    std::int64_t n = 0, bytes = 0, words = 0;
    for (std::uint64_t d = 0; d < 6; ++d) {
      const std::int64_t tokens = 1 + below(30, 10 + d);
      documents.push_back(
          document(std::to_string(d), range(n, tokens), below(200, 20 + d), below(40, 30 + d)));
      n += tokens;
      bytes += documents.back().bytes;
      words += documents.back().words;
    }
    const std::int64_t length = 2 + below(20, 0);
    const std::int64_t stride = 1 + below(static_cast<std::uint64_t>(length), 1);
    for (const WindowMode mode :
         {WindowMode::kDocument, WindowMode::kSliding, WindowMode::kPacked}) {
      WindowOptions options = options_of(mode, length, stride);
      options.bos_id = 1000;
      options.bos_per_chunk = mode == WindowMode::kPacked;
      const WindowPlan plan = plan_windows(documents, options);
      EXPECT_EQ(scored_ids(plan), range(0, n)) << trial;
      std::int64_t plan_bytes = 0, plan_words = 0;
      for (const ScoringUnit& unit : plan.units) {
        plan_bytes += unit.bytes;
        plan_words += unit.words;
        for (std::size_t w = 0; w < unit.windows.size(); ++w) {
          EXPECT_LE(unit.windows[w].ids.size(), static_cast<std::size_t>(length));
          EXPECT_GE(unit.windows[w].first_scored, 1);
          if (mode == WindowMode::kSliding && unit.id != "w000000") {
            EXPECT_GE(unit.windows[w].first_scored, length - stride);
          }
        }
      }
      EXPECT_EQ(plan_bytes, bytes);
      EXPECT_EQ(plan_words, words);
    }
  }
}

TEST(Windows, ModesOverOneShortDocumentAgree) {
  const std::vector<TokenizedDocument> documents{document("a", range(0, 6), 12)};
  for (const WindowMode mode : {WindowMode::kDocument, WindowMode::kSliding, WindowMode::kPacked}) {
    WindowOptions options = options_of(mode, 16, 8);
    options.bos_id = 7;
    const WindowPlan plan = plan_windows(documents, options);
    ASSERT_EQ(plan.units.size(), 1U);
    EXPECT_EQ(plan.units[0].windows[0].ids, (Ids{7, 0, 1, 2, 3, 4, 5}));
    EXPECT_EQ(plan.units[0].windows[0].first_scored, 1);
  }
}

TEST(Windows, RefuseOptionsThatDoNotFit) {
  EXPECT_EQ(error_of(options_of(WindowMode::kDocument, 1, 1)), "length = '1': 2 or more");
  EXPECT_EQ(error_of(options_of(WindowMode::kDocument, 8, 0)), "stride = '0': 1 to the length, 8");
  EXPECT_EQ(error_of(options_of(WindowMode::kSliding, 8, 9)), "stride = '9': 1 to the length, 8");
  WindowOptions options = options_of(WindowMode::kSliding, 8, 4);
  options.eos_id = 3;
  EXPECT_NE(error_of(options).find("windows = 'sliding': 'packed' for EOS"), std::string::npos);
  options = options_of(WindowMode::kPacked, 2, 1);
  options.bos_per_chunk = true;
  EXPECT_EQ(error_of(options), "bos_per_chunk = 'true': only with a BOS token");
  options.bos_id = 1;
  options.chunk_eos_id = 2;
  EXPECT_EQ(error_of(options), "length = '2': room for a token beside BOS and EOS of the chunk");
}

TEST(Windows, ModeNamesGoBothWays) {
  for (const char* name : {"document", "packed", "sliding"})
    EXPECT_EQ(window_mode_name(window_mode(name)), name);
  EXPECT_THROW(window_mode("slidng"), ConfigError);
}

// The int64 tensors of a safetensors file, read for this test alone.
Ids tensor_of(const Json& header, std::string_view data, const std::string& name) {
  const auto offsets = header.at(name).at("data_offsets").get<std::vector<std::size_t>>();
  Ids ids((offsets[1] - offsets[0]) / sizeof(std::int64_t));
  if (!ids.empty())
    std::memcpy(ids.data(), data.data() + offsets[0], offsets[1] - offsets[0]);
  return ids;
}

TEST(PackedWindowsGolden, GiveTheBlocksOfTheReference) {
  DLM_REQUIRE_DATA("fixtures/text_pipeline/expected.safetensors");
  const auto file =
      MappedFile::open(testing::data_path("fixtures/text_pipeline/expected.safetensors"));
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file->text().data(), 8);
  const Json header = parse_json(file->text().substr(8, header_bytes), file->path());
  const std::string_view data = file->text().substr(8 + header_bytes);

  const struct {
    std::int64_t block;
    bool eos, special;
  } kGroups[] = {{16, true, true}, {16, false, false}, {64, true, true}, {32, true, false}};

  for (std::size_t g = 0; g < 4; ++g) {
    const std::string group = "group" + std::to_string(g);
    const Ids tokens = tensor_of(header, data, group + ".tokens");
    std::vector<TokenizedDocument> documents;
    auto at = tokens.begin();
    for (const std::int64_t length : tensor_of(header, data, group + ".lengths")) {
      documents.push_back(document(std::to_string(documents.size()), Ids(at, at + length), length));
      at += length;
    }
    WindowOptions options = options_of(WindowMode::kPacked, kGroups[g].block, 1);
    options.drop_remainder = true;
    if (kGroups[g].eos)
      options.eos_id = 100;
    if (kGroups[g].special) {
      options.bos_id = 101;
      options.bos_per_chunk = true;
      options.chunk_eos_id = 100;
    }
    Ids blocks;
    for (const ScoringUnit& unit : plan_windows(documents, options).units)
      blocks.insert(blocks.end(), unit.windows[0].ids.begin(), unit.windows[0].ids.end());
    EXPECT_EQ(blocks, tensor_of(header, data, group + ".blocks")) << group;
  }
}

}  // namespace
}  // namespace dlm
