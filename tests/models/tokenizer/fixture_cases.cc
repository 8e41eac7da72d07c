#include "tests/models/tokenizer/fixture_cases.h"

#include <nlohmann/json.hpp>

#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/text.h"

namespace dlm::testing {
namespace {

template <class Value>
std::optional<Value> optional_member(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it == object.end() ? std::nullopt : std::optional(it->get<Value>());
}

}  // namespace

std::string read_text(const std::string& path) {
  return std::string(MappedFile::open(path)->text());
}

std::vector<FixtureCase> read_fixture(const std::string& path) {
  std::vector<FixtureCase> cases;
  for (const std::string& line : split(read_text(path), '\n')) {
    if (line.empty())
      continue;
    const Json json = parse_json(line, path);
    FixtureCase out;
    out.decode_only = json.value("decode_only", false);
    out.text = json.value("text", "");
    out.ids = json.at("ids").get<TokenIds>();
    out.decoded = json.at("decoded").get<std::string>();
    out.ids_ordinary = optional_member<TokenIds>(json, "ids_ordinary");
    out.ids_with_special = optional_member<TokenIds>(json, "ids_with_special");
    out.decoded_skip_special = optional_member<std::string>(json, "decoded_skip_special");
    out.decoded_cleanup = optional_member<std::string>(json, "decoded_cleanup");
    cases.push_back(out);
  }
  return cases;
}

std::vector<FixtureCase> read_vectors(const std::string& path_without_ending) {
  const std::string input = read_text(path_without_ending + ".inp");
  const std::string separator = "\n__ggml_vocab_test__\n";
  std::vector<FixtureCase> cases;
  for (std::size_t at = 0; at < input.size();) {
    const auto end = std::min(input.find(separator, at), input.size());
    cases.emplace_back().text = input.substr(at, end - at);
    at = end + separator.size();
  }
  const std::vector<std::string> lines = split(read_text(path_without_ending + ".out"), '\n');
  for (std::size_t i = 0; i < cases.size() && i < lines.size(); ++i) {
    for (const std::string& number : split(lines[i], ' ')) {
      if (const auto id = parse_int(number))
        cases[i].ids.push_back(*id);
    }
  }
  return cases;
}

}  // namespace dlm::testing
