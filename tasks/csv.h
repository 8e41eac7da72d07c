// Comma-separated values (RFC 4180): quoted fields, doubled quotes, line breaks inside quotes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace dlm {

struct CsvRow {
  std::vector<std::string> fields;
  std::size_t offset = 0;  // of the row's first byte
};

// All rows; a final line end starts no row. Backslashes are ordinary. Throws DataError with `path`
// and the offset for a quote that is never closed, a quote inside an unquoted field, text after a
// closing quote, or a row whose number of fields differs from the first row's.
std::vector<CsvRow> parse_csv(std::string_view text, std::string_view path);

}  // namespace dlm
