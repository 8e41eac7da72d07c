// Reads the tokenizer fixtures: one JSON object per line, see fixtures/tokenizers_public/README.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/tokenizer/tokenizer.h"

namespace dlm::testing {

struct FixtureCase {
  bool decode_only = false;
  std::string text;
  TokenIds ids;
  std::optional<TokenIds> ids_ordinary;
  std::optional<TokenIds> ids_with_special;
  std::string decoded;
  std::optional<std::string> decoded_skip_special;
  std::optional<std::string> decoded_cleanup;
};

std::vector<FixtureCase> read_fixture(const std::string& path);

// The "__ggml_vocab_test__" texts of NAME.inp with the ids of NAME.out.
std::vector<FixtureCase> read_vectors(const std::string& path_without_ending);

std::string read_text(const std::string& path);

}  // namespace dlm::testing
