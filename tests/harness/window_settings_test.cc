#include "harness/window_settings.h"

#include <algorithm>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "tasks/presets.h"
#include "tasks/text_task.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

using Ids = std::vector<std::int64_t>;

// A tokenizer with the given special tokens and what a plain call adds around ids.
class FakeTokenizer : public Tokenizer {
 public:
  std::optional<std::int64_t> bos, eos;
  std::map<std::string, std::int64_t, std::less<>> named;
  Ids prefix, suffix;

  TokenIds encode(std::string_view, SpecialTokens) const override { return {}; }

  TokenIds with_special(TokenIds ids) const override {
    TokenIds all = prefix;
    all.insert(all.end(), ids.begin(), ids.end());
    all.insert(all.end(), suffix.begin(), suffix.end());
    return all;
  }

  std::string decode(std::span<const std::int64_t>, const DecodeOptions&) const override {
    return "";
  }

  std::int64_t id_limit() const override { return 1000; }

  std::optional<std::int64_t> token_id(std::string_view token) const override {
    const auto found = named.find(token);
    return found == named.end() ? std::nullopt : std::optional(found->second);
  }

  std::optional<std::int64_t> bos_id() const override { return bos; }

  std::optional<std::int64_t> eos_id() const override { return eos; }

  bool adds_bos() const override { return false; }

  const std::string& sha256() const override { return sha256_; }

 private:
  std::string sha256_ = "fake";
};

FakeTokenizer gpt2_like() {
  FakeTokenizer tokenizer;
  tokenizer.bos = 90;
  tokenizer.eos = 90;
  return tokenizer;
}

FakeTokenizer bert_like() {
  FakeTokenizer tokenizer;
  tokenizer.named = {{"[CLS]", 101}, {"[SEP]", 102}};
  tokenizer.prefix = {101};
  tokenizer.suffix = {102};
  return tokenizer;
}

// A network that holds 1,024 positions.
ModelInfo network() {
  ModelInfo info;
  info.max_length = 1024;
  return info;
}

// Three documents of a tiny corpus, the second empty.
std::vector<TokenizedDocument> tiny_corpus() {
  return {
      {"a", "", "", {1, 2, 3, 4, 5}, 5, 1}, {"b", "", "", {}, 0, 0}, {"c", "", "", {6, 7}, 2, 1}};
}

struct Prepared {
  std::vector<Ids> chunks;
  std::vector<std::int64_t> first_scored;
  WindowCounts counts;
};

// How a model is scored: left to right, where the first token is given, or by diffusion.
enum class By { kAutoregression, kDiffusion };

WindowOptions options_of(const RunSpec& spec, const Tokenizer& tokenizer, By by) {
  const RunSpec settings = with_preset(spec);
  const ModelInfo info = network();
  WindowModel model{info, &tokenizer};
  model.fills_blocks = by == By::kDiffusion;
  model.scores_first_token = model.fills_blocks && settings.estimator.first_token == "scored";
  model.scores_bos = model.scores_first_token;
  return window_settings(settings.scoring, model, 5);
}

Prepared prepare(const RunSpec& spec, const FakeTokenizer& tokenizer, By by,
                 const std::vector<TokenizedDocument>& documents = tiny_corpus()) {
  const WindowOptions options = options_of(spec, tokenizer, by);
  const WindowPlan plan = plan_windows(documents, options);
  Prepared prepared;
  for (const ScoringUnit& unit : plan.units) {
    prepared.chunks.push_back(unit.windows.at(0).ids);
    prepared.first_scored.push_back(unit.windows.at(0).first_scored);
  }
  prepared.counts = plan.counts;
  return prepared;
}

RunSpec preset_spec(const std::string& name, std::int64_t length) {
  RunSpec spec;
  spec.scoring.preset = name;
  spec.scoring.length = length;
  return spec;
}

using Chunks = std::vector<Ids>;

// The stream is 1 2 3 4 5 E E 6 7 E: ten ids, two chunks of four, two ids left over.
TEST(PresetWindows, Bd3lmOwtIsRawChunksWithEosBetweenDocuments) {
  for (const char* name : {"bd3lm-owt", "noeos"}) {
    const Prepared made = prepare(preset_spec(name, 4), gpt2_like(), By::kDiffusion);
    EXPECT_EQ(made.chunks, (Chunks{{1, 2, 3, 4}, {5, 90, 90, 6}})) << name;
    EXPECT_EQ(made.first_scored, (Ids{1, 1})) << name;
    EXPECT_EQ(made.counts.dropped_tokens, 1);
    EXPECT_EQ(made.counts.dropped_special_tokens, 1);
    EXPECT_EQ(made.counts.dropped_documents, 0);
    EXPECT_EQ(made.counts.empty_documents, 1);
  }
}

