// In which order the tokens of generated texts were revealed: kept in the table reveal
// (Store::add_rows), shown on a page. A table of its own, so that who reads rows does not pass over
// it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dlm {

// One token of a text: how many bytes of the text it spells, and the pass (of this text, from 1)
// that revealed it.
struct RevealedToken {
  std::int64_t bytes = 0;
  std::int64_t pass = 0;

  bool operator==(const RevealedToken&) const = default;
};

// The text of one row, token by token in the order of the text.
struct RowReveal {
  std::string doc_id;
  std::int64_t rep = 0;
  std::vector<RevealedToken> tokens;
};

// {"bytes":[...],"passes":[...]}, a number a token.
std::string reveal_json(std::span<const RevealedToken> tokens);

// The same again. Throws DataError on `where` for text that reveal_json does not write.
std::vector<RevealedToken> parse_reveal(std::string_view json, std::string_view where);

// Spans of `text`, one a token, with its pass (data-p) and a class for its share of all passes: q0
// the first to q7 the last. `text` may be shorter than the tokens say; text behind them stands
// without a span.
std::string reveal_html(std::string_view text, std::span<const RevealedToken> tokens);

}  // namespace dlm
