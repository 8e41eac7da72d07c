// Tokenizers that are published without a tokenizer.json.
#pragma once

#include "models/tokenizer/pipeline.h"
#include "models/tokenizer/tokenizer_config.h"
#include "models/tokenizer/tokenizer_files.h"

namespace dlm {

// vocab.json + merges.txt: GPT-2's or Qwen2's form. tokenizer_class of tokenizer_config.json
// decides (GPT2Tokenizer; Qwen2Tokenizer, DreamTokenizer). Without one the contents do:
// <|endoftext|> inside vocab.json is GPT-2's form; exactly 151,643 tokens without it are Qwen2.5's,
// whose 22 published tokens are then added from 151643 on. Anything else is refused with a
// ConfigError: the two forms give other ids for the same text. Source: transformers 4.49,
// tokenization_gpt2_fast.py, tokenization_qwen2.py, convert_slow_tokenizer.py; Qwen2.5
// tokenizer_config.json.
TokenizerParts load_vocab_and_merges(TokenizerFiles& files, const TokenizerConfig& config);

// vocab.txt: BERT's WordPiece, lower-casing unless do_lower_case is false. Source: transformers
// 4.49, tokenization_bert_fast.py.
TokenizerParts load_vocab_txt(TokenizerFiles& files, const TokenizerConfig& config);

}  // namespace dlm