TEST(PresetWindows, SahooOwtHasBosAndEosAtChunkEndsAndScoresBosByDiffusion) {
  const Chunks kChunks{{90, 1, 2, 3, 90}, {90, 4, 5, 90, 90}, {90, 90, 6, 7, 90}};
  const Prepared diffusion = prepare(preset_spec("sahoo-owt", 5), gpt2_like(), By::kDiffusion);
  EXPECT_EQ(diffusion.chunks, kChunks);
  EXPECT_EQ(diffusion.first_scored, (Ids{0, 0, 0}));
  EXPECT_EQ(diffusion.counts.dropped_special_tokens, 1);
  EXPECT_EQ(diffusion.counts.dropped_tokens, 0);
  const Prepared autoregressive =
      prepare(preset_spec("sahoo-owt", 5), gpt2_like(), By::kAutoregression);
  EXPECT_EQ(autoregressive.chunks, kChunks);
  EXPECT_EQ(autoregressive.first_scored, (Ids{1, 1, 1}));
}

// BERT's tokenizer: separators and both ends are [CLS], 101, never 102.
TEST(PresetWindows, Lm1bHasClsAsSeparatorAndAtBothEnds) {
  const Prepared made = prepare(preset_spec("lm1b", 6), bert_like(), By::kDiffusion);
  EXPECT_EQ(made.chunks, (Chunks{{101, 1, 2, 3, 4, 101}, {101, 5, 101, 101, 6, 101}}));
  EXPECT_EQ(made.first_scored, (Ids{1, 1}));
  EXPECT_EQ(made.counts.dropped_tokens, 1);
}

TEST(PresetWindows, Lm1bHoldsAt128Ids) {
  TokenizedDocument document{"a", "", "", Ids(300, 7), 300, 1};
  const Prepared made = prepare(preset_spec("lm1b", 0), bert_like(), By::kDiffusion, {document});
  ASSERT_EQ(made.chunks.size(), 2U);
  EXPECT_EQ(made.chunks[1].size(), 128U);
  EXPECT_EQ(made.counts.dropped_tokens, 300 - 2 * 126);
}

TEST(PresetWindows, ZeroShotHasChunkEndsAndNothingBetweenDocuments) {
  const Prepared made = prepare(preset_spec("zero-shot", 5), gpt2_like(), By::kDiffusion);
  EXPECT_EQ(made.chunks, (Chunks{{90, 1, 2, 3, 90}, {90, 4, 5, 6, 90}}));
  EXPECT_EQ(made.first_scored, (Ids{1, 1}));
  EXPECT_EQ(made.counts.dropped_tokens, 1);
}

TEST(PresetWindows, JoinAThousandDocumentsAtATime) {
  std::vector<TokenizedDocument> documents(1001, {"a", "", "", {1, 2, 3}, 3, 1});
  const Prepared made =
      prepare(preset_spec("bd3lm-owt", 1000), gpt2_like(), By::kDiffusion, documents);
  EXPECT_EQ(made.chunks.size(), 4U);  // 4,000 ids, and 4 in a group of their own
  EXPECT_EQ(made.counts.dropped_tokens, 3);
  EXPECT_EQ(made.counts.dropped_documents, 1);
}

// Each setting by itself, without a preset.
TEST(WindowSettings, SinglesDoWhatPresetsDo) {
  RunSpec spec;
  spec.scoring.packing = "packed";
  spec.scoring.length = 5;
  EXPECT_EQ(prepare(spec, gpt2_like(), By::kAutoregression).chunks,
            (Chunks{{90, 1, 2, 3, 4}, {5, 90, 90, 6, 7}}));  // and E alone, with nothing to score
  spec.scoring.eos = "none";
  spec.scoring.bos = "none";
  EXPECT_EQ(prepare(spec, gpt2_like(), By::kAutoregression).chunks,
            (Chunks{{1, 2, 3, 4, 5}, {6, 7}}));
  spec.scoring.remainder = "drop";
  EXPECT_EQ(prepare(spec, gpt2_like(), By::kAutoregression).chunks, (Chunks{{1, 2, 3, 4, 5}}));
  spec.scoring.chunk_ends = "add";
  EXPECT_EQ(prepare(spec, gpt2_like(), By::kAutoregression).chunks,
            (Chunks{{90, 1, 2, 3, 90}, {90, 4, 5, 6, 90}}));
  spec.scoring.documents_per_group = 1;
  EXPECT_EQ(prepare(spec, gpt2_like(), By::kAutoregression).chunks, (Chunks{{90, 1, 2, 3, 90}}));
  spec.scoring.documents_per_group = 0;
  spec.scoring.num_proc = 2;
  EXPECT_EQ(prepare(spec, gpt2_like(), By::kAutoregression).chunks, (Chunks{{90, 1, 2, 3, 90}}));
}

