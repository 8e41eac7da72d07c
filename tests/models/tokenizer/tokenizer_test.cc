// Whole tokenizers, written out small enough to follow by hand.
#include "models/tokenizer/tokenizer.h"

#include <algorithm>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/random.h"
#include "models/tokenizer/token_model.h"
#include "tests/models/tokenizer/small_tokenizer.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

using testing::load_error;
using testing::SmallTokenizer;
using testing::TemporaryFolder;

TEST(Bpe, MergesLowestRankFirstThenLeftmost) {
  const auto tokenizer = SmallTokenizer{}.load();
  EXPECT_EQ(tokenizer->encode("abb"), (TokenIds{3}));
  EXPECT_EQ(tokenizer->encode("aabbab"), (TokenIds{0, 3, 2}));
  EXPECT_EQ(tokenizer->encode("ba ab"), (TokenIds{1, 0, 4, 2}));
  EXPECT_EQ(tokenizer->encode(""), TokenIds{});
}

TEST(Bpe, UnknownCharactersFollowTheOptions) {
  SmallTokenizer small;
  EXPECT_EQ(small.load()->encode("axxb"), (TokenIds{2}));  // dropped, then merged
  const std::string head = R"({"type":"BPE","unk_token":"?","fuse_unk":)";
  const std::string tail = R"(,"vocab":{"a":0,"b":1,"?":2,"<0xC3>":3,"<0xA9>":4},"merges":[])";
  small.model = head + "false" + tail + "}";
  EXPECT_EQ(small.load()->encode("axxb"), (TokenIds{0, 2, 2, 1}));
  small.model = head + "true" + tail + "}";
  EXPECT_EQ(small.load()->encode("axxb"), (TokenIds{0, 2, 1}));
  small.model = head + "true" + tail + R"(,"byte_fallback":true})";
  EXPECT_EQ(small.load()->encode("a\u00e9\u00e8b"), (TokenIds{0, 3, 4, 2, 1}));
}

TEST(Bpe, AffixesAndIgnoreMerges) {
  SmallTokenizer small;
  small.model = R"({"type":"BPE","continuing_subword_prefix":"#","end_of_word_suffix":"$",)"
                R"("vocab":{"a":0,"#a":1,"#a$":2,"a#a":3,"aa":4,"a$":5},"merges":[["a","#a"]]})";
  EXPECT_EQ(small.load()->encode("aaa"), (TokenIds{4, 2}));
  EXPECT_EQ(small.load()->encode("a"), (TokenIds{5}));
  small.model = R"({"type":"BPE","ignore_merges":true,"vocab":{"a":0,"b":1,"ba":2},"merges":[]})";
  EXPECT_EQ(small.load()->encode("ba"), (TokenIds{2}));
  EXPECT_EQ(small.load()->encode("bab"), (TokenIds{1, 0, 1}));
}

// The textbook algorithm: scan for the lowest rank, merge, repeat.
std::vector<TokenId> merge_naively(std::vector<TokenId> ids, const Merges& merges,
                                   const Vocabulary& vocabulary) {
  while (true) {
    std::size_t best_rank = merges.size();
    std::size_t best_at = 0;
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
      const std::pair<std::string, std::string> pair(*vocabulary.token(ids[i]),
                                                     *vocabulary.token(ids[i + 1]));
      const auto rank =
          static_cast<std::size_t>(std::find(merges.begin(), merges.end(), pair) - merges.begin());
      if (rank < best_rank) {
        best_rank = rank;
        best_at = i;
      }
    }
    if (best_rank == merges.size())
      return ids;
    ids[best_at] = vocabulary.at(merges[best_rank].first + merges[best_rank].second);
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best_at) + 1);
  }
}

