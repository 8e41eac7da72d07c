#include "models/tokenizer/legacy_forms.h"

#include <array>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "harness/base/text.h"
#include "models/tokenizer/token_lists.h"

namespace dlm {
namespace {

constexpr std::string_view kEndOfText = "<|endoftext|>";
constexpr std::size_t kQwenVocabulary = 151643;

constexpr std::string_view kQwenPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

struct PublishedToken {
  const char* content;
  bool special;
};

// In the order of their ids, from 151643 on.
constexpr std::array<PublishedToken, 22> kQwenTokens = {
    {{"<|endoftext|>", true},        {"<|im_start|>", true},       {"<|im_end|>", true},
     {"<|object_ref_start|>", true}, {"<|object_ref_end|>", true}, {"<|box_start|>", true},
     {"<|box_end|>", true},          {"<|quad_start|>", true},     {"<|quad_end|>", true},
     {"<|vision_start|>", true},     {"<|vision_end|>", true},     {"<|vision_pad|>", true},
     {"<|image_pad|>", true},        {"<|video_pad|>", true},      {"<tool_call>", false},
     {"</tool_call>", false},        {"<|fim_prefix|>", false},    {"<|fim_middle|>", false},
     {"<|fim_suffix|>", false},      {"<|fim_pad|>", false},       {"<|repo_name|>", false},
     {"<|file_sep|>", false}}};

enum class Form { kGpt2, kQwen2 };

Form decide_form(const TokenizerConfig& config, const Vocabulary& vocabulary) {
  const std::string& name = config.tokenizer_class;
  if (name == "GPT2Tokenizer")
    return Form::kGpt2;
  if (name == "Qwen2Tokenizer" || name == "DreamTokenizer")
    return Form::kQwen2;
  if (!name.empty()) {
    throw ConfigError("tokenizer_class", name,
                      "vocab.json with merges.txt is read for GPT2Tokenizer, Qwen2Tokenizer and "
                      "DreamTokenizer; others need a tokenizer.json");
  }
  if (vocabulary.find(kEndOfText))
    return Form::kGpt2;
  if (vocabulary.size() == kQwenVocabulary)
    return Form::kQwen2;
  throw ConfigError("tokenizer_class", "",
                    fmt::format("{} may be GPT-2's or Qwen2's form; say which in "
                                "tokenizer_config.json (GPT2Tokenizer or Qwen2Tokenizer)",
                                vocabulary.source()));
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.ends_with('\r'))
      line.remove_suffix(1);
    lines.push_back(line);
  }
  return lines;
}

Merges read_merges_file(std::string_view text, const std::string& path) {
  std::vector<std::string_view> lines = lines_of(text);
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  Merges merges;
  merges.reserve(lines.size());
  for (const std::string_view line : lines) append_merge_line(line, merges, path);
  return merges;
}

// The class default, at the id that the configuration or the vocabulary gives it.
std::int64_t add_end_of_text(const TokenizerConfig& config, TokenizerParts& parts) {
  AddedToken end;
  end.content = kEndOfText;
  end.special = true;
  for (const AddedToken& token : config.added) {
    if (token.content == kEndOfText)
      end.id = token.id;
  }
  add_token(parts, end);
  return parts.added.find(kEndOfText)->id;
}

void make_gpt2_form(const TokenizerConfig& config, TokenizerParts& parts) {
  Json byte_level = {{"type", "ByteLevel"}};
  byte_level["add_prefix_space"] = config.add_prefix_space.value_or(false);
  parts.pre_tokenizer = make_pre_tokenizer(byte_level, config.where);
  if (!config.role.contains("eos_token"))
    parts.bos = parts.eos = add_end_of_text(config, parts);
}

void make_qwen2_form(const TokenizerConfig& config, TokenizerParts& parts) {
  parts.normalizer = make_normalizer({{"type", "NFC"}}, config.where);
  const Json split = {{"type", "Split"},
                      {"pattern", {{"Regex", kQwenPattern}}},
                      {"behavior", "Isolated"},
                      {"invert", false}};
  Json byte_level = {{"type", "ByteLevel"}, {"use_regex", false}};
  byte_level["add_prefix_space"] = config.add_prefix_space.value_or(false);
  Json sequence = {{"type", "Sequence"}};
  sequence["pretokenizers"] = Json::array({split, byte_level});
  parts.pre_tokenizer = make_pre_tokenizer(sequence, config.where);
  const bool published = config.added.empty() &&
                         parts.model->vocabulary().size() == kQwenVocabulary &&
                         !parts.model->vocabulary().find(kEndOfText);
  for (std::size_t i = 0; published && i < kQwenTokens.size(); ++i) {
    AddedToken token;
    token.content = kQwenTokens[i].content;
    token.id = static_cast<std::int64_t>(kQwenVocabulary + i);
    token.special = kQwenTokens[i].special;
    add_token(parts, token);
  }
  if (!config.role.contains("eos_token"))
    parts.eos = add_end_of_text(config, parts);
}

}  // namespace

TokenizerParts load_vocab_and_merges(TokenizerFiles& files, const TokenizerConfig& config) {
  if (!files.has("merges.txt")) {
    throw DataError(files.path("merges.txt"), -1, "the merges that belong to vocab.json",
                    "no such file");
  }
  TokenizerParts parts;
  parts.where = files.path("vocab.json");
  const auto vocab_file = files.open("vocab.json");
  Vocabulary vocabulary = parse_vocabulary({vocab_file->text(), 0}, parts.where);
  const Form form = decide_form(config, vocabulary);
  const auto merges_file = files.open("merges.txt");
  const Merges merges = read_merges_file(merges_file->text(), files.path("merges.txt"));
  parts.model = make_bpe(std::move(vocabulary), merges, {});
  parts.decoder = make_decoder({{"type", "ByteLevel"}}, config.where);
  if (form == Form::kGpt2) {
    make_gpt2_form(config, parts);
  } else {
    make_qwen2_form(config, parts);
  }
  return parts;
}

TokenizerParts load_vocab_txt(TokenizerFiles& files, const TokenizerConfig& config) {
  TokenizerParts parts;
  parts.where = files.path("vocab.txt");
  Vocabulary vocabulary(parts.where);
  const auto file = files.open("vocab.txt");
  if (const auto bad = find_invalid_utf8(file->text())) {
    throw DataError(parts.where, static_cast<std::int64_t>(*bad), "valid UTF-8", "an invalid byte");
  }
  std::int64_t id = 0;
  for (const std::string_view line : lines_of(file->text())) vocabulary.add(line, id++);
  Json normalizer = {{"type", "BertNormalizer"}};
  normalizer["lowercase"] = config.lowercase.value_or(true);
  normalizer["handle_chinese_chars"] = config.tokenize_chinese_chars.value_or(true);
  if (config.strip_accents)
    normalizer["strip_accents"] = *config.strip_accents;
  const std::int64_t cls = vocabulary.at("[CLS]");
  const std::int64_t sep = vocabulary.at("[SEP]");
  parts.post_processor.templates = {{cls, std::nullopt, sep}};
  parts.normalizer = make_normalizer(normalizer, config.where);
  parts.pre_tokenizer = make_pre_tokenizer({{"type", "BertPreTokenizer"}}, config.where);
  parts.decoder = make_decoder({{"type", "WordPiece"}}, config.where);
  parts.model = make_wordpiece(std::move(vocabulary), {});
  for (const char* name : {"[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"}) {
    AddedToken token;
    token.content = name;
    token.special = true;
    if (parts.model->vocabulary().find(name))
      add_token(parts, token);
  }
  return parts;
}

}  // namespace dlm