TEST(WindowSettings, OwnAndEncodedIdsDifferForATokenizerThatAddsAPrefix) {
  FakeTokenizer tokenizer;
  tokenizer.bos = 1;
  tokenizer.eos = 2;
  tokenizer.prefix = {1};
  RunSpec spec;
  spec.scoring.packing = "packed";
  spec.scoring.length = 4;
  spec.scoring.bos = "none";
  EXPECT_EQ(prepare(spec, tokenizer, By::kAutoregression).chunks[1], (Ids{5, 2, 2, 6}));
  spec.scoring.special_ids = "encoded";
  EXPECT_EQ(prepare(spec, tokenizer, By::kAutoregression).chunks[1], (Ids{5, 1, 1, 6}));
}

TEST(WindowSettings, FirstTokenIsScoredWhereTheRuleSaysSo) {
  RunSpec spec;
  spec.scoring.bos = "none";
  EXPECT_EQ(prepare(spec, gpt2_like(), By::kDiffusion).first_scored, (Ids{1, 1}));
  spec.estimator.first_token = "scored";
  EXPECT_EQ(prepare(spec, gpt2_like(), By::kDiffusion).first_scored, (Ids{0, 0}));
  const ModelInfo world;
  WindowModel model{world};
  model.scores_first_token = true;
  const WindowOptions of_world = window_settings({}, model, 5);
  EXPECT_TRUE(of_world.scores_first_token);
  EXPECT_FALSE(of_world.scores_bos);
  EXPECT_EQ(of_world.length, 6);
}

// A chunk that is not full is no sequence of whole blocks.
TEST(WindowSettings, DiffusionDropsTheRemainderUnlessToldToKeepIt) {
  RunSpec spec;
  spec.scoring.packing = "packed";
  spec.scoring.length = 4;
  EXPECT_EQ(prepare(spec, gpt2_like(), By::kAutoregression).chunks.size(), 3U);
  const Prepared made = prepare(spec, gpt2_like(), By::kDiffusion);
  EXPECT_EQ(made.chunks.size(), 2U);
  EXPECT_EQ(made.counts.dropped_tokens, 2);
  spec.scoring.remainder = "keep";
  EXPECT_EQ(prepare(spec, gpt2_like(), By::kDiffusion).chunks.size(), 3U);
}