TEST(Bpe, AgreesWithTheTextbookAlgorithmOnRandomWords) {
  Vocabulary vocabulary("test");
  const std::string letters = "abcd";
  for (std::size_t i = 0; i < letters.size(); ++i)
    vocabulary.add(letters.substr(i, 1), static_cast<std::int64_t>(i));
  const RandomStream random(7, Purpose::kTest, 0);
  Merges merges;
  for (std::uint64_t i = 0; merges.size() < 60; ++i) {
    const auto size = static_cast<std::uint64_t>(vocabulary.id_limit());
    const std::string left(*vocabulary.token(static_cast<std::int64_t>(random.below(size, i, 0))));
    const std::string right(*vocabulary.token(static_cast<std::int64_t>(random.below(size, i, 1))));
    if (left.size() + right.size() > 8 || vocabulary.find(left + right))
      continue;
    vocabulary.add(left + right, vocabulary.id_limit());
    merges.emplace_back(left, right);
  }
  const auto model = make_bpe(vocabulary, merges, {});
  for (std::uint64_t word = 0; word < 500; ++word) {
    std::string text;
    std::vector<TokenId> single;
    for (std::uint64_t i = 0; i < 1 + word % 40; ++i) {
      single.push_back(static_cast<TokenId>(random.below(4, 1000 + word, i)));
      text += letters[static_cast<std::size_t>(single.back())];
    }
    std::vector<TokenId> ids;
    model->tokenize(text, ids);
    ASSERT_EQ(ids, merge_naively(single, merges, vocabulary)) << text;
  }
}

TEST(WordPiece, TakesTheLongestAndGivesUpAsAWhole) {
  SmallTokenizer small;
  small.pre_tokenizer = R"({"type":"WhitespaceSplit"})";
  small.model = R"({"type":"WordPiece","max_input_chars_per_word":5,)"
                R"("vocab":{"[UNK]":0,"un":1,"##aff":2,"##a":3,"\u00e9":4,"##f":5}})";
  EXPECT_EQ(small.load()->encode("unaff una \u00e9 unb unafff xx"),
            (TokenIds{1, 2, 1, 3, 4, 0, 0, 0}));
}

TEST(AddedTokens, AreFoundBeforeAndAfterNormalisation) {
  SmallTokenizer small;
  small.normalizer = R"({"type":"Lowercase"})";
  small.added_tokens = R"([{"id":10,"content":"AB","normalized":false,"special":true},)"
                       R"({"id":11,"content":"BA","normalized":true,"special":false},)"
                       R"({"id":12,"content":"ABA","normalized":false,"special":true}])";
  const auto tokenizer = small.load();
  EXPECT_EQ(tokenizer->encode("ABA"), (TokenIds{12}));      // the longest
  EXPECT_EQ(tokenizer->encode("ABab"), (TokenIds{10, 2}));  // exactly as written
  EXPECT_EQ(tokenizer->encode("aBa"), (TokenIds{0, 11}));   // in the lower-cased text
  EXPECT_EQ(tokenizer->encode("ABA", SpecialTokens::kAsText), (TokenIds{2, 0}));
  EXPECT_EQ(tokenizer->id_limit(), 13);
  EXPECT_EQ(tokenizer->token_id("BA"), 11);
  EXPECT_EQ(tokenizer->token_id("abb"), 3);
  EXPECT_EQ(tokenizer->token_id("zz"), std::nullopt);
}

TEST(AddedTokens, FlagsTakeSpaceAndRespectWords) {
  SmallTokenizer small;
  small.added_tokens =
      R"([{"id":10,"content":"<l>","lstrip":true},{"id":11,"content":"<r>","rstrip":true},)"
      R"({"id":12,"content":"bb","single_word":true}])";
  const auto tokenizer = small.load();
  EXPECT_EQ(tokenizer->encode("a  <l> a"), (TokenIds{0, 10, 4, 0}));
  EXPECT_EQ(tokenizer->encode("a <r>  a"), (TokenIds{0, 4, 11, 0}));
  EXPECT_EQ(tokenizer->encode("bb abb"), (TokenIds{12, 4, 3}));
  // One match that takes a run of matches leaves none of them.
  small.added_tokens = R"([{"id":4,"content":" ","lstrip":true,"rstrip":true}])";
  EXPECT_EQ(small.load()->encode("a    a"), (TokenIds{0, 4, 0}));
}

