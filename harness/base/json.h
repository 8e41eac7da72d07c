// JSON in and out. Parsing is strict about what nlohmann lets pass: duplicate keys, deep nesting,
// trailing text. Only .cc files that walk a document include <nlohmann/json.hpp> beside this
// header.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace dlm {

using Json = nlohmann::json;  // object keys are kept sorted

// Parses one JSON document. Throws DataError with `source` and the byte offset for bad syntax,
// invalid UTF-8, a key that occurs twice in one object, nesting beyond 64, or text after the
// document.
Json parse_json(std::string_view text, std::string_view source);

// The canonical form that hashes are taken of: keys sorted, no spaces, shortest round-trip numbers,
// UTF-8. Throws InternalError on NaN or infinity.
std::string canonical_json(const Json& value);

// Typed member access for hostile documents; `where` names the file. Missing or of another type:
// DataError that names the key. The *_or forms return `fallback` where the key is missing or null,
// and still refuse a wrong type.
std::int64_t json_int(const Json& object, const char* key, std::string_view where);
std::int64_t json_int_or(const Json& object, const char* key, std::int64_t fallback,
                         std::string_view where);
double json_double(const Json& object, const char* key, std::string_view where);
double json_double_or(const Json& object, const char* key, double fallback, std::string_view where);
bool json_bool_or(const Json& object, const char* key, bool fallback, std::string_view where);
std::string json_string(const Json& object, const char* key, std::string_view where);
std::string json_string_or(const Json& object, const char* key, std::string_view fallback,
                           std::string_view where);

}  // namespace dlm
