#include "tasks/csv.h"

#include <utility>

#include "harness/base/error.h"

namespace dlm {
namespace {

class CsvParser {
 public:
  CsvParser(std::string_view text, std::string_view path) : text_(text), path_(path) {}

  std::vector<CsvRow> rows() {
    std::vector<CsvRow> rows;
    while (at_ < text_.size()) {
      CsvRow row = next_row();
      if (!rows.empty() && row.fields.size() != rows[0].fields.size())
        fail(row.offset, fmt::format("{} fields as in the first row", rows[0].fields.size()),
             fmt::format("{}", row.fields.size()));
      rows.push_back(std::move(row));
    }
    return rows;
  }

 private:
  [[noreturn]] void fail(std::size_t offset, std::string_view expected,
                         std::string_view found) const {
    throw DataError(path_, static_cast<std::int64_t>(offset), expected, found);
  }

  bool at_line_end() const {
    return at_ >= text_.size() || text_[at_] == '\n' || text_.substr(at_, 2) == "\r\n";
  }

  CsvRow next_row() {
    CsvRow row;
    row.offset = at_;
    while (true) {
      row.fields.push_back(at_ < text_.size() && text_[at_] == '"' ? quoted_field()
                                                                   : plain_field());
      if (at_line_end())
        break;
      ++at_;  // the comma
    }
    if (at_ < text_.size())
      at_ += text_[at_] == '\r' ? 2U : 1U;
    return row;
  }

  std::string plain_field() {
    const std::size_t start = at_;
    for (; !at_line_end() && text_[at_] != ','; ++at_) {
      if (text_[at_] == '"')
        fail(at_, "a quote only around a whole field", "one inside a field");
    }
    return std::string(text_.substr(start, at_ - start));
  }

  std::string quoted_field() {
    const std::size_t open = at_;
    std::string field;
    ++at_;
    while (true) {
      const std::size_t quote = text_.find('"', at_);
      if (quote == std::string_view::npos)
        fail(open, "a closing quote", "the end of the file");
      field.append(text_.substr(at_, quote - at_));
      at_ = quote + 1;
      if (at_ >= text_.size() || text_[at_] != '"')
        break;
      field.push_back('"');
      ++at_;
    }
    if (!at_line_end() && text_[at_] != ',')
      fail(at_, "a comma or line end after the closing quote", "more text");
    return field;
  }

  std::string_view text_;
  std::string_view path_;
  std::size_t at_ = 0;
};

}  // namespace

std::vector<CsvRow> parse_csv(std::string_view text, std::string_view path) {
  return CsvParser(text, path).rows();
}

}  // namespace dlm