std::string error_of(const RunSpec& spec, const FakeTokenizer& tokenizer) {
  try {
    prepare(spec, tokenizer, By::kAutoregression);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

TEST(WindowSettings, RefuseATokenizerWithoutBosOrEos) {
  EXPECT_EQ(error_of(preset_spec("zero-shot", 8), {}),
            "scoring.chunk_ends = 'add': this model has no BOS token (preset zero-shot)");
  EXPECT_EQ(error_of(preset_spec("bd3lm-owt", 8), {}),
            "scoring.eos = 'add': this model has no EOS token (preset bd3lm-owt)");
  FakeTokenizer without_eos;
  without_eos.bos = 1;
  EXPECT_EQ(error_of(preset_spec("zero-shot", 8), without_eos),
            "scoring.chunk_ends = 'add': this model has no EOS token (preset zero-shot)");
  RunSpec spec;
  spec.scoring.bos = "add";
  EXPECT_EQ(error_of(spec, {}), "scoring.bos = 'add': this model has no BOS token");
}

TEST(WindowSettings, RefuseWhatDoesNotFit) {
  EXPECT_EQ(error_of(preset_spec("zero-shot", 2), gpt2_like()),
            "length = '2': room for a token beside BOS and EOS of the chunk");
  EXPECT_EQ(error_of(preset_spec("zero-shot", 4096), gpt2_like()),
            "scoring.length = '4096': this model holds at most 1024 positions (preset zero-shot)");
  RunSpec spec;
  spec.scoring.remainder = "drop";
  EXPECT_EQ(error_of(spec, gpt2_like()),
            "scoring.packing = 'document': packed, which scoring.remainder is for");
  spec = {};
  spec.scoring.packing = "sliding";
  spec.scoring.num_proc = 4;
  EXPECT_EQ(error_of(spec, gpt2_like()),
            "scoring.packing = 'sliding': packed, which scoring.num_proc is for");
  spec = {};
  spec.scoring.packing = "packed";
  spec.scoring.chunk_ends = "add";
  spec.scoring.bos = "add";
  EXPECT_EQ(error_of(spec, gpt2_like()),
            "scoring.bos = 'add': chunks have a BOS each by scoring.chunk_ends");
}

std::vector<TokenizedDocument> tokenized(const std::string& task, const std::string& detokenizer,
                                         const Tokenizer& tokenizer) {
  std::vector<TokenizedDocument> documents;
  for (const Document& document :
       make_text_task({task, detokenizer, 0}, testing::data_root()).documents())
    documents.push_back(tokenized_document(document, tokenizer.encode(document.text)));
  return documents;
}

struct PublishedChunks {
  std::string task, detokenizer, preset;
  std::int64_t num_proc;
  std::size_t chunks;
  std::string sha256;  // of all ids as little-endian int64
};

void expect_published(const std::vector<PublishedChunks>& cases, const Tokenizer& tokenizer) {
  std::map<std::string, std::vector<TokenizedDocument>> tokenized_sets;
  for (const PublishedChunks& one : cases) {
    auto& documents = tokenized_sets[one.task];
    if (documents.empty())
      documents = tokenized(one.task, one.detokenizer, tokenizer);
    RunSpec spec;
    spec.scoring.preset = one.preset;
    spec.scoring.num_proc = one.num_proc;
    const WindowOptions options = options_of(spec, tokenizer, By::kDiffusion);
    Ids ids;
    const WindowPlan plan = plan_windows(documents, options);
    for (const ScoringUnit& unit : plan.units)
      ids.insert(ids.end(), unit.windows[0].ids.begin(), unit.windows[0].ids.end());
    EXPECT_EQ(plan.units.size(), one.chunks) << one.task << " " << one.num_proc;
    EXPECT_EQ(sha256_hex(std::as_bytes(std::span(ids))), one.sha256)
        << one.task << " " << one.preset << " " << one.num_proc;
  }
}

// Expected: the published steps with the published libraries (datasets 5.2 map with num_proc,
// tokenizers 0.23), run on these files. 128 workers leave nothing of Penn Treebank.
TEST(PresetWindowsGolden, AreTheChunksOfDatasetsMap) {
  DLM_REQUIRE_DATA("data/tokenizers/gpt2/vocab.json");
  const auto gpt2 = load_tokenizer(testing::data_path("data/tokenizers/gpt2"));
  expect_published({{"ptb_rows", "", "zero-shot", 1, 74,
                     "682238e87f380237fc503d3e337d16d747e7ee9af8b9fc01931367c2612a8267"},
                    {"ptb_rows", "", "zero-shot", 4, 76,
                     "c66c2b12d91058e7be6057cde437fabc36f7bea20c889df527186e230e48c94d"},
                    {"ptb_rows", "", "zero-shot", 64, 63,
                     "318fbad67287efada4df679709f2a4bd5b9f7a6e4103a94e59f8da43153d1f17"},
                    {"ptb_rows", "", "zero-shot", 128, 0, sha256_hex("")},
                    {"lambada", "", "zero-shot", 1, 412,
                     "e9e07177eaa18c47407675f999acacff2f2272ce680efa5f6098ba4de9efc19b"},
                    {"lambada", "", "zero-shot", 3, 410,
                     "83dea0c77cc7a2fb408dab984c11b9e120fede050b9103089cf7727e866c82c1"},
                    {"ag_news", "", "bd3lm-owt", 1, 387,
                     "01d4ce1230906f3e4df4abdb93a4d47000c76a1148ebd36b4f3d50c524639b79"},
                    {"ag_news", "", "bd3lm-owt", 3, 386,
                     "d04a994390009c7a4570ec0e0d011726a78f147abf6a6c050d55cd2fbde86a5a"},
                    {"ag_news", "", "sahoo-owt", 1, 387,
                     "510fea733ec623f402674467cf9d3c6d4437f2a2ea643476110375ef4e983cad"},
                    {"wikitext2_valid_rows", "none", "zero-shot", 1, 249,
                     "5c624dae569f20ebbb1eea4ddbe17860020a4ddf693d3d9615ce649a84410499"},
                    {"wikitext2_valid_rows", "none", "zero-shot", 4, 248,
                     "e9c85abebc1ec3dd8eba75af6b03643ce82a0b5be906b5f7db17c03f10eba537"}},
                   *gpt2);
}

TEST(PresetWindowsGolden, Lm1bChunksOfBertAreThoseOfDatasetsMap) {
  DLM_REQUIRE_DATA("data/tokenizers/bert-base-uncased/vocab.txt");
  const auto bert = load_tokenizer(testing::data_path("data/tokenizers/bert-base-uncased"));
  expect_published({{"ptb_rows", "lm1b", "lm1b", 1, 716,
                     "7931236c86c7f96f50a59874fcea388d71e4819fe182532b0da5a63a28df9eca"},
                    {"ptb_rows", "lm1b", "lm1b", 2, 716,
                     "88b4905ebda9e0241bfdecb63abe6d706aa353ef151a43396d292c7160775d6c"}},
                   *bert);
}

// The character tokenizer of the published text8 runs, as a tokenizer.json: lower case, one token a
// character, special tokens first.
TEST(Text8TokenizerGolden, IsATokenizerJson) {
  DLM_REQUIRE_DATA("fixtures/text_pipeline/text8.json");
  const auto file = MappedFile::open(testing::data_path("fixtures/text_pipeline/text8.json"));
  const Json fixture = parse_json(file->text(), file->path());
  Json json = parse_json(R"({"added_tokens": [], "normalizer": {"type": "Lowercase"},
    "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(?m)."}, "behavior": "Isolated",
                      "invert": false},
    "post_processor": null, "decoder": {"type": "Fuse"},
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
              "max_input_chars_per_word": 1}})",
                         "tokenizer.json");
  json["model"]["vocab"] = fixture.at("vocab");
  for (const auto& [token, id] : fixture.at("vocab").items()) {
    if (token.size() > 1)
      json["added_tokens"].push_back({{"id", id}, {"content", token}, {"special", true}});
  }
  const testing::TemporaryFolder folder;
  write_file_atomically(folder.file("tokenizer.json"), canonical_json(json));
  write_file_atomically(folder.file("tokenizer_config.json"),
                        R"({"bos_token": "[BOS]", "eos_token": "[EOS]"})");
  const auto tokenizer = load_tokenizer(folder.path());
  EXPECT_EQ(tokenizer->bos_id(), fixture.at("bos").get<std::int64_t>());
  EXPECT_EQ(tokenizer->eos_id(), fixture.at("eos").get<std::int64_t>());
  EXPECT_EQ(tokenizer->id_limit(), fixture.at("vocab_size").get<std::int64_t>());
  for (const Json& one : fixture.at("cases")) {
    const Ids ids = tokenizer->encode(one.at("text").get<std::string>());
    EXPECT_EQ(ids, one.at("ids").get<Ids>());
    EXPECT_EQ(tokenizer->decode(ids), one.at("decoded").get<std::string>());
  }
}

