#include "tasks/jsonl.h"

#include <cstdint>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/text.h"

namespace dlm {
namespace {

[[noreturn]] void refuse(const std::string& where, std::size_t offset, std::string_view expected,
                         std::string_view found) {
  throw DataError(where, static_cast<std::int64_t>(offset), expected, found);
}

}  // namespace

void for_each_json_row(std::string_view text, const std::string& path,
                       const std::function<void(const Json& row, const std::string& where)>& row) {
  if (const auto bad = find_invalid_utf8(text))
    refuse(path, *bad, "UTF-8", "an ill-formed sequence");
  bool any = false;
  std::size_t number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t feed = text.find('\n', at);
    const std::size_t end = feed == std::string_view::npos ? text.size() : feed;
    const std::string_view line = text.substr(at, end - at);
    const std::string where = fmt::format("{} line {}", path, ++number);
    if (line.size() > kMaxRowBytes)
      refuse(where, at, fmt::format("lines up to {} bytes", kMaxRowBytes),
             fmt::format("{} bytes", line.size()));
    if (!strip_ascii_space(line).empty()) {
      const Json value = parse_json(line, where);
      if (!value.is_object())
        refuse(where, at, "a JSON object", canonical_json(value).substr(0, 40));
      row(value, where);
      any = true;
    }
    at = end + 1;
  }
  if (!any)
    refuse(path, 0, "a row", "none");
}

const Json* find_path(const Json& object, std::string_view path) {
  if (!object.is_object())
    return nullptr;
  if (const auto it = object.find(std::string(path)); it != object.end())
    return it->is_null() ? nullptr : &*it;
  const std::size_t dot = path.find('.');
  if (dot == std::string_view::npos)
    return nullptr;
  const auto it = object.find(std::string(path.substr(0, dot)));
  return it == object.end() ? nullptr : find_path(*it, path.substr(dot + 1));
}

}  // namespace dlm
