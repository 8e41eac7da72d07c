// Tokenizers written out in a test, as tokenizer.json text.
#pragma once

#include <memory>
#include <string>

#include "models/tokenizer/tokenizer.h"

namespace dlm::testing {

// The parts of a tokenizer.json as JSON text.
struct SmallTokenizer {
  std::string normalizer = "null";
  std::string pre_tokenizer = "null";
  std::string post_processor = "null";
  std::string decoder = "null";
  std::string added_tokens = "[]";
  std::string model = R"({"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"abb":3," ":4},)"
                      R"("merges":["a b","ab b"]})";

  std::string json() const;
  std::unique_ptr<Tokenizer> load() const;
};

// What an error of loading says; "no error" where there is none.
std::string load_error(const std::string& path);
std::string load_error(const SmallTokenizer& tokenizer);

}  // namespace dlm::testing
