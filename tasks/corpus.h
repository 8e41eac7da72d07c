// Documents from text files: plain text cut in several ways, JSON lines, a JSON array, CSV. Files
// are hostile: what is not valid is refused with its place, never repaired.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/record.h"

namespace dlm {

enum class CorpusReader { kText, kJsonLines, kJsonArray, kCsv };

// How a plain text is cut into documents. Articles and paragraphs keep every byte: joined, they are
// the file. Lines and separated documents lose their line ends; blank ones are no documents. Rows
// and stripped lines are the documents of two published evaluations, one for every line.
enum class DocumentSplit {
  kWhole,       // the file is one document
  kLines,       // each line that is not blank
  kArticles,    // at headings of the wikitext form " = Title = " between blank lines
  kParagraphs,  // at blank lines
  kSeparator,   // at lines equal to `separator`
  // Each line with its line feed; a blank one is an empty document. Source: the row form of
  // huggingface's wikitext.
  kRows,
  // Each line without white space at its ends. Source: the row form of huggingface's ptb_text_only.
  kStripped,
};

struct CorpusFormat {
  CorpusReader reader = CorpusReader::kText;
  DocumentSplit split = DocumentSplit::kWhole;  // text only
  std::string separator;                        // kSeparator only
  // The members (JSON) or columns (CSV: numbers from 1, or names, then the first row is the header)
  // that make the text, joined by a space.
  std::vector<std::string> fields;
};

inline constexpr std::size_t kMaxLineBytes = 16'000'000;

// The documents of a file, in file order. Ids are six digits or more: the number from 0 of the line
// (lines, JSON lines), row (CSV, header not counted), array element, article, paragraph or
// separated document.
//
// Throws DataError with path and byte offset (JSON: line or element as well) for invalid UTF-8, a
// NUL byte, an empty file or one without a document, a missing or wrongly typed member, a line (or
// a JSON text) above kMaxLineBytes, a CSV quote that is not closed or misplaced, CSV rows of
// unequal length. Throws ConfigError for a format without fields where it needs them.
std::vector<Document> read_corpus(const std::string& path, const CorpusFormat& format);

// The same for a text at hand; `path` names it in errors.
std::vector<Document> parse_corpus(std::string_view text, std::string_view path,
                                   const CorpusFormat& format);

// Names as the command line and records have them: "text", "jsonl", "json", "csv"; "whole",
// "lines", "articles", "paragraphs", "separator". The reverse throws ConfigError.
std::string corpus_reader_name(CorpusReader reader);
std::string document_split_name(DocumentSplit split);
CorpusReader corpus_reader(std::string_view name);
DocumentSplit document_split(std::string_view name);

}  // namespace dlm
