// The chat format of a model, as its folder states it.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "tasks/jinja/jinja.h"

namespace dlm {

struct ChatMessage;

class ChatTemplate {
 public:
  // From the model's folder: the file chat_template.jinja, else chat_template of
  // tokenizer_config.json (a text, or of a list the one named "default"); of both the file holds,
  // as for transformers (tokenization_utils_base.py, _from_pretrained). Throws DataError where
  // neither is there or the file is damaged, ConfigError for Jinja outside of jinja.h.
  static ChatTemplate from_folder(const std::string& folder);

  // By the names that templates use: bos_token, eos_token, ...
  using SpecialTokens = std::map<std::string, std::string>;

  ChatTemplate(std::string_view source, std::string name, SpecialTokens special_tokens);

  enum class Generation { kPrompt, kNone };

  // Throws ConfigError for what the template refuses.
  std::string render(std::span<const ChatMessage> messages, Generation generation) const;

  const std::string& sha256() const { return sha256_; }  // of the template's text

 private:
  JinjaTemplate template_;
  SpecialTokens special_tokens_;
  std::string sha256_;
};

}  // namespace dlm
