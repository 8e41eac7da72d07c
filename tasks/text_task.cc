#include "tasks/text_task.h"

#include <algorithm>
#include <map>
#include <utility>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/text.h"
#include "tasks/datasets.h"

namespace dlm {
namespace {

constexpr int kVersion = 1;

// Where a task's documents come from.
struct Origin {
  std::string path;
  std::string sha256;
  CorpusFormat format;
  std::string detokenizer;
};

std::map<std::string, std::string> parse_query(std::string_view query,
                                               const std::vector<std::string>& known) {
  std::map<std::string, std::string> options;
  for (const std::string& part : split(query, '&')) {
    const auto equals = part.find('=');
    const std::string key = part.substr(0, equals);
    if (std::find(known.begin(), known.end(), key) == known.end())
      throw unknown_name("task option", key, known);
    if (equals == std::string::npos || equals + 1 == part.size())
      throw ConfigError("task option", part, fmt::format("{}=VALUE", key));
    options[key] = part.substr(equals + 1);
  }
  return options;
}

std::vector<std::string> options_of(CorpusReader reader) {
  switch (reader) {
    case CorpusReader::kText:
      return {"split", "separator"};
    case CorpusReader::kCsv:
      return {"column"};
    case CorpusReader::kJsonLines:
    case CorpusReader::kJsonArray:
      break;
  }
  return {"field"};
}

CorpusFormat file_format(CorpusReader reader, std::map<std::string, std::string> options) {
  CorpusFormat format{reader, DocumentSplit::kWhole, options["separator"], {}};
  if (reader == CorpusReader::kText) {
    if (!options["split"].empty())
      format.split = document_split(options["split"]);
    if ((format.split == DocumentSplit::kSeparator) == format.separator.empty())
      throw ConfigError("separator", format.separator, "given with split=separator, and only then");
  } else if (reader == CorpusReader::kCsv) {
    if (options["column"].empty())
      throw ConfigError("column", "", "csv:PATH?column=N names the column that holds the text");
    format.fields = split(options["column"], ',');
  } else {
    format.fields = {options["field"].empty() ? "text" : options["field"]};
  }
  return format;
}

Origin file_origin(const std::string& name, std::size_t colon) {
  const CorpusReader reader = corpus_reader(name.substr(0, colon));
  std::string path = name.substr(colon + 1);
  std::map<std::string, std::string> options;
  if (const auto query = path.rfind('?'); query != std::string::npos) {
    options = parse_query(path.substr(query + 1), options_of(reader));
    path.erase(query);
  }
  if (path.empty())
    throw ConfigError("task", name, fmt::format("{}PATH", name.substr(0, colon + 1)));
  CorpusFormat format = file_format(reader, std::move(options));
  return {path, sha256_hex_of_file(path), std::move(format), "none"};
}

Origin origin_of(const std::string& name, const std::string& data_root) {
  if (const auto colon = name.find(':'); colon != std::string::npos)
    return file_origin(name, colon);
  const NamedDataset& dataset = find_dataset(name);
  return {locate_dataset(dataset, data_root), dataset.sha256, dataset.format, dataset.detokenizer};
}

std::string config_json(const Origin& origin) {
  Json config{{"detokenizer", origin.detokenizer},
              {"reader", corpus_reader_name(origin.format.reader)}};
  if (origin.format.reader == CorpusReader::kText)
    config["split"] = document_split_name(origin.format.split);
  else
    config["fields"] = origin.format.fields;
  if (!origin.format.separator.empty())
    config["separator"] = origin.format.separator;
  return canonical_json(config);
}

void keep_first(std::vector<Document>& documents, std::int64_t limit) {
  if (limit > 0 && static_cast<std::size_t>(limit) < documents.size())
    documents.erase(documents.begin() + limit, documents.end());
}

void check_limit(std::int64_t limit) {
  if (limit < 0)
    throw ConfigError("limit", fmt::format("{}", limit), "0 (all) or more");
}

}  // namespace

TextTask::TextTask(TaskInfo info, Detokenizer detokenizer, std::vector<Document> raw)
    : info_(std::move(info)), detokenizer_(detokenizer), raw_(std::move(raw)) {}

std::vector<Document> TextTask::documents(std::int64_t limit) const {
  check_limit(limit);
  const auto count =
      limit == 0 ? raw_.size() : std::min(raw_.size(), static_cast<std::size_t>(limit));
  std::vector<Document> documents(raw_.begin(), raw_.begin() + static_cast<std::ptrdiff_t>(count));
  for (Document& document : documents) document.text = detokenizer_(document.text);
  return documents;
}

TextTask make_text_task(const TextTaskSpec& spec, const std::string& data_root) {
  check_limit(spec.limit);
  if (!spec.detokenizer.empty())
    find_detokenizer(spec.detokenizer);  // a typing error shows before the data is read
  Origin origin = origin_of(spec.name, data_root);
  if (!spec.detokenizer.empty())
    origin.detokenizer = spec.detokenizer;
  std::vector<Document> raw = read_corpus(origin.path, origin.format);
  keep_first(raw, spec.limit);
  TaskInfo info{spec.name,
                kVersion,
                "text",
                origin.sha256,
                config_json(origin),
                static_cast<std::int64_t>(raw.size())};
  return TextTask(std::move(info), find_detokenizer(origin.detokenizer), std::move(raw));
}

}  // namespace dlm
