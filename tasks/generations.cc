#include "tasks/generations.h"

#include <array>
#include <cmath>
#include <initializer_list>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/gzip.h"
#include "harness/base/json.h"
#include "tasks/jsonl.h"

namespace dlm {
namespace {

constexpr std::array<std::pair<const char*, GenerationFormat>, 5> kFormats{
    {{"auto", GenerationFormat::kAuto},
     {"jsonl", GenerationFormat::kJsonl},
     {"lm_eval", GenerationFormat::kLmEval},
     {"humaneval", GenerationFormat::kHumanEval},
     {"samples", GenerationFormat::kSampleList}}};

using NameList = std::initializer_list<const char*>;

constexpr NameList kTextNames{"text",   "generation", "completion",
                              "output", "response",   "prediction"};
constexpr NameList kIdNames{"doc_id", "task_id", "id"};
constexpr NameList kQuestionNames{"question", "problem", "prompt"};

GenerationFormat format_of(const Json& row) {
  const auto has = [&](const char* key) { return row.contains(key); };
  if (has("doc_id") && has("resps"))
    return GenerationFormat::kLmEval;
  if (has("prompt") && has("samples"))
    return GenerationFormat::kSampleList;
  if (has("task_id") && has("completion"))
    return GenerationFormat::kHumanEval;
  return GenerationFormat::kJsonl;
}

[[noreturn]] void wrong(const std::string& where, std::string_view expected, const Json* found) {
  throw DataError(where, -1, expected,
                  found == nullptr ? "nothing" : canonical_json(*found).substr(0, 80));
}

std::string text_at(const Json& row, const std::string& path, const std::string& where) {
  const Json* value = find_path(row, path);
  if (value == nullptr || !value->is_string())
    wrong(where, fmt::format("a text '{}'", path), value);
  return value->get<std::string>();
}

// The usual name that the row has; empty where it has none.
std::string usual_name(const Json& row, NameList names) {
  for (const char* name : names) {
    if (find_path(row, name) != nullptr)
      return name;
  }
  return "";
}

std::string only_text_name(const Json& row, const std::string& path) {
  std::string found;
  for (const char* name : kTextNames) {
    const Json* value = find_path(row, name);
    if (value == nullptr || !value->is_string())
      continue;
    if (!found.empty())
      throw ConfigError("text-member", "",
                        fmt::format("{} has both '{}' and '{}': name one", path, found, name));
    found = name;
  }
  if (found.empty())
    throw ConfigError("text-member", "",
                      fmt::format("{}: no member is called {}: name the one that holds the text",
                                  path, fmt::join(kTextNames, ", ")));
  return found;
}

bool verdict_of(const Json& value, const std::string& name, const std::string& where) {
  if (value.is_boolean())
    return value.get<bool>();
  if (value.is_number() && (value.get<double>() == 0 || value.get<double>() == 1))
    return value.get<double>() == 1;
  wrong(where, fmt::format("true, false, 0 or 1 in '{}'", name), &value);
}

class GenerationReader {
 public:
  GenerationReader(std::string path, const GenerationOptions& options)
      : path_(std::move(path)), options_(options) {}

  GenerationFile run(std::string_view text) {
    for_each_json_row(text, path_, [&](const Json& row, const std::string& where) {
      if (file_.generations.empty() && format_ == GenerationFormat::kAuto)
        begin(row);
      read(row, where);
    });
    file_.format = format_;
    return std::move(file_);
  }

 private:
  void begin(const Json& first) {
    format_ = options_.format == GenerationFormat::kAuto ? format_of(first) : options_.format;
    if (format_ == GenerationFormat::kJsonl || format_ == GenerationFormat::kHumanEval) {
      text_ = options_.text_member.empty() ? only_text_name(first, path_) : options_.text_member;
      id_ = options_.id_member.empty() ? usual_name(first, kIdNames) : options_.id_member;
      question_ = options_.question_member.empty() ? usual_name(first, kQuestionNames)
                                                   : options_.question_member;
      if (id_.empty() && question_.empty())
        throw ConfigError("id-member", "",
                          fmt::format("{}: no member is called {}: name the one that tells the "
                                      "document, or --question-member",
                                      path_, fmt::join(kIdNames, ", ")));
    }
  }