// get_tokenizer gives GPT-2 a BOS and an EOS around a plain call: what a chunk of the preset is.
TEST(PresetWindowsGolden, Gpt2ChunkIsWhatThePublishedTokenizerGives) {
  DLM_REQUIRE_DATA("fixtures/text_pipeline/gpt2_special_ids.json");
  DLM_REQUIRE_DATA("data/tokenizers/gpt2/vocab.json");
  const auto file =
      MappedFile::open(testing::data_path("fixtures/text_pipeline/gpt2_special_ids.json"));
  const Json fixture = parse_json(file->text(), file->path());
  const auto gpt2 = load_tokenizer(testing::data_path("data/tokenizers/gpt2"));
  const RunSpec spec = preset_spec("zero-shot", 4);
  const WindowOptions options = options_of(spec, *gpt2, By::kDiffusion);
  EXPECT_EQ(options.bos_id, fixture.at("bos").get<std::int64_t>());
  EXPECT_EQ(options.chunk_eos_id, fixture.at("eos").get<std::int64_t>());
  const std::vector<TokenizedDocument> documents{{"a", "", "", gpt2->encode("hello world"), 11, 2}};
  const WindowPlan plan = plan_windows(documents, options);
  EXPECT_EQ(plan.units.at(0).windows.at(0).ids, fixture.at("encode_hello").get<Ids>());
  EXPECT_EQ(gpt2->id_limit(), fixture.at("mask_index_used_by_Diffusion").get<std::int64_t>());
}

}  // namespace
}  // namespace dlm
