// JSON lines as rows: every line an object, with its number for errors. For task data and for
// generations, which are hostile: what is not valid is refused with its place, never repaired.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "harness/base/json.h"

namespace dlm {

// Most bytes of one line.
inline constexpr std::size_t kMaxRowBytes = 64'000'000;

// Calls `row` for every line that is not blank, with the parsed object and `where`, "PATH line 12".
// Throws DataError for invalid UTF-8 (with its offset), a line above kMaxRowBytes, bad JSON, a line
// that is no object, and a text without a row.
void for_each_json_row(std::string_view text, const std::string& path,
                       const std::function<void(const Json& row, const std::string& where)>& row);

// The member that a dotted path names ("175b_verification.solution"), or nothing where a member is
// missing or null. A path whose whole text is a member names that.
const Json* find_path(const Json& object, std::string_view path);

}  // namespace dlm