  void read(const Json& row, const std::string& where) {
    switch (format_) {
      case GenerationFormat::kLmEval:
        return read_lm_eval(row, where);
      case GenerationFormat::kSampleList:
        return read_sample_list(row, where);
      case GenerationFormat::kAuto:
      case GenerationFormat::kJsonl:
      case GenerationFormat::kHumanEval:
        return read_plain(row, where);
    }
  }

  // A whole number is a row number, a text an id.
  void set_id(Generation& generation, const Json& row, const std::string& name) const {
    const Json* id = find_path(row, name);
    if (id == nullptr || !(id->is_string() || id->is_number_integer()) ||
        (!id->is_number_unsigned() && id->is_number_integer() && id->get<std::int64_t>() < 0))
      wrong(generation.where, fmt::format("a text or a whole number '{}'", name), id);
    if (id->is_string())
      generation.doc_id = id->get<std::string>();
    else
      generation.row = json_int(*id, generation.where);
  }

  static std::int64_t json_int(const Json& value, const std::string& where) {
    if (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX)
      wrong(where, "a row number below 2^63", &value);
    return value.get<std::int64_t>();
  }

  // Names the document in `samples_`.
  static std::string key_of(const Generation& generation) {
    if (!generation.doc_id.empty())
      return "id " + generation.doc_id;
    if (generation.row >= 0)
      return "row " + std::to_string(generation.row);
    return "question " + generation.question;
  }

  void read_plain(const Json& row, const std::string& where) {
    Generation generation;
    generation.where = where;
    generation.text = text_at(row, text_, where);
    if (!id_.empty())
      set_id(generation, row, id_);
    if (!question_.empty())
      generation.question = text_at(row, question_, where);
    add_verdict(generation, row);
    add_reference(generation, row);
    const std::string key = key_of(generation);
    if (format_ == GenerationFormat::kHumanEval) {
      generation.sample = samples_[key]++;
    } else {
      generation.sample = json_int_or(row, "sample", 0, where);
      if (!seen_.insert({key, generation.sample}).second)
        throw DataError(where, -1, "each document once, or a whole number 'sample'",
                        fmt::format("{} again", key.substr(0, 80)));
    }
    file_.generations.push_back(std::move(generation));
  }

  void add_verdict(Generation& generation, const Json& row) const {
    const std::string& name = options_.verdict_member;
    if (name.empty())
      return;
    const Json* verdict = find_path(row, name);
    if (verdict == nullptr)
      wrong(generation.where, fmt::format("a verdict '{}'", name), verdict);
    generation.recorded[""] = verdict_of(*verdict, name, generation.where);
  }

  void add_reference(Generation& generation, const Json& row) const {
    const std::string& name = options_.reference_member;
    if (name.empty())
      return;
    const Json* reference = find_path(row, name);
    if (reference != nullptr && !reference->is_string() && !reference->is_number())
      wrong(generation.where, fmt::format("a text, a number or null '{}'", name), reference);
    generation.reference = reference == nullptr     ? ""
                           : reference->is_string() ? reference->get<std::string>()
                                                    : number_text(*reference);
  }

  // 18.0 is 18: the file's JSON writer chose the form, not its author.
  static std::string number_text(const Json& number) {
    constexpr double kWhole = 9007199254740992.0;  // 2^53
    const auto value = number.get<double>();
    if (std::abs(value) < kWhole && value == std::floor(value))
      return std::to_string(static_cast<std::int64_t>(value));
    return canonical_json(number);
  }

