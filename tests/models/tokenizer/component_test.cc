// Each component by itself, against outcomes of tokenizers 0.21.
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "models/tokenizer/decoder.h"
#include "models/tokenizer/normalizer.h"
#include "models/tokenizer/oniguruma.h"
#include "models/tokenizer/post_processor.h"
#include "models/tokenizer/pre_tokenizer.h"
#include "models/tokenizer/unicode.h"

namespace dlm {
namespace {

using Strings = std::vector<std::string>;

std::string normalized(const std::string& spec, std::string text) {
  make_normalizer(parse_json(spec, "test"), "test")->apply(text);
  return text;
}

Strings pieces(const std::string& spec, const std::string& text) {
  PreTokenized split;
  split.text = text;
  split.pieces.push_back({0, text.size()});
  split.at_start = true;
  make_pre_tokenizer(parse_json(spec, "test"), "test")->apply(split);
  Strings out;
  for (const auto& piece : split.pieces) out.emplace_back(split.view(piece));
  return out;
}

std::string decoded(const std::string& spec, Strings tokens) {
  make_decoder(parse_json(spec, "test"), "test")->apply(tokens);
  std::string out;
  for (const std::string& token : tokens) out += token;
  return out;
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

TEST(Normalizer, NormalFormsComposeAndDecompose) {
  EXPECT_EQ(normalized(R"({"type":"NFC"})", "e\u0301 o\u0302\u0323"), "\u00e9 \u1ed9");
  EXPECT_EQ(normalized(R"({"type":"NFD"})", "\u1ed9"), "o\u0323\u0302");
  EXPECT_EQ(normalized(R"({"type":"NFKC"})", "\ufb01 \u00b2"), "fi 2");
  EXPECT_EQ(normalized(R"({"type":"NFKD"})", "\ufb01\u00e9"), "fie\u0301");
  EXPECT_EQ(normalized(R"({"type":"NFC"})", "\u1112\u1161\u11ab"), "\ud55c");
  EXPECT_EQ(normalized(R"({"type":"NFC"})", "plain"), "plain");
}

TEST(Normalizer, MarksUnknownToTheReferenceKeepTheirPlace) {
  // U+0898 came with Unicode 14: the reference neither sorts nor strips it.
  EXPECT_EQ(normalized(R"({"type":"NFD"})", "a\u0301\u0898"), "a\u0301\u0898");
  EXPECT_EQ(normalized(R"({"type":"StripAccents"})", "a\u0898\u0301"), "a\u0898");
}

TEST(Normalizer, SimpleOnesRewriteText) {
  EXPECT_EQ(normalized(R"({"type":"Lowercase"})", "AB\u00c4\u0130\u03a3"), "ab\u00e4i\u0307\u03c3");
  EXPECT_EQ(normalized(R"({"type":"Strip","strip_left":true,"strip_right":false})", "\u3000 a "),
            "a ");
  EXPECT_EQ(normalized(R"({"type":"Strip","strip_left":false,"strip_right":true})", " a \n"), " a");
  EXPECT_EQ(normalized(R"({"type":"Strip","strip_left":true,"strip_right":true})", " \t "), "");
  EXPECT_EQ(normalized(R"({"type":"Prepend","prepend":"_"})", "a"), "_a");
  EXPECT_EQ(normalized(R"({"type":"Prepend","prepend":"_"})", ""), "");
  EXPECT_EQ(normalized(R"({"type":"Replace","pattern":{"String":"."},"content":"$1"})", "a.b"),
            "a$1b");
  EXPECT_EQ(normalized(R"({"type":"Replace","pattern":{"Regex":"\\s+"},"content":"-"})", "a \nb"),
            "a-b");
  EXPECT_EQ(normalized(R"({"type":"ByteLevel"})", "a \u00e9"), "a\u0120\u00c3\u00a9");
  EXPECT_EQ(normalized(R"({"type":"Sequence","normalizers":[{"type":"Lowercase"},)"
                       R"({"type":"Prepend","prepend":"X"}]})",
                       "A"),
            "Xa");
}

TEST(Normalizer, BertCleansSplitsAndStrips) {
  const std::string all = R"({"type":"BertNormalizer","clean_text":true,)"
                          R"("handle_chinese_chars":true,"strip_accents":null,"lowercase":true})";
  EXPECT_EQ(normalized(all, "A\u00c9\u4e2d\t\u200bb"), "ae \u4e2d  b");
  EXPECT_EQ(normalized(all, std::string("a\0b\u007f", 4)), "ab");
  const std::string keep =
      R"({"type":"BertNormalizer","clean_text":false,)"
      R"("handle_chinese_chars":false,"strip_accents":null,"lowercase":false})";
  EXPECT_EQ(normalized(keep, "A\u00c9\u4e2d\t"), "A\u00c9\u4e2d\t");
}

TEST(PreTokenizer, ByteLevelSplitsAsGpt2) {
  const std::string plain = R"({"type":"ByteLevel","add_prefix_space":false})";
  EXPECT_EQ(pieces(plain, "Hi  you're 12"),
            (Strings{"Hi", "\u0120", "\u0120you", "'re", "\u012012"}));
  EXPECT_EQ(pieces(R"({"type":"ByteLevel","add_prefix_space":true})", "a b"),
            (Strings{"\u0120a", "\u0120b"}));
  EXPECT_EQ(pieces(R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":false})", "a b"),
            (Strings{"a\u0120b"}));
}

TEST(PreTokenizer, SplitHasFiveBehavioursAndInvert) {
  const auto split = [](const std::string& behaviour, const std::string& invert) {
    return pieces(R"({"type":"Split","pattern":{"String":"-"},"behavior":")" + behaviour +
                      R"(","invert":)" + invert + "}",
                  "the-final--countdown");
  };
  EXPECT_EQ(split("Removed", "false"), (Strings{"the", "final", "countdown"}));
  EXPECT_EQ(split("Isolated", "false"), (Strings{"the", "-", "final", "-", "-", "countdown"}));
  EXPECT_EQ(split("MergedWithPrevious", "false"), (Strings{"the-", "final-", "-", "countdown"}));
  EXPECT_EQ(split("MergedWithNext", "false"), (Strings{"the", "-final", "-", "-countdown"}));
  EXPECT_EQ(split("Contiguous", "false"), (Strings{"the", "-", "final", "--", "countdown"}));
  EXPECT_EQ(split("Removed", "true"), (Strings{"-", "-", "-"}));
}

