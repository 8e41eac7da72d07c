#include "tests/models/tokenizer/small_tokenizer.h"

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "tests/support/data.h"

namespace dlm::testing {

std::string SmallTokenizer::json() const {
  return R"({"version":"1.0","added_tokens":)" + added_tokens + R"(,"normalizer":)" + normalizer +
         R"(,"pre_tokenizer":)" + pre_tokenizer + R"(,"post_processor":)" + post_processor +
         R"(,"decoder":)" + decoder + R"(,"model":)" + model + "}";
}

std::unique_ptr<Tokenizer> SmallTokenizer::load() const {
  const TemporaryFolder folder;
  write_file_atomically(folder.file("tokenizer.json"), json());
  return load_tokenizer(folder.file("tokenizer.json"));
}

std::string load_error(const std::string& path) {
  try {
    load_tokenizer(path);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::string load_error(const SmallTokenizer& tokenizer) {
  const TemporaryFolder folder;
  write_file_atomically(folder.file("tokenizer.json"), tokenizer.json());
  std::string text = load_error(folder.path());
  const std::string place = folder.path() + "/";
  for (auto at = text.find(place); at != std::string::npos; at = text.find(place))
    text.erase(at, place.size());
  return text;
}

}  // namespace dlm::testing