  // Rows of one document differ in filter and metrics alone.
  void read_lm_eval(const Json& row, const std::string& where) {
    Generation generation;
    generation.where = where;
    set_id(generation, row, "doc_id");
    const std::string filter = json_string_or(row, "filter", "none", where);
    const Json* verdict =
        find_path(row, options_.verdict_member.empty() ? "exact_match" : options_.verdict_member);
    if (verdict != nullptr)
      generation.recorded[filter] = verdict_of(*verdict, "exact_match", where);
    if (const Json* doc = find_path(row, "doc"); doc != nullptr) {
      const std::string name = options_.question_member.empty() ? usual_name(*doc, kQuestionNames)
                                                                : options_.question_member;
      if (!name.empty())
        generation.question = text_at(*doc, name, where);
    }
    const std::vector<std::string> texts = responses(row, where);
    const std::string key = key_of(generation);
    const auto [first, is_new] = documents_.try_emplace(key, file_.generations.size());
    if (!is_new)
      return merge(first->second, generation, texts);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      generation.text = texts[i];
      generation.sample = static_cast<std::int64_t>(i);
      file_.generations.push_back(generation);
    }
    counts_[key] = texts.size();
  }

  static std::vector<std::string> responses(const Json& row, const std::string& where) {
    const Json* outer = find_path(row, "resps");
    if (outer == nullptr || !outer->is_array() || outer->size() != 1 ||
        !outer->front().is_array() || outer->front().empty())
      wrong(where, "a list of one list of texts 'resps'", outer);
    std::vector<std::string> texts;
    for (const Json& text : outer->front()) {
      if (!text.is_string())
        wrong(where, "texts in 'resps'", &text);
      texts.push_back(text.get<std::string>());
    }
    return texts;
  }

  void merge(std::size_t first, const Generation& again, const std::vector<std::string>& texts) {
    if (counts_[key_of(again)] != texts.size())
      wrong(again.where, "as many responses as the document's other rows", nullptr);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      Generation& known = file_.generations[first + i];
      if (known.text != texts[i] || known.question != again.question)
        throw DataError(again.where, -1, fmt::format("the response of {}", known.where),
                        "another one for the same document");
      for (const auto& [filter, verdict] : again.recorded) {
        if (!known.recorded.try_emplace(filter, verdict).second && i == 0)
          throw DataError(again.where, -1, "each document and filter once",
                          fmt::format("filter '{}' again", filter));
      }
    }
  }

  void read_sample_list(const Json& row, const std::string& where) {
    const std::string prompt = text_at(row, "prompt", where);
    const Json* samples = find_path(row, "samples");
    if (samples == nullptr || !samples->is_array())
      wrong(where, "a list 'samples'", samples);
    if (!seen_.insert({prompt, 0}).second)
      throw DataError(where, -1, "each prompt once", "a prompt again");
    std::int64_t number = 0;
    for (const Json& sample : *samples) {
      if (!sample.is_string())
        wrong(where, "texts in 'samples'", &sample);
      Generation generation;
      generation.where = where;
      generation.question = prompt;
      generation.sample = number++;
      generation.text = sample.get<std::string>();
      file_.generations.push_back(std::move(generation));
    }
  }

  std::string path_;
  const GenerationOptions& options_;
  GenerationFormat format_ = GenerationFormat::kAuto;
  std::string text_, id_, question_;
  GenerationFile file_;
  std::map<std::string, std::int64_t> samples_;          // HumanEval: samples so far
  std::set<std::pair<std::string, std::int64_t>> seen_;  // document and sample
  std::map<std::string, std::size_t> documents_;         // lm-eval: place of the first
  std::map<std::string, std::size_t> counts_;            // lm-eval: responses
};

}  // namespace

GenerationFile parse_generations(std::string_view text, const std::string& path,
                                 const GenerationOptions& options) {
  return GenerationReader(path, options).run(text);
}

GenerationFile read_generations(const std::string& path, const GenerationOptions& options) {
  GenerationFile file = parse_generations(read_text_file(path), path, options);
  file.sha256 = sha256_hex_of_file(path);
  return file;
}

std::string generation_format_name(GenerationFormat format) {
  for (const auto& [name, value] : kFormats) {
    if (value == format)
      return name;
  }
  DLM_CHECK(false, "no such format");
  return {};
}

GenerationFormat generation_format(std::string_view name) {
  std::vector<std::string> known;
  for (const auto& [candidate, format] : kFormats) {
    if (name == candidate)
      return format;
    known.emplace_back(candidate);
  }
  throw unknown_name("format", name, known);
}

}  // namespace dlm