TEST(PreTokenizer, EmptyMatchesSplitAsInOniguruma) {
  const auto split = [](const std::string& pattern, const std::string& text) {
    return pieces(R"({"type":"Split","pattern":{"Regex":")" + pattern +
                      R"("},"behavior":"Isolated","invert":false})",
                  text);
  };
  EXPECT_EQ(split("(?=[A-Z])", "aBcD"), (Strings{"a", "Bc", "D"}));
  EXPECT_EQ(split("$", "a\nb"), (Strings{"a", "\nb"}));
  EXPECT_EQ(split("b*", "abba"), (Strings{"a", "bb", "a"}));
}

TEST(PreTokenizer, CharacterClassesSplit) {
  EXPECT_EQ(pieces(R"({"type":"Digits","individual_digits":true})", "a12\u0663b"),
            (Strings{"a", "1", "2", "\u0663", "b"}));
  EXPECT_EQ(pieces(R"({"type":"Digits","individual_digits":false})", "a12b"),
            (Strings{"a", "12", "b"}));
  EXPECT_EQ(pieces(R"({"type":"Whitespace"})", "Hey, you! \u00b2"),
            (Strings{"Hey", ",", "you", "!", "\u00b2"}));
  EXPECT_EQ(pieces(R"({"type":"WhitespaceSplit"})", " Hey,\u3000you "), (Strings{"Hey,", "you"}));
  EXPECT_EQ(pieces(R"({"type":"BertPreTokenizer"})", "a,b \u3002$"),
            (Strings{"a", ",", "b", "\u3002", "$"}));
  EXPECT_EQ(pieces(R"({"type":"Punctuation","behavior":"Contiguous"})", "a!!b"),
            (Strings{"a", "!!", "b"}));
  EXPECT_EQ(pieces(R"({"type":"CharDelimiterSplit","delimiter":"-"})", "a--b-"),
            (Strings{"a", "b"}));
}

TEST(PreTokenizer, MetaspacePrependsBySchemeAndSplits) {
  const auto metaspace = [](const std::string& scheme) {
    return pieces(R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":)"
                  R"({"String":","},"behavior":"Removed","invert":false},{"type":"Metaspace",)"
                  R"("replacement":"_","prepend_scheme":")" +
                      scheme + R"(","split":true}]})",
                  "a b,c");
  };
  EXPECT_EQ(metaspace("always"), (Strings{"_a", "_b", "_c"}));
  EXPECT_EQ(metaspace("first"), (Strings{"_a", "_b", "c"}));
  EXPECT_EQ(metaspace("never"), (Strings{"a", "_b", "c"}));
}

