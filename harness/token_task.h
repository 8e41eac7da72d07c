// The task "tokens:FILE": documents that `draw` made, as token ids (models/training/token_file.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "models/training/token_file.h"
#include "tasks/windows.h"

namespace dlm {

bool is_token_task(std::string_view task);

// FILE, with data: resolved (data_root.h).
std::string token_file_path(std::string_view task);

// "stories" of "models/zoo/stories.tokens.safetensors".
std::string file_stem(std::string_view path);

// The first `limit` documents (0 = all), numbered from "000000".
std::vector<TokenizedDocument> token_documents(const TokenFile& file, std::int64_t limit);

}  // namespace dlm
