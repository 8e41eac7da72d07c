// How a text that was not written from left to right came about, by its bytes: what a report needs
// to replay it without the tokenizer.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/tokenizer/tokenizer.h"
#include "results/reveal.h"

namespace dlm {

// The bytes of `output` that each of `ids` spells behind `prompt`; they add up to its size. A
// character that several tokens spell together is its last token's. Without a tokenizer `output`
// has the ids themselves with a space between two. Takes time linear in the length of the text.
std::vector<std::int64_t> token_bytes(const Tokenizer* tokenizer,
                                      std::span<const std::int64_t> prompt,
                                      std::span<const std::int64_t> ids, std::string_view output);

// token_bytes with the pass of each id.
std::vector<RevealedToken> reveal_record(std::span<const std::int64_t> bytes,
                                         std::span<const std::int64_t> passes);

}  // namespace dlm
