// What tokenizer_config.json, special_tokens_map.json and added_tokens.json say beside the
// tokenizer itself. Source: transformers 4.49, tokenization_utils_base.py and _fast.py.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "models/tokenizer/added_tokens.h"
#include "models/tokenizer/pipeline.h"
#include "models/tokenizer/tokenizer_files.h"

namespace dlm {

struct TokenizerConfig {
  std::string where;                        // path of tokenizer_config.json, for errors
  std::string tokenizer_class;              // without "Fast"; "" where not given
  std::vector<AddedToken> added;            // with their ids
  std::vector<AddedToken> special;          // named ones, without ids
  std::map<std::string, std::string> role;  // "bos_token" -> text
  std::optional<bool> add_bos;
  std::optional<bool> add_eos;
  std::optional<bool> add_prefix_space;
  // BERT
  std::optional<bool> lowercase;
  std::optional<bool> strip_accents;
  std::optional<bool> tokenize_chinese_chars;
};

TokenizerConfig read_tokenizer_config(TokenizerFiles& files);

// Reads {"content": ..., "lstrip": ...}; `special` and `normalized` default as in transformers.
AddedToken read_added_token(const nlohmann::json& spec, std::string_view where);

// Adds the configured tokens and roles to parts that have their model. Throws DataError where a
// stated id contradicts the vocabulary.
void apply_config(const TokenizerConfig& config, TokenizerParts& parts);

// Adds one token. A token of the vocabulary keeps its id there; one without a stated id gets the
// next free one.
void add_token(TokenizerParts& parts, AddedToken token);

}  // namespace dlm