TEST(Decode, SkipsSpecialTokensAndHoles) {
  SmallTokenizer small;
  small.decoder = R"({"type":"Fuse"})";
  small.added_tokens = R"([{"id":10,"content":"<s>","special":true},{"id":12,"content":"<t>"}])";
  const auto tokenizer = small.load();
  const TokenIds ids = {10, 3, 12, 11, 5, 0};
  EXPECT_EQ(tokenizer->decode(ids), "<s>abb<t>a");
  EXPECT_EQ(tokenizer->decode(ids, {.skip_special = true}), "abb<t>a");
  small.decoder = "null";
  EXPECT_EQ(small.load()->decode(TokenIds{0, 1}), "a b");
}

template <class Action>
std::string error_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Decode, RefusesIdsOutOfRange) {
  const auto tokenizer = SmallTokenizer{}.load();
  EXPECT_EQ(error_of([&] { tokenizer->decode(TokenIds{5}); }),
            "token id = '5': ids of this tokenizer are 0 to 4");
  EXPECT_EQ(error_of([&] { tokenizer->decode(TokenIds{-1}); }),
            "token id = '-1': ids of this tokenizer are 0 to 4");
}

TEST(Encode, RefusesInvalidUtf8WithItsOffset) {
  const auto tokenizer = SmallTokenizer{}.load();
  EXPECT_EQ(error_of([&] { tokenizer->encode("ab\xC3"); }),
            "text: at byte 2: expected valid UTF-8, found an invalid byte");
  EXPECT_EQ(error_of([&] { tokenizer->encode("\xED\xA0\x80"); }),
            "text: at byte 0: expected valid UTF-8, found an invalid byte");
}

TEST(Encode, GivesTheSameFromManyThreads) {
  SmallTokenizer small;
  small.pre_tokenizer = R"({"type":"WhitespaceSplit"})";
  const auto tokenizer = small.load();
  std::string text;
  for (int i = 0; i < 5000; ++i) text += std::string(static_cast<std::size_t>(i % 37), 'a') + "b ";
  const TokenIds expected = tokenizer->encode(text);
  std::vector<TokenIds> found(4);
  std::vector<std::thread> threads;
  for (TokenIds& ids : found) threads.emplace_back([&] { ids = tokenizer->encode(text); });
  for (std::thread& thread : threads) thread.join();
  for (const TokenIds& ids : found) EXPECT_EQ(ids, expected);
}

TEST(Encode, OneVeryLongWordEnds) {
  // 2 MB in one piece: a quadratic merge would take hours.
  const auto tokenizer = SmallTokenizer{}.load();
  std::string text;
  for (int i = 0; i < 1'000'000; ++i) text += "ab";
  EXPECT_EQ(tokenizer->encode(text).size(), 1'000'000U);
}

