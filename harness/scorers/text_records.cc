#include "harness/scorers/text_records.h"

#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/text.h"

namespace dlm {
namespace {

std::vector<std::int64_t> ids_of(const Json& list, const std::string& where) {
  std::vector<std::int64_t> ids;
  for (const Json& id : list) {
    if (!id.is_number_integer())
      throw DataError(where, -1, "token ids as whole numbers", canonical_json(id));
    ids.push_back(id.get<std::int64_t>());
  }
  return ids;
}

TextRecord json_record(std::string_view line, const std::string& field, const std::string& where) {
  const Json object = parse_json(line, where);
  if (!object.is_object())
    throw DataError(where, -1, "an object", object.type_name());
  if (!object.contains(field)) {
    throw DataError(where, -1, fmt::format("a member '{}' (see --field)", field), "none");
  }
  const Json& value = object.at(field);
  TextRecord record;
  if (value.is_string()) {
    record.text = value.get<std::string>();
  } else if (value.is_array()) {
    record.ids = ids_of(value, where);
  } else {
    throw DataError(where, -1, fmt::format("'{}' as a text or a list of ids", field),
                    value.type_name());
  }
  if (object.contains("id"))
    record.id = object.at("id").is_string() ? object.at("id").get<std::string>()
                                            : canonical_json(object.at("id"));
  return record;
}

TextRecord plain_record(std::string_view line, const std::string& where) {
  if (const auto bad = find_invalid_utf8(line))
    throw DataError(where, static_cast<std::int64_t>(*bad), "UTF-8", "another byte");
  return {"", std::string(line), {}};
}

std::string joined(const std::vector<std::int64_t>& ids) {
  return fmt::format("{}", fmt::join(ids, " "));
}

void add_record(TextFile& file, TextRecord record, const std::string& where) {
  if (record.text.empty() && record.ids.empty()) {
    ++file.empty;
    return;
  }
  const bool is_ids = record.text.empty();
  if (!file.records.empty() && is_ids != file.is_ids)
    throw DataError(where, -1, "texts only or ids only", "both in one file");
  file.is_ids = is_ids;
  file.records.push_back(std::move(record));
}

}  // namespace

TextFile read_text_file(const std::string& path, const std::string& field, std::int64_t limit) {
  const auto mapped = MappedFile::open(path);
  TextFile file;
  file.path = path;
  file.sha256 = sha256_hex(mapped->bytes());
  const bool plain = path.ends_with(".txt");
  std::set<std::string> seen;
  std::int64_t number = 0, read = 0;
  for (std::string& line : split(mapped->text(), '\n')) {
    ++number;
    if (line.ends_with('\r'))  // of a line end CR LF
      line.pop_back();
    if (line.empty())
      continue;
    if (limit > 0 && read++ == limit)
      break;
    const std::string where = fmt::format("{} line {}", path, number);
    TextRecord record = plain ? plain_record(line, where) : json_record(line, field, where);
    if (record.id.empty())
      record.id = fmt::format("{:06}", number);
    if (!seen.insert(record.id).second)
      throw DataError(where, -1, "an id of its own", fmt::format("'{}' again", record.id));
    add_record(file, std::move(record), where);
  }
  if (file.records.empty())
    throw DataError(path, -1, "at least one text", "none");
  return file;
}

std::vector<std::int64_t> record_ids(const TextRecord& record, const LoadedModel& model) {
  if (record.text.empty())
    return record.ids;
  if (model.tokenizer == nullptr) {
    throw ConfigError("model", model.name, "has no tokenizer: give lists of token ids (--field)");
  }
  TokenIds ids = model.tokenizer->encode(record.text);
  return model.tokenizer->adds_bos() ? model.tokenizer->with_special(std::move(ids)) : ids;
}

std::int64_t end_of_text_id(const LoadedModel& model) {
  const auto own = model.tokenizer ? model.tokenizer->eos_id() : std::nullopt;
  return own.value_or(model.info().eos_id);
}

std::int64_t beginning_of_text_id(const LoadedModel& model) {
  const auto own = model.tokenizer ? model.tokenizer->bos_id() : std::nullopt;
  return own.value_or(model.info().bos_id);
}

ExampleRow row_of(const TextRecord& record) {
  ExampleRow row;
  row.doc_id = record.id;
  row.output = record.text.empty() ? joined(record.ids) : record.text;
  row.doc_sha = sha256_hex(row.output);
  row.bytes = std::ssize(record.text);
  row.words = count_words(record.text);
  return row;
}

}  // namespace dlm
