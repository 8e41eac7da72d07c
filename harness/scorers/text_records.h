// Texts to be scored, from a file: one JSON object per line, or one text per line.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/factory.h"

namespace dlm {

struct TextRecord {
  std::string id;    // member "id" where the line has one, else the line's number
  std::string text;  // empty where the field held token ids
  std::vector<std::int64_t> ids;
};

struct TextFile {
  std::string path;
  std::string sha256;   // of the file
  bool is_ids = false;  // the field holds lists of token ids
  std::vector<TextRecord> records;
  std::int64_t empty = 0;  // texts without a character or a token, left out
};

// A file whose name ends in .txt holds one text per line; any other one JSON object per line, whose
// member `field` is a string or a list of whole numbers, the same in every line. The first `limit`
// lines (0 = all) are read. Throws DataError naming the line for anything else, for invalid UTF-8
// and for a file without a text.
TextFile read_text_file(const std::string& path, const std::string& field, std::int64_t limit);

// Token ids of a record: what a plain call of the model's tokenizer gives (BOS first where it adds
// one), or the record's own ids. Throws ConfigError where the model has no tokenizer for a text.
std::vector<std::int64_t> record_ids(const TextRecord& record, const LoadedModel& model);

// End-of-text and BOS of the tokenizer, or else of the config; -1 = none.
std::int64_t end_of_text_id(const LoadedModel& model);
std::int64_t beginning_of_text_id(const LoadedModel& model);

// A row that holds the text and its sizes, nothing measured yet.
ExampleRow row_of(const TextRecord& record);

}  // namespace dlm
