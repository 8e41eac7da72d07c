#include "tasks/corpus.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <utility>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/text.h"
#include "tasks/csv.h"

namespace dlm {
namespace {

using Readers = std::array<std::pair<CorpusReader, const char*>, 4>;
using Splits = std::array<std::pair<DocumentSplit, const char*>, 7>;

constexpr Readers kReaders{{{CorpusReader::kText, "text"},
                            {CorpusReader::kJsonLines, "jsonl"},
                            {CorpusReader::kJsonArray, "json"},
                            {CorpusReader::kCsv, "csv"}}};
constexpr Splits kSplits{{{DocumentSplit::kWhole, "whole"},
                          {DocumentSplit::kLines, "lines"},
                          {DocumentSplit::kArticles, "articles"},
                          {DocumentSplit::kParagraphs, "paragraphs"},
                          {DocumentSplit::kSeparator, "separator"},
                          {DocumentSplit::kRows, "rows"},
                          {DocumentSplit::kStripped, "stripped"}}};

template <class Table, class Value>
std::string name_in(const Table& table, Value value) {
  for (const auto& [candidate, name] : table) {
    if (candidate == value)
      return name;
  }
  DLM_CHECK(false, "value {} has no name", static_cast<int>(value));
  return {};
}

template <class Table>
auto value_in(const Table& table, std::string_view field, std::string_view wanted) {
  std::vector<std::string> known;
  for (const auto& [value, name] : table) {
    if (name == wanted)
      return value;
    known.emplace_back(name);
  }
  throw unknown_name(field, wanted, known);
}

// A line of the text: [begin, end) without its line feed, `next` starts the line after it.
struct Line {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t next = 0;
};

std::vector<Line> lines_of(std::string_view text) {
  std::vector<Line> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t feed = std::min(text.find('\n', at), text.size());
    lines.push_back({at, feed, std::min(feed + 1, text.size())});
    at = lines.back().next;
  }
  return lines;
}

// A text being read, with the path that errors name.
struct Source {
  std::string_view text;
  std::string_view path;
  std::vector<Line> lines;

  std::string_view line(std::size_t i) const {
    std::string_view found = text.substr(lines[i].begin, lines[i].end - lines[i].begin);
    if (found.ends_with('\r'))
      found.remove_suffix(1);
    return found;
  }

  bool blank(std::size_t i) const { return strip_ascii_space(line(i)).empty(); }

