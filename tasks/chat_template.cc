#include "tasks/chat_template.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/gzip.h"
#include "harness/base/json.h"
#include "tasks/task.h"

namespace dlm {
namespace {

// A token is a text, or an object with its content.
ChatTemplate::SpecialTokens special_tokens_of(const Json& config, const std::string& path) {
  ChatTemplate::SpecialTokens tokens;
  for (const char* name : {"bos_token", "eos_token", "unk_token", "pad_token", "sep_token",
                           "cls_token", "mask_token"}) {
    const auto it = config.find(name);
    if (it == config.end() || it->is_null())
      continue;
    tokens[name] =
        it->is_object() ? json_string(*it, "content", path) : json_string(config, name, path);
  }
  return tokens;
}

std::string default_of_list(const Json& list, const std::string& path) {
  for (const Json& entry : list) {
    if (json_string(entry, "name", path) == "default")
      return json_string(entry, "template", path);
  }
  throw DataError(path, -1, "a chat_template named 'default'", "none");
}

}  // namespace

ChatTemplate ChatTemplate::from_folder(const std::string& folder) {
  const std::string config_path = folder + "/tokenizer_config.json";
  const std::string jinja_path = folder + "/chat_template.jinja";
  Json config = Json::object();
  if (file_exists(config_path))
    config = parse_json(read_text_file(config_path), config_path);
  if (!config.is_object())
    throw DataError(config_path, -1, "a JSON object", canonical_json(config).substr(0, 40));
  SpecialTokens tokens = special_tokens_of(config, config_path);
  if (file_exists(jinja_path))
    return {read_text_file(jinja_path), jinja_path, std::move(tokens)};
  if (const auto it = config.find("chat_template"); it != config.end() && !it->is_null()) {
    const std::string source = it->is_array() ? default_of_list(*it, config_path)
                                              : json_string(config, "chat_template", config_path);
    return {source, config_path + " chat_template", std::move(tokens)};
  }
  throw DataError(config_path, -1, "a chat_template, here or in chat_template.jinja", "none");
}

ChatTemplate::ChatTemplate(std::string_view source, std::string name, SpecialTokens special_tokens)
    : template_(source, std::move(name), JinjaSetup::kChat),
      special_tokens_(std::move(special_tokens)),
      sha256_(sha256_hex(source)) {}

std::string ChatTemplate::render(std::span<const ChatMessage> messages,
                                 Generation generation) const {
  Json variables = Json::object();
  for (const auto& [token, text] : special_tokens_) variables[token] = text;
  Json list = Json::array();
  for (const ChatMessage& message : messages)
    list.push_back({{"role", message.role}, {"content", message.content}});
  variables["messages"] = std::move(list);
  variables["add_generation_prompt"] = generation == Generation::kPrompt;
  return template_.render(variables);
}

}  // namespace dlm
