#include "results/reveal.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "results/html.h"

namespace dlm {
namespace {

constexpr std::int64_t kShades = 8;

std::vector<std::int64_t> numbers(const Json& json, const char* key, std::string_view where) {
  const auto found = json.is_object() ? json.find(key) : json.end();
  if (!json.is_object() || found == json.end() || !found->is_array())
    throw DataError(where, -1, fmt::format("an object with an array '{}'", key), "another value");
  std::vector<std::int64_t> values;
  for (const Json& one : *found) {
    if (!one.is_number_integer() || one.get<std::int64_t>() < 0)
      throw DataError(where, -1, fmt::format("whole numbers >= 0 in '{}'", key), one.dump());
    values.push_back(one.get<std::int64_t>());
  }
  return values;
}

// The end of `bytes` more of the text, moved to where a character begins.
std::size_t end_after(std::string_view text, std::size_t begin, std::int64_t bytes) {
  std::size_t end = begin + std::min(text.size() - begin, static_cast<std::size_t>(bytes));
  while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
  return end;
}

}  // namespace

std::string reveal_json(std::span<const RevealedToken> tokens) {
  std::vector<std::int64_t> bytes, passes;
  for (const RevealedToken& token : tokens) {
    bytes.push_back(token.bytes);
    passes.push_back(token.pass);
  }
  return fmt::format(R"({{"bytes":[{}],"passes":[{}]}})", fmt::join(bytes, ","),
                     fmt::join(passes, ","));
}

std::vector<RevealedToken> parse_reveal(std::string_view json, std::string_view where) {
  const Json value = parse_json(json, where);
  const auto bytes = numbers(value, "bytes", where), passes = numbers(value, "passes", where);
  if (bytes.size() != passes.size())
    throw DataError(where, -1, "as many passes as bytes",
                    fmt::format("{} and {}", passes.size(), bytes.size()));
  std::vector<RevealedToken> tokens;
  for (std::size_t i = 0; i < bytes.size(); ++i) tokens.push_back({bytes[i], passes[i]});
  return tokens;
}

std::string reveal_html(std::string_view text, std::span<const RevealedToken> tokens) {
  std::int64_t passes = 1;
  for (const RevealedToken& token : tokens) passes = std::max(passes, token.pass);
  std::string out;
  std::size_t begin = 0;
  for (const RevealedToken& token : tokens) {
    const std::size_t end = end_after(text, begin, token.bytes);
    if (end == begin)
      continue;
    const std::int64_t shade = std::max<std::int64_t>(0, token.pass - 1) * kShades / passes;
    out += fmt::format("<span class=\"q{}\" data-p=\"{}\">{}</span>", shade, token.pass,
                       html_text(text.substr(begin, end - begin)));
    begin = end;
  }
  return out + html_text(text.substr(begin));
}

}  // namespace dlm