  [[noreturn]] void fail(std::size_t offset, std::string_view expected,
                         std::string_view found) const {
    throw DataError(path, static_cast<std::int64_t>(offset), expected, found);
  }
};

void check_text(const Source& source) {
  if (source.text.empty())
    source.fail(0, "text", "an empty file");
  if (strip_ascii_space(source.text).empty())
    source.fail(0, "text", "white space only");
  if (const auto bad = find_invalid_utf8(source.text)) {
    const auto byte = static_cast<unsigned char>(source.text[*bad]);
    source.fail(*bad, "valid UTF-8", fmt::format("byte 0x{:02x}", byte));
  }
  if (const auto nul = source.text.find('\0'); nul != std::string_view::npos)
    source.fail(nul, "text", "a NUL byte");
}

void check_line_lengths(const Source& source) {
  for (std::size_t i = 0; i < source.lines.size(); ++i) {
    const std::size_t bytes = source.lines[i].end - source.lines[i].begin;
    if (bytes > kMaxLineBytes)
      source.fail(source.lines[i].begin, fmt::format("lines of at most {} bytes", kMaxLineBytes),
                  fmt::format("line {} of {} bytes", i + 1, bytes));
  }
}

Document numbered(std::size_t number, std::string_view text) {
  return {fmt::format("{:06}", number), std::string(text), ""};
}

// " = Title = " with one equals sign at each end, between blank lines; formulas that stand on a
// line of their own inside an article look the same but for the blank lines.
bool is_heading(const Source& source, std::size_t i) {
  const std::string_view line = strip_ascii_space(source.line(i));
  if (line.size() < 5 || !line.starts_with("= ") || !line.ends_with(" ="))
    return false;
  if (line[2] == '=' || line[line.size() - 3] == '=')
    return false;
  const bool after_blank = i == 0 || source.blank(i - 1);
  const bool before_blank = i + 1 == source.lines.size() || source.blank(i + 1);
  return after_blank && before_blank;
}

// Documents that start at the given offsets and reach to the next; blank text before the first
// start belongs to the first, other text there is a document of its own.
std::vector<Document> cut_at(const Source& source, std::span<const std::size_t> starts) {
  std::vector<Document> documents;
  std::size_t begin = 0;
  const auto close_at = [&](std::size_t end) {
    const std::string_view text = source.text.substr(begin, end - begin);
    if (strip_ascii_space(text).empty())
      return;
    documents.push_back(numbered(documents.size(), text));
    begin = end;
  };
  for (const std::size_t start : starts) close_at(start);
  close_at(source.text.size());
  return documents;
}

std::vector<Document> articles_of(const Source& source) {
  std::vector<std::size_t> starts;
  for (std::size_t i = 0; i < source.lines.size(); ++i) {
    if (is_heading(source, i))
      starts.push_back(source.lines[i].begin);
  }
  if (starts.empty())
    source.fail(0, "headings of the form ' = Title = '", "none");
  return cut_at(source, starts);
}

std::vector<Document> paragraphs_of(const Source& source) {
  std::vector<std::size_t> starts;
  for (std::size_t i = 0; i < source.lines.size(); ++i) {
    if (!source.blank(i) && (i == 0 || source.blank(i - 1)))
      starts.push_back(source.lines[i].begin);
  }
  return cut_at(source, starts);
}

std::vector<Document> line_documents(const Source& source) {
  std::vector<Document> documents;
  for (std::size_t i = 0; i < source.lines.size(); ++i) {
    if (!source.blank(i))
      documents.push_back(numbered(i, source.line(i)));
  }
  return documents;
}

// One document for every line, blank ones too.
std::vector<Document> row_documents(const Source& source, DocumentSplit split) {
  std::vector<Document> documents;
  for (std::size_t i = 0; i < source.lines.size(); ++i) {
    const Line& line = source.lines[i];
    std::string_view text = source.text.substr(line.begin, line.next - line.begin);
    if (split == DocumentSplit::kStripped || source.blank(i))
      text = strip_ascii_space(text);
    documents.push_back(numbered(i, text));
  }
  return documents;
}

std::string_view strip_line_ends(std::string_view text) {
  const auto first = text.find_first_not_of("\r\n");
  if (first == std::string_view::npos)
    return {};
  return text.substr(first, text.find_last_not_of("\r\n") - first + 1);
}

std::vector<Document> separated_documents(const Source& source, std::string_view separator) {
  if (separator.empty())
    throw ConfigError("separator", "", "the text of a separator line");
  std::vector<Document> documents;
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= source.lines.size(); ++i) {
    const bool at_end = i == source.lines.size();
    if (!at_end && source.line(i) != separator)
      continue;
    const std::size_t end = at_end ? source.text.size() : source.lines[i].begin;
    const std::string_view text = strip_line_ends(source.text.substr(begin, end - begin));
    if (!strip_ascii_space(text).empty())
      documents.push_back(numbered(documents.size(), text));
    begin = at_end ? end : source.lines[i].next;
  }
  return documents;
}

std::vector<Document> text_documents(const Source& source, const CorpusFormat& format) {
  switch (format.split) {
    case DocumentSplit::kLines:
      return line_documents(source);
    case DocumentSplit::kArticles:
      return articles_of(source);
    case DocumentSplit::kParagraphs:
      return paragraphs_of(source);
    case DocumentSplit::kSeparator:
      return separated_documents(source, format.separator);
    case DocumentSplit::kRows:
    case DocumentSplit::kStripped:
      return row_documents(source, format.split);
    case DocumentSplit::kWhole:
      break;
  }
  return {numbered(0, source.text)};
}

void append_field(std::string& text, bool first, std::string_view field) {
  if (!first)
    text.push_back(' ');
  text.append(field);
}

// The text of one JSON object; `where` names the object in errors.
std::string json_text(const Json& object, const CorpusFormat& format, std::string_view where) {
  std::string text;
  for (std::size_t i = 0; i < format.fields.size(); ++i)
    append_field(text, i == 0, json_string(object, format.fields[i].c_str(), where));
  if (text.find('\0') != std::string::npos)
    throw DataError(where, -1, "text", "a NUL character");
  if (text.size() > kMaxLineBytes)
    throw DataError(where, -1, fmt::format("a text of at most {} bytes", kMaxLineBytes),
                    fmt::format("{} bytes", text.size()));
  return text;
}

