// The two long lists of a tokenizer, read without building a JSON document of them: that document
// would cost most of the time of loading 150,000 tokens.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "models/tokenizer/token_model.h"

namespace dlm {

// The value of a member of the object that `object` is; nothing where there is none, where the key
// is written with escapes, or where the text is not JSON. Does not check what it passes over.
std::optional<JsonPart> find_json_member(const JsonPart& object, std::string_view key);

// {token: id}. Throws DataError with `where` for bad JSON (with the offset), ids that are not
// integers, and what Vocabulary refuses.
Vocabulary parse_vocabulary(const JsonPart& part, const std::string& where);

// ["a b", ...] or [["a", "b"], ...].
Merges parse_merges(const JsonPart& part, const std::string& where);

// Adds "left right"; a line that begins with "#version" is none.
void append_merge_line(std::string_view line, Merges& out, std::string_view where);

}  // namespace dlm