TEST(LoadErrors, NameTheFaultOfTheModel) {
  SmallTokenizer small;
  const auto with_model = [&](const std::string& model) {
    small.model = model;
    return load_error(small);
  };
  EXPECT_EQ(
      with_model(R"({"type":"Unigram","vocab":[["a",0.0]]})"),
      "tokenizer.json: expected a model of type BPE, WordPiece, found 'Unigram', which is not "
      "supported");
  EXPECT_EQ(with_model(R"({"type":"BPE","vocab":{"a":0},"merges":["a b"]})"),
            "tokenizer.json: expected token 'b' in the vocabulary, found nothing");
  EXPECT_EQ(with_model(R"({"type":"BPE","vocab":{"a":0,"b":1},"merges":["a b"]})"),
            "tokenizer.json: expected token 'ab' in the vocabulary, found nothing");
  EXPECT_EQ(
      with_model(R"({"type":"BPE","vocab":{"a":0},"merges":["a b c"]})"),
      "tokenizer.json: expected two tokens with one space between them, found merge 1: 'a b c'");
  EXPECT_EQ(
      with_model(R"({"type":"BPE","vocab":{"a":0},"merges":[["a"]]})"),
      "tokenizer.json: expected merges \"a b\" or [\"a\", \"b\"], found 1 tokens after merge 1");
  EXPECT_EQ(with_model(R"({"type":"BPE","vocab":{"a":0,"b":0},"merges":[]})"),
            "tokenizer.json: expected each id once, found id 0 for both 'a' and 'b'");
  EXPECT_EQ(with_model(R"({"type":"BPE","vocab":{"a":0,"a":1},"merges":[]})"),
            "tokenizer.json: expected each token once, found token 'a' with ids 0 and 1");
  EXPECT_EQ(with_model(R"({"type":"BPE","vocab":{"a":-1},"merges":[]})"),
            "tokenizer.json: expected token ids from 0 to 16777215, found id -1 for token 'a'");
  EXPECT_EQ(
      with_model(R"({"type":"BPE","vocab":{"a":18446744073709551615},"merges":[]})"),
      "tokenizer.json: expected token ids from 0 to 16777215, found id 9223372036854775807 for "
      "token 'a'");
  EXPECT_EQ(with_model(R"({"type":"BPE","vocab":{"a":0.5},"merges":[]})"),
            "tokenizer.json: expected a vocabulary {token: id} of integer ids, found 0.5 for token "
            "'a'");
  EXPECT_EQ(with_model(R"({"type":"BPE","vocab":{"a":0}})"),
            "tokenizer.json: expected merges in 'model', found none");
  EXPECT_EQ(
      with_model(R"({"type":"BPE","dropout":0.1,"vocab":{"a":0},"merges":[]})"),
      "tokenizer.json: expected a model without dropout: ids must not be random, found dropout "
      "0.1");
  EXPECT_EQ(with_model(R"({"type":"WordPiece","vocab":{"a":0}})"),
            "tokenizer.json: expected token '[UNK]' in the vocabulary, found nothing");
}

TEST(LoadErrors, NameTheFaultOfAddedTokens) {
  SmallTokenizer small;
  small.added_tokens = R"([{"id":1,"content":"a"}])";
  EXPECT_EQ(
      load_error(small),
      "tokenizer.json: expected id 0 for added token 'a', as the vocabulary has it, found id 1");
  small.added_tokens = R"([{"id":1,"content":"new"}])";
  EXPECT_EQ(load_error(small),
            "tokenizer.json: expected a free id from 0 to 16777215 for added token 'new', found id "
            "1, which is 'b'");
  small.added_tokens = R"([{"id":-3,"content":"new"}])";
  EXPECT_EQ(load_error(small),
            "tokenizer.json: expected token ids of 0 or more, found id -3 for added token 'new'");
  small.added_tokens = R"([{"id":9}])";
  EXPECT_EQ(load_error(small), "tokenizer.json: expected string 'content', found nothing");
}