std::vector<Document> json_line_documents(const Source& source, const CorpusFormat& format) {
  std::vector<Document> documents;
  for (std::size_t i = 0; i < source.lines.size(); ++i) {
    if (source.blank(i))
      continue;
    const std::string where = fmt::format("line {}", i + 1);
    try {
      const Json object = parse_json(source.line(i), where);
      documents.push_back(numbered(i, json_text(object, format, where)));
    } catch (const DataError& error) {
      source.fail(source.lines[i].begin, "a JSON object with the text", error.what());
    }
  }
  return documents;
}

std::vector<Document> json_array_documents(const Source& source, const CorpusFormat& format) {
  const Json array = parse_json(source.text, source.path);
  if (!array.is_array())
    source.fail(0, "a JSON array", array.type_name());
  std::vector<Document> documents;
  for (std::size_t i = 0; i < array.size(); ++i) {
    const std::string where = fmt::format("{}: element {}", source.path, i);
    documents.push_back(numbered(i, json_text(array[i], format, where)));
  }
  return documents;
}

// The column's index in a row: a number from 1, or a name of the header (the first row).
std::size_t column_index(const std::string& column, const CsvRow& first, std::string_view path) {
  if (const auto number = parse_int(column)) {
    if (*number < 1 || *number > static_cast<std::int64_t>(first.fields.size()))
      throw DataError(path, static_cast<std::int64_t>(first.offset),
                      fmt::format("a column {}", column),
                      fmt::format("{} columns", first.fields.size()));
    return static_cast<std::size_t>(*number - 1);
  }
  const auto found = std::find(first.fields.begin(), first.fields.end(), column);
  if (found == first.fields.end())
    throw DataError(path, static_cast<std::int64_t>(first.offset),
                    fmt::format("a column '{}' in the first row", column),
                    fmt::format("{}", fmt::join(first.fields, ", ")));
  return static_cast<std::size_t>(found - first.fields.begin());
}

std::vector<Document> csv_documents(const Source& source, const CorpusFormat& format) {
  const std::vector<CsvRow> rows = parse_csv(source.text, source.path);
  std::vector<std::size_t> columns;
  bool has_header = false;
  for (const std::string& field : format.fields) {
    columns.push_back(column_index(field, rows[0], source.path));
    has_header = has_header || !parse_int(field);
  }
  std::vector<Document> documents;
  for (std::size_t r = has_header ? 1 : 0; r < rows.size(); ++r) {
    std::string text;
    for (std::size_t c = 0; c < columns.size(); ++c)
      append_field(text, c == 0, rows[r].fields[columns[c]]);
    documents.push_back(numbered(documents.size(), text));
  }
  return documents;
}

std::vector<Document> documents_of(const Source& source, const CorpusFormat& format) {
  switch (format.reader) {
    case CorpusReader::kJsonLines:
      return json_line_documents(source, format);
    case CorpusReader::kJsonArray:
      return json_array_documents(source, format);
    case CorpusReader::kCsv:
      return csv_documents(source, format);
    case CorpusReader::kText:
      break;
  }
  return text_documents(source, format);
}

}  // namespace

std::string corpus_reader_name(CorpusReader reader) {
  return name_in(kReaders, reader);
}

std::string document_split_name(DocumentSplit split) {
  return name_in(kSplits, split);
}

CorpusReader corpus_reader(std::string_view name) {
  return value_in(kReaders, "reader", name);
}

DocumentSplit document_split(std::string_view name) {
  return value_in(kSplits, "split", name);
}

std::vector<Document> parse_corpus(std::string_view text, std::string_view path,
                                   const CorpusFormat& format) {
  if (format.reader != CorpusReader::kText && format.fields.empty())
    throw ConfigError("fields", "", "the fields or columns that hold the text");
  Source source{text, path, {}};
  check_text(source);
  source.lines = lines_of(text);
  // A whole JSON array may stand on one line; its texts are checked one by one.
  if (format.reader != CorpusReader::kJsonArray)
    check_line_lengths(source);
  std::vector<Document> documents = documents_of(source, format);
  if (documents.empty())
    source.fail(0, "at least one document", "none");
  return documents;
}

std::vector<Document> read_corpus(const std::string& path, const CorpusFormat& format) {
  const auto file = MappedFile::open(path);
  return parse_corpus(file->text(), path, format);
}

}  // namespace dlm
