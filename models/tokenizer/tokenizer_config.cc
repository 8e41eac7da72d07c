#include "models/tokenizer/tokenizer_config.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "harness/base/text.h"

namespace dlm {
namespace {

const char* const kRoles[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                              "pad_token", "cls_token", "mask_token"};

std::optional<bool> optional_bool(const Json& object, const char* key, std::string_view where) {
  if (!object.is_object() || !object.contains(key) || object[key].is_null())
    return std::nullopt;
  return json_bool_or(object, key, false, where);
}

// A special token is a text or an object with flags.
AddedToken special_token(const Json& value, std::string_view where) {
  AddedToken token;
  if (value.is_string()) {
    token.content = value.get<std::string>();
  } else {
    token = read_added_token(value, where);
  }
  token.special = true;
  return token;
}

void read_special_tokens(const Json& source, TokenizerConfig& config, std::string_view where) {
  if (!source.is_object())
    return;
  for (const char* role : kRoles) {
    const auto it = source.find(role);
    if (it == source.end() || it->is_null() || config.role.contains(role))
      continue;
    const AddedToken token = special_token(*it, where);
    if (token.content.empty())
      continue;
    config.role[role] = token.content;
    config.special.push_back(token);
  }
  const auto more = source.find("additional_special_tokens");
  if (more == source.end() || !more->is_array())
    return;
  for (const Json& value : *more) config.special.push_back(special_token(value, where));
}

// added_tokens_decoder: {"50257": {"content": ...}}
void read_added_decoder(const Json& decoder, TokenizerConfig& config) {
  if (!decoder.is_object())
    throw DataError(config.where, -1, "an object 'added_tokens_decoder'", decoder.type_name());
  for (const auto& [id, spec] : decoder.items()) {
    AddedToken token = read_added_token(spec, config.where);
    const auto number = parse_int(id);
    if (!number || *number < 0 || *number > kMaxTokenId) {
      throw DataError(config.where, -1, fmt::format("token ids from 0 to {}", kMaxTokenId),
                      fmt::format("'{}' in added_tokens_decoder", id));
    }
    token.id = *number;
    config.added.push_back(token);
  }
}

// added_tokens.json: {"<|x|>": 50257}
void read_added_file(const Json& file, const std::string& path, TokenizerConfig& config) {
  if (!file.is_object())
    throw DataError(path, -1, "an object {token: id}", file.type_name());
  for (const auto& [content, id] : file.items()) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > kMaxTokenId) {
      throw DataError(path, -1, fmt::format("token ids from 0 to {}", kMaxTokenId),
                      fmt::format("{} for token '{}'", canonical_json(id), content));
    }
    AddedToken token;
    token.content = content;
    token.id = id.get<std::int64_t>();
    token.special = std::any_of(config.special.begin(), config.special.end(),
                                [&](const AddedToken& known) { return known.content == content; });
    token.normalized = !token.special;
    config.added.push_back(token);
  }
}

}  // namespace

AddedToken read_added_token(const Json& spec, std::string_view where) {
  AddedToken token;
  token.content = json_string(spec, "content", where);
  token.single_word = json_bool_or(spec, "single_word", false, where);
  token.lstrip = json_bool_or(spec, "lstrip", false, where);
  token.rstrip = json_bool_or(spec, "rstrip", false, where);
  token.special = json_bool_or(spec, "special", false, where);
  token.normalized = json_bool_or(spec, "normalized", !token.special, where);
  return token;
}

TokenizerConfig read_tokenizer_config(TokenizerFiles& files) {
  TokenizerConfig config;
  config.where = files.path("tokenizer_config.json");
  const Json json = files.read_json_if_any("tokenizer_config.json");
  if (!json.is_null() && !json.is_object())
    throw DataError(config.where, -1, "a JSON object", json.type_name());
  config.tokenizer_class = json_string_or(json, "tokenizer_class", "", config.where);
  if (config.tokenizer_class.ends_with("Fast"))
    config.tokenizer_class.resize(config.tokenizer_class.size() - 4);
  config.add_bos = optional_bool(json, "add_bos_token", config.where);
  config.add_eos = optional_bool(json, "add_eos_token", config.where);
  config.add_prefix_space = optional_bool(json, "add_prefix_space", config.where);
  config.lowercase = optional_bool(json, "do_lower_case", config.where);
  config.strip_accents = optional_bool(json, "strip_accents", config.where);
  config.tokenize_chinese_chars = optional_bool(json, "tokenize_chinese_chars", config.where);
  read_special_tokens(json, config, config.where);
  const Json map = files.read_json_if_any("special_tokens_map.json");
  const Json added = files.read_json_if_any("added_tokens.json");
  if (json.is_object() && json.contains("added_tokens_decoder")) {
    // The newer form; the two older files repeat it.
    read_added_decoder(json["added_tokens_decoder"], config);
    return config;
  }
  read_special_tokens(map, config, files.path("special_tokens_map.json"));
  if (!added.is_null())
    read_added_file(added, files.path("added_tokens.json"), config);
  return config;
}

void add_token(TokenizerParts& parts, AddedToken token) {
  if (token.content.empty())
    return;
  const Vocabulary& vocabulary = parts.model->vocabulary();
  const AddedToken* present = parts.added.find(token.content);
  std::optional<std::int64_t> known = vocabulary.find(token.content);
  if (present != nullptr)
    known = present->id;
  if (known && token.id >= 0 && token.id != *known) {
    throw DataError(
        parts.where, -1,
        fmt::format("id {} for added token '{}', as the vocabulary has it", *known, token.content),
        fmt::format("id {}", token.id));
  }
  if (known) {
    token.id = *known;
  } else if (token.id < 0) {
    token.id = std::max(vocabulary.id_limit(), parts.added.id_limit());
  }
  const AddedToken* other = parts.added.find(token.id);
  const auto taken = other != nullptr ? std::optional<std::string_view>(other->content)
                                      : vocabulary.token(token.id);
  if (token.id > kMaxTokenId || (taken && *taken != token.content)) {
    throw DataError(
        parts.where, -1,
        fmt::format("a free id from 0 to {} for added token '{}'", kMaxTokenId, token.content),
        taken ? fmt::format("id {}, which is '{}'", token.id, *taken)
              : fmt::format("id {}", token.id));
  }
  parts.added.add(token);
}

void apply_config(const TokenizerConfig& config, TokenizerParts& parts) {
  std::vector<AddedToken> added = config.added;
  std::sort(added.begin(), added.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  for (const AddedToken& token : added) add_token(parts, token);
  for (const AddedToken& token : config.special) {
    if (parts.added.find(token.content) == nullptr)
      add_token(parts, token);
  }
  const auto id_of_role = [&](const char* role) -> std::optional<std::int64_t> {
    const auto it = config.role.find(role);
    if (it == config.role.end())
      return std::nullopt;
    return parts.added.find(it->second)->id;
  };
  if (const auto id = id_of_role("bos_token"))
    parts.bos = id;
  if (const auto id = id_of_role("eos_token"))
    parts.eos = id;
}

}  // namespace dlm
