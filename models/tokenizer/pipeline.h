// The steps of a tokenizer in their order: added tokens, normaliser, added tokens again,
// pre-tokenizer, model, post-processor; decoder on the way back.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "models/tokenizer/added_tokens.h"
#include "models/tokenizer/decoder.h"
#include "models/tokenizer/normalizer.h"
#include "models/tokenizer/post_processor.h"
#include "models/tokenizer/pre_tokenizer.h"
#include "models/tokenizer/token_model.h"
#include "models/tokenizer/tokenizer.h"

namespace dlm {

struct TokenizerParts {
  std::unique_ptr<Normalizer> normalizer;       // may be null
  std::unique_ptr<PreTokenizer> pre_tokenizer;  // may be null
  std::unique_ptr<TokenModel> model;
  std::unique_ptr<Decoder> decoder;  // null: tokens are joined by spaces
  PostProcessor post_processor;
  AddedTokens added;
  std::optional<std::int64_t> bos;
  std::optional<std::int64_t> eos;
  std::string where;   // the main file, for errors
  std::string sha256;  // of all files read
};

// Takes the parts together; `added` is finished here.
std::unique_ptr<Tokenizer> make_pipeline(TokenizerParts parts);

}  // namespace dlm
