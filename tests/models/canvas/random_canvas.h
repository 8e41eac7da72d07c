// Folders of a tiny Dream, LLaDA and ADJUST layer with random weights.
#pragma once

#include <cstdint>
#include <string>

namespace dlm::testing {

// 2 layers, width 32, 4 heads of 8, 2 key heads; of the tokens the last but one is the mask and the
// one before it the end of a text.
void write_random_dream(const std::string& folder, std::int64_t vocab_size = 40);

// The same sizes, with 4 key heads, as LLaDA.
void write_random_llada(const std::string& folder, std::int64_t vocab_size = 40);

// An ADJUST layer of those sizes, for any base of width 32; its post norm's weights are
// `post_norm`. `missing`: a tensor that is left out.
void write_random_adjust(const std::string& folder, const std::string& base_sha256,
                         double post_norm, const std::string& missing = "");

}  // namespace dlm::testing