TEST(Decoder, EachRewritesTokens) {
  EXPECT_EQ(decoded(R"({"type":"ByteLevel"})", {"a\u0120", "\u00c3", "\u00a9", "\u4e2d"}),
            "a \u00e9\u4e2d");
  EXPECT_EQ(decoded(R"({"type":"ByteLevel"})", {"\u00e2\u0124", "x"}), "\ufffdx");
  EXPECT_EQ(decoded(R"({"type":"ByteFallback"})", {"<0xC3>", "<0xA9>", "a", "<0xe2>", "<0x82>"}),
            "\u00e9a\ufffd\ufffd");
  EXPECT_EQ(decoded(R"({"type":"Strip","content":" ","start":1,"stop":1})", {"  a  ", ""}), " a ");
  EXPECT_EQ(decoded(R"({"type":"Replace","pattern":{"String":"_"},"content":" "})", {"_a_"}),
            " a ");
  EXPECT_EQ(
      decoded(R"({"type":"WordPiece","prefix":"##","cleanup":true})", {"do", "##n", "t", "."}),
      "don t.");
  EXPECT_EQ(decoded(R"({"type":"WordPiece","prefix":"##","cleanup":false})", {"a", "."}), "a .");
  EXPECT_EQ(decoded(R"({"type":"Metaspace","replacement":"_"})", {"_a", "_b"}), "a b");
  EXPECT_EQ(decoded(R"({"type":"BPEDecoder","suffix":"</w>"})", {"a</w>", "b</w>"}), "a b");
  EXPECT_EQ(decoded(R"({"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Strip",)"
                    R"("content":"a","start":3,"stop":0}]})",
                    {"a", "a", "b"}),
            "b");
}

TEST(Decoder, CleanUpFollowsTransformers) {
  std::string text = "a . b ? c ! d , e ' f n't i 'm s 's v 've r 're do not";
  clean_up_spaces(text);
  EXPECT_EQ(text, "a. b? c! d, e'fn't i'm s's v've r're do not");
}

TEST(PostProcessor, TemplatesFollowEachOther) {
  const auto processor = make_post_processor(
      parse_json(R"({"type":"Sequence","processors":[{"type":"BertProcessing","sep":["s",3],)"
                 R"("cls":["c",4]},{"type":"TemplateProcessing","single":[{"SpecialToken":)"
                 R"({"id":"Q","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"special_tokens":)"
                 R"({"Q":{"id":"Q","ids":[5,6],"tokens":["x","y"]}}}]})",
                 "test"),
      "test");
  EXPECT_EQ(processor.apply({1, 2}), (std::vector<std::int64_t>{5, 6, 4, 1, 2, 3}));
  EXPECT_TRUE(processor.begins_with(5));
}

TEST(Oniguruma, TranslatesWhatDiffers) {
  EXPECT_EQ(translate_oniguruma(R"(\s[\S]\h\v)"),
            R"(\p{White_Space}[\P{White_Space}][0-9A-Fa-f]\x0B)");
  EXPECT_EQ(translate_oniguruma(R"((?m:.)(?i-m:x)(?=m))"), R"((?s:.)(?i-s:x)(?=m))");
  EXPECT_EQ(translate_oniguruma(R"(\p{N}{1,3}+a{2})"), R"(\p{N}{1,}a{2})");
  EXPECT_EQ(translate_oniguruma(R"(\p{Han}\p{^L}\P{Lu})"), R"(\p{sc:Han}\P{L}\P{Lu})");
  EXPECT_EQ(translate_oniguruma("\\u00e9"), "\\x{00e9}");
}

TEST(Oniguruma, RefusesWhatItCannotTranslate) {
  const auto refusal = [](const std::string& pattern) {
    return error_of([&] { compile_oniguruma(pattern); });
  };
  EXPECT_EQ(refusal("[a-z&&[^b]]"),
            "regular expression = '[a-z&&[^b]]': the set operation && in a class is not supported");
  EXPECT_EQ(refusal("[a[b]]"), "regular expression = '[a[b]]': '[' in a class is not supported");
  EXPECT_EQ(refusal(R"([\W])"), R"(regular expression = '[\W]': \W in a class is not supported)");
  EXPECT_EQ(refusal(R"(\g<a>)"), R"(regular expression = '\g<a>': \g is not supported)");
  EXPECT_EQ(refusal("[a"), "regular expression = '[a': a class without an end is not supported");
}

TEST(UnicodeClasses, FollowTheReference) {
  EXPECT_TRUE(is_white_space(0x3000));
  EXPECT_FALSE(is_white_space(0x180E));
  EXPECT_FALSE(is_white_space(0x1C));
  EXPECT_TRUE(is_punctuation('$'));
  EXPECT_TRUE(is_punctuation(0x3002));
  EXPECT_FALSE(is_punctuation(0x20AC));
  EXPECT_FALSE(is_punctuation(0x2E52));  // Unicode 14, the reference stops at 8
  EXPECT_TRUE(is_numeric(0xB2));
  EXPECT_FALSE(is_bert_control(0x378));  // unassigned
  EXPECT_TRUE(is_bert_control(0x200B));
}

TEST(Components, UnknownOnesAreRefusedByName) {
  const Json unknown = parse_json(R"({"type":"Precompiled"})", "test");
  EXPECT_EQ(
      error_of([&] { make_normalizer(unknown, "f"); }),
      "f: expected a normalizer of type NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, "
      "Prepend, Replace, BertNormalizer, ByteLevel, Sequence, found 'Precompiled', which is "
      "not supported");
  for (const std::string& text :
       {error_of([&] { make_pre_tokenizer(unknown, "f"); }),
        error_of([&] { make_decoder(unknown, "f"); }),
        error_of([&] { make_post_processor(unknown, "f"); }), error_of([&] {
          make_decoder(
              parse_json(R"({"type":"Sequence","decoders":[{"type":"Precompiled"}]})", "f"), "f");
        })}) {
    EXPECT_NE(text.find("found 'Precompiled', which is not supported"), std::string::npos) << text;
  }
  EXPECT_EQ(error_of([&] { make_decoder(parse_json("{}", "f"), "f"); }),
            "f: expected string 'type', found nothing");
}

}  // namespace
}  // namespace dlm