TEST(LoadErrors, RefuseHostileJson) {
  const TemporaryFolder folder;
  const auto error_for = [&](const std::string& json) {
    write_file_atomically(folder.file("tokenizer.json"), json);
    return load_error(folder.path());
  };
  EXPECT_NE(error_for(R"({"model":{"vocab":{"a":0,}},"merges":[]}})").find("at byte"),
            std::string::npos);
  EXPECT_NE(error_for(R"({"model":{"type":"BPE","merges":[],"vocab":{"a":)").find("at byte"),
            std::string::npos);
  EXPECT_NE(error_for(std::string(100'000, '[')).find("expected nesting up to 64"),
            std::string::npos);
  EXPECT_NE(error_for(R"({"model":null,"model":null})").find("duplicate key 'model'"),
            std::string::npos);
  EXPECT_NE(error_for("[]").find("expected a JSON object, found array"), std::string::npos);
  EXPECT_NE(error_for("{}").find("expected string 'type', found nothing"), std::string::npos);
  EXPECT_NE(error_for("").find("expected JSON"), std::string::npos);
  // A bad byte inside the vocabulary, which is read apart: its offset is that in the file.
  EXPECT_NE(error_for("{\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{\"\xFF\":0}}}")
                .find("tokenizer.json: at byte 45: expected JSON"),
            std::string::npos);
}

class FolderTest : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) {
    write_file_atomically(folder_.file(name), text);
  }

  std::string error() const {
    std::string text = load_error(folder_.path());
    const std::string place = folder_.path() + "/";
    for (auto at = text.find(place); at != std::string::npos; at = text.find(place))
      text.erase(at, place.size());
    return text;
  }

  std::unique_ptr<Tokenizer> load() const { return load_tokenizer(folder_.path()); }

  const TemporaryFolder& folder() const { return folder_; }

 private:
  TemporaryFolder folder_;
};

using TokenizerFolder = FolderTest;

constexpr const char* kGpt2Vocab = R"({"a":0,"b":1,"ab":2,"<|endoftext|>":3,"\u0120":4})";
constexpr const char* kPlainVocab = R"({"a":0,"b":1,"ab":2,"\u0120":3})";
constexpr const char* kMerges = "#version: 0.2\na b\n";

TEST_F(TokenizerFolder, MissingMergesAreNamed) {
  write("vocab.json", kGpt2Vocab);
  EXPECT_EQ(error(),
            "merges.txt: expected the merges that belong to vocab.json, found no such file");
}

TEST_F(TokenizerFolder, EmptyFolderSaysWhatIsNeeded) {
  EXPECT_NE(error().find("expected tokenizer.json, vocab.json with merges.txt, or vocab.txt"),
            std::string::npos);
}

TEST_F(TokenizerFolder, EndOfTextInTheVocabularyIsGpt2sForm) {
  write("vocab.json", kGpt2Vocab);
  write("merges.txt", kMerges);
  const auto tokenizer = load();
  EXPECT_EQ(tokenizer->encode("ab<|endoftext|> a"), (TokenIds{2, 3, 4, 0}));
  EXPECT_EQ(tokenizer->eos_id(), 3);
  EXPECT_EQ(tokenizer->bos_id(), 3);
  EXPECT_FALSE(tokenizer->adds_bos());
  EXPECT_EQ(tokenizer->decode(TokenIds{2, 4, 3}), "ab <|endoftext|>");
}

TEST_F(TokenizerFolder, AnUndecidedFormIsRefused) {
  write("vocab.json", kPlainVocab);
  write("merges.txt", kMerges);
  EXPECT_EQ(error(),
            "tokenizer_class = '': vocab.json may be GPT-2's or Qwen2's form; say which in "
            "tokenizer_config.json (GPT2Tokenizer or Qwen2Tokenizer)");
  write("tokenizer_config.json", R"({"tokenizer_class":"T5Tokenizer"})");
  EXPECT_EQ(
      error(),
      "tokenizer_class = 'T5Tokenizer': vocab.json with merges.txt is read for GPT2Tokenizer, "
      "Qwen2Tokenizer and DreamTokenizer; others need a tokenizer.json");
}

TEST_F(TokenizerFolder, ConfigurationGivesFormAndTokens) {
  write("vocab.json", kPlainVocab);
  write("merges.txt", kMerges);
  write("tokenizer_config.json",
        R"({"tokenizer_class":"DreamTokenizer","add_bos_token":true,)"
        R"("bos_token":"<|begin|>","eos_token":{"content":"<|endoftext|>","lstrip":false},)"
        R"("added_tokens_decoder":{"9":{"content":"<|begin|>","special":true},)"
        R"("7":{"content":"<|endoftext|>","special":true},"8":{"content":"<tool>"}}})");
  const auto tokenizer = load();
  EXPECT_EQ(tokenizer->encode("<|begin|>ab<tool>"), (TokenIds{9, 2, 8}));
  EXPECT_EQ(tokenizer->encode("a\u0301"), tokenizer->encode("\u00e1"));  // NFC
  EXPECT_EQ(tokenizer->bos_id(), 9);
  EXPECT_EQ(tokenizer->eos_id(), 7);
  EXPECT_TRUE(tokenizer->adds_bos());
  EXPECT_EQ(tokenizer->with_special({2}), (TokenIds{9, 2}));
  EXPECT_EQ(tokenizer->decode(TokenIds{9, 8, 2, 7}, {.skip_special = true}), "<tool>ab");
  EXPECT_EQ(tokenizer->id_limit(), 10);
}

TEST_F(TokenizerFolder, OlderFilesAddTokensToo) {
  write("vocab.json", kGpt2Vocab);
  write("merges.txt", kMerges);
  write("special_tokens_map.json", R"({"bos_token":"<s>","eos_token":"<|endoftext|>"})");
  write("added_tokens.json", R"({"<s>":8,"<x>":9})");
  const auto tokenizer = load();
  EXPECT_EQ(tokenizer->encode("<s>a<x>"), (TokenIds{8, 0, 9}));
  EXPECT_EQ(tokenizer->bos_id(), 8);
  EXPECT_EQ(tokenizer->decode(TokenIds{8, 9}, {.skip_special = true}), "<x>");
}

TEST_F(TokenizerFolder, BosIsNeededWhereItShallBeAdded) {
  write("tokenizer.json", SmallTokenizer{}.json());
  write("tokenizer_config.json", R"({"add_bos_token":true})");
  EXPECT_EQ(error(), "tokenizer_config.json: expected a bos_token to add, found none");
}

TEST_F(TokenizerFolder, LlamaClassRulesThePostProcessor) {
  SmallTokenizer small;
  small.post_processor = R"({"type":"BertProcessing","sep":["a",0],"cls":["b",1]})";
  write("tokenizer.json", small.json());
  write("tokenizer_config.json",
        R"({"tokenizer_class":"LlamaTokenizerFast","bos_token":"ab","eos_token":"abb",)"
        R"("add_eos_token":true})");
  EXPECT_EQ(load()->with_special({0}), (TokenIds{2, 0, 3}));
  write("tokenizer_config.json", R"({"bos_token":"ab","add_bos_token":true})");
  EXPECT_EQ(load()->with_special({0}), (TokenIds{1, 0, 0}));
}

TEST_F(TokenizerFolder, VocabTxtIsBertUncasedUnlessToldOtherwise) {
  write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nab\n##c\nAB\r\n");
  EXPECT_EQ(load()->encode("ABC [MASK] x"), (TokenIds{5, 6, 4, 1}));
  EXPECT_EQ(load()->with_special({5}), (TokenIds{2, 5, 3}));
  EXPECT_EQ(load()->decode(TokenIds{5, 6, 1}), "abc [UNK]");
  write("tokenizer_config.json", R"({"do_lower_case":false})");
  EXPECT_EQ(load()->encode("AB ab"), (TokenIds{7, 5}));
  write("vocab.txt", "[PAD]\n[UNK]\nab\n");
  EXPECT_EQ(error(), "vocab.txt: expected token '[CLS]' in the vocabulary, found nothing");
  write("vocab.txt", "[PAD]\n[PAD]\n");
  EXPECT_EQ(error(), "vocab.txt: expected each token once, found token '[PAD]' with ids 0 and 1");
}

TEST_F(TokenizerFolder, MergesFileFaultsAreNamed) {
  write("vocab.json", kGpt2Vocab);
  write("merges.txt", "#version: 0.2\r\na b\r\n\r\n");
  EXPECT_EQ(load()->encode("ab"), (TokenIds{2}));
  write("merges.txt", "a b\n\nb a\n");
  EXPECT_EQ(error(),
            "merges.txt: expected two tokens with one space between them, found merge 2: ''");
}

TEST_F(TokenizerFolder, Sha256CoversEveryFileRead) {
  write("vocab.json", kGpt2Vocab);
  write("merges.txt", kMerges);
  const std::string expected = sha256_hex("merges.txt " + sha256_hex(kMerges) + "\nvocab.json " +
                                          sha256_hex(kGpt2Vocab) + "\n");
  EXPECT_EQ(load()->sha256(), expected);
  write("tokenizer_config.json", "{}");
  EXPECT_NE(load()->sha256(), expected);
}

}  // namespace
}  // namespace dlm
