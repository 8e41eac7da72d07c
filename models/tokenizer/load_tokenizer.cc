#include <algorithm>
#include <filesystem>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "models/tokenizer/legacy_forms.h"
#include "models/tokenizer/token_lists.h"
#include "models/tokenizer/tokenizer.h"
#include "models/tokenizer/tokenizer_config.h"

namespace dlm {
namespace {

const Json& member_or_null(const Json& object, const char* key) {
  static const Json kNull;
  const auto it = object.find(key);
  return it == object.end() ? kNull : *it;
}

// BertTokenizerFast puts the settings of tokenizer_config.json in the place of those in
// tokenizer.json.
Json configured_normalizer(Json normalizer, const TokenizerConfig& config) {
  const bool bert = config.tokenizer_class == "BertTokenizer" && normalizer.is_object() &&
                    normalizer.value("type", Json()) == "BertNormalizer";
  if (bert && config.lowercase)
    normalizer["lowercase"] = *config.lowercase;
  if (bert && config.strip_accents)
    normalizer["strip_accents"] = *config.strip_accents;
  if (bert && config.tokenize_chinese_chars)
    normalizer["handle_chinese_chars"] = *config.tokenize_chinese_chars;
  return normalizer;
}

void read_added_tokens(const Json& list, TokenizerParts& parts) {
  if (list.is_null())
    return;
  if (!list.is_array())
    throw DataError(parts.where, -1, "an array 'added_tokens'", list.type_name());
  for (const Json& spec : list) {
    AddedToken token = read_added_token(spec, parts.where);
    token.id = json_int(spec, "id", parts.where);
    if (token.id < 0) {
      throw DataError(parts.where, -1, "token ids of 0 or more",
                      fmt::format("id {} for added token '{}'", token.id, token.content));
    }
    add_token(parts, token);
  }
}

// A tokenizer.json without its two long lists, and those.
struct SplitDocument {
  std::shared_ptr<const MappedFile> file;  // which the lists point into
  Json json;
  TokenLists lists;
};

SplitDocument read_document(TokenizerFiles& files, const std::string& name) {
  SplitDocument out;
  out.file = files.open(name);
  const std::string_view text = out.file->text();
  if (const auto model = find_json_member({text, 0}, "model")) {
    out.lists.vocab = find_json_member(*model, "vocab");
    out.lists.merges = find_json_member(*model, "merges");
  }
  std::vector<JsonPart> cut;
  for (const auto& part : {out.lists.vocab, out.lists.merges}) {
    if (part)
      cut.push_back(*part);
  }
  std::sort(cut.begin(), cut.end(),
            [](const JsonPart& a, const JsonPart& b) { return a.offset < b.offset; });
  std::string rest;
  std::size_t copied = 0;
  for (const JsonPart& part : cut) {
    const auto begin = static_cast<std::size_t>(part.offset);
    rest.append(text.substr(copied, begin - copied)).append("null");
    copied = begin + part.text.size();
  }
  rest.append(text.substr(copied));
  try {
    out.json = parse_json(rest, files.path(name));
  } catch (const DataError&) {
    // Once more as a whole, for the offset in the file.
    parse_json(text, files.path(name));
    throw;
  }
  return out;
}

// `truncation` and `padding` are not read: a plain call of transformers switches both off.
TokenizerParts load_tokenizer_json(TokenizerFiles& files, const std::string& name,
                                   const TokenizerConfig& config) {
  TokenizerParts parts;
  parts.where = files.path(name);
  const SplitDocument document = read_document(files, name);
  const Json& json = document.json;
  if (!json.is_object())
    throw DataError(parts.where, -1, "a JSON object", json.type_name());
  const std::string version = json_string_or(json, "version", "1.0", parts.where);
  if (version != "1.0")
    throw DataError(parts.where, -1, "version 1.0", version);
  parts.normalizer = make_normalizer(
      configured_normalizer(member_or_null(json, "normalizer"), config), parts.where);
  parts.pre_tokenizer = make_pre_tokenizer(member_or_null(json, "pre_tokenizer"), parts.where);
  parts.post_processor = make_post_processor(member_or_null(json, "post_processor"), parts.where);
  parts.decoder = make_decoder(member_or_null(json, "decoder"), parts.where);
  parts.model = make_token_model(member_or_null(json, "model"), document.lists, parts.where);
  read_added_tokens(member_or_null(json, "added_tokens"), parts);
  return parts;
}

// The classes of transformers that build the post-processor from add_bos_token and add_eos_token
// whatever tokenizer.json says; their defaults are true and false.
bool sets_post_processor(const std::string& tokenizer_class) {
  return tokenizer_class == "LlamaTokenizer" || tokenizer_class == "CodeLlamaTokenizer" ||
         tokenizer_class == "GemmaTokenizer" || tokenizer_class == "CohereTokenizer";
}

void apply_bos_and_eos(const TokenizerConfig& config, TokenizerParts& parts) {
  const bool rules = sets_post_processor(config.tokenizer_class);
  const bool bos = config.add_bos.value_or(rules);
  const bool eos = config.add_eos.value_or(false);
  if (!rules && (!parts.post_processor.templates.empty() || (!bos && !eos)))
    return;
  if ((bos && !parts.bos) || (eos && !parts.eos)) {
    throw DataError(config.where, -1,
                    fmt::format("a {} to add", bos && !parts.bos ? "bos_token" : "eos_token"),
                    "none");
  }
  PostProcessor::Template pieces;
  if (bos)
    pieces.push_back(parts.bos);
  pieces.push_back(std::nullopt);
  if (eos)
    pieces.push_back(parts.eos);
  parts.post_processor.templates = {pieces};
}

TokenizerParts load_folder(TokenizerFiles& files, const std::string& folder) {
  const TokenizerConfig config = read_tokenizer_config(files);
  TokenizerParts parts;
  if (files.has("tokenizer.json")) {
    parts = load_tokenizer_json(files, "tokenizer.json", config);
  } else if (files.has("vocab.json")) {
    parts = load_vocab_and_merges(files, config);
  } else if (files.has("vocab.txt")) {
    parts = load_vocab_txt(files, config);
  } else {
    throw DataError(folder, -1, "tokenizer.json, vocab.json with merges.txt, or vocab.txt",
                    "none of them");
  }
  apply_config(config, parts);
  apply_bos_and_eos(config, parts);
  return parts;
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path) {
  const std::filesystem::path file(path);
  TokenizerParts parts;
  if (std::filesystem::is_directory(file)) {
    TokenizerFiles files(path);
    parts = load_folder(files, path);
    parts.sha256 = files.sha256();
  } else {
    const std::string parent = file.parent_path().string();
    TokenizerFiles files(parent.empty() ? "." : parent);
    const std::string name = file.filename().string();
    parts = name == "vocab.txt" ? load_vocab_txt(files, {}) : load_tokenizer_json(files, name, {});
    parts.sha256 = files.sha256();
  }
  return make_pipeline(std::move(parts));
}

bool has_tokenizer_files(const std::string& folder) {
  for (const char* name : {"tokenizer.json", "vocab.json", "vocab.txt"}) {
    if (file_exists(folder + "/" + name))
      return true;
  }
  return false;
}

}  // namespace dlm
