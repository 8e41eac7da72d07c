#include "tasks/definition.h"

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/toml.h"

namespace dlm {

namespace embedded {
extern const std::string_view task_gsm8k;
extern const std::string_view task_gsm8k_cot;
extern const std::string_view task_gsm8k_cot_zeroshot;
extern const std::string_view task_gsm8k_cot_self_consistency;
extern const std::string_view task_gsm8k_4shot;
extern const std::string_view task_gsm8k_chat;
extern const std::string_view task_word_sums;
extern const std::string_view task_minerva_math;
extern const std::string_view task_minerva_math500;
extern const std::string_view task_math500;
extern const std::string_view task_hendrycks_math;
extern const std::string_view task_hendrycks_math500;
extern const std::string_view task_mbpp;
extern const std::string_view task_mbpp_instruct;
extern const std::string_view task_mbpp_instruct_zeroshot;
extern const std::string_view task_humaneval;
extern const std::string_view task_humaneval_instruct;
extern const std::string_view task_humaneval_instruct_dream;
}  // namespace embedded

namespace {

template <class Value, std::size_t n>
using Names = std::array<std::pair<const char*, Value>, n>;

constexpr Names<FewShotKind, 4> kFewShotKinds{{{"none", FewShotKind::kNone},
                                               {"sampled", FewShotKind::kSampled},
                                               {"rows", FewShotKind::kRows},
                                               {"file", FewShotKind::kFile}}};
constexpr Names<ExtractorKind, 6> kExtractorKinds{
    {{"regex", ExtractorKind::kRegex},
     {"boxed", ExtractorKind::kBoxed},
     {"boxed_number", ExtractorKind::kBoxedNumber},
     {"between_dollars", ExtractorKind::kBetweenDollars},
     {"worked_sums", ExtractorKind::kWorkedSums},
     {"sanitised", ExtractorKind::kSanitised}}};
constexpr Names<MatchChoice, 2> kChoices{
    {{"first", MatchChoice::kFirst}, {"last", MatchChoice::kLast}}};
constexpr Names<JudgeKind, 5> kJudges{{{"text", JudgeKind::kText},
                                       {"number", JudgeKind::kNumber},
                                       {"math", JudgeKind::kMath},
                                       {"hendrycks", JudgeKind::kHendrycks},
                                       {"execution", JudgeKind::kExecution}}};

// Reads the members of one table and remembers which; what nobody read is an error.
class TableReader {
 public:
  TableReader(const Json& table, std::string where) : table_(table), where_(std::move(where)) {
    if (!table.is_object())
      throw ConfigError(where_, canonical_json(table).substr(0, 40), "must be a table");
  }

  bool has(const char* key) const { return table_.contains(key); }

  template <class T>
  void read(const char* key, T& value) {
    known_.emplace_back(key);
    if (const auto it = table_.find(key); it != table_.end())
      assign(key, *it, value);
  }

  template <class T>
  void require(const char* key, T& value) {
    if (!has(key))
      throw ConfigError(where_ + "." + key, "", "is needed");
    read(key, value);
  }

  template <class Value, std::size_t n>
  void read_name(const char* key, const Names<Value, n>& names, Value& value) {
    std::string name;
    read(key, name);
    if (name.empty())
      return;
    std::vector<std::string> known;
    for (const auto& [candidate, meaning] : names) {
      known.emplace_back(candidate);
      if (name == candidate) {
        value = meaning;
        return;
      }
    }
    throw unknown_name(where_ + "." + key, name, known);
  }

  const Json& table(const char* key) {
    static const Json nothing = Json::object();
    known_.emplace_back(key);
    const auto it = table_.find(key);
    return it == table_.end() ? nothing : *it;
  }

  void finish() const {
    for (const auto& [key, value] : table_.items()) {
      if (std::find(known_.begin(), known_.end(), key) == known_.end())
        throw unknown_name(where_ + ": key", key, known_);
    }
  }

 private:
  [[noreturn]] void wrong(const char* key, const Json& value, const char* type) const {
    throw ConfigError(where_ + "." + key, canonical_json(value).substr(0, 40),
                      fmt::format("must be {}", type));
  }

  void assign(const char* key, const Json& from, std::string& to) const {
    if (!from.is_string())
      wrong(key, from, "a text");
    to = from.get<std::string>();
  }

  void assign(const char* key, const Json& from, bool& to) const {
    if (!from.is_boolean())
      wrong(key, from, "true or false");
    to = from.get<bool>();
  }

  void assign(const char* key, const Json& from, std::int64_t& to) const {
    if (!from.is_number_integer() || from < 0)
      wrong(key, from, "a whole number from 0");
    to = from.get<std::int64_t>();
  }

  void assign(const char* key, const Json& from, std::uint64_t& to) const {
    std::int64_t value = 0;
    assign(key, from, value);
    to = static_cast<std::uint64_t>(value);
  }

  template <class T>
  void assign(const char* key, const Json& from, std::vector<T>& to) const {
    if (!from.is_array())
      wrong(key, from, "a list");
    to.clear();
    for (const Json& item : from) assign(key, item, to.emplace_back());
  }

  const Json& table_;
  std::string where_;
  std::vector<std::string> known_;
};

TaskData data_of(const Json& table, const std::string& where) {
  TableReader reader(table, where + ": data");
  TaskData data;
  reader.require("path", data.path);
  reader.require("sha256", data.sha256);
  reader.read("id_field", data.id_field);
  reader.read("first_id", data.first_id);
  reader.read("last_id", data.last_id);
  reader.read("licence", data.licence);
  reader.read("source", data.source);
  reader.finish();
  return data;
}

PromptForm prompt_of(const Json& table, const std::string& where) {
  TableReader reader(table, where + ": prompt");
  PromptForm prompt;
  reader.require("question", prompt.question);
  reader.read("answer", prompt.answer);
  reader.read("target_delimiter", prompt.target_delimiter);
  reader.read("few_shot_delimiter", prompt.few_shot_delimiter);
  reader.read("gen_prefix", prompt.gen_prefix);
  reader.read("few_shot_gen_prefix", prompt.few_shot_gen_prefix);
  reader.read("chat", prompt.chat);
  reader.finish();
  return prompt;
}

FewShot few_shot_of(const Json& table, const std::string& where) {
  TableReader reader(table, where + ": few_shot");
  FewShot few_shot;
  reader.read_name("kind", kFewShotKinds, few_shot.kind);
  reader.read("shots", few_shot.shots);
  reader.read("path", few_shot.path);
  reader.read("sha256", few_shot.sha256);
  reader.read("id_field", few_shot.id_field);
  reader.read("ids", few_shot.ids);
  reader.read("seed", few_shot.seed);
  reader.read("block_sha256", few_shot.block_sha256);
  reader.read("source", few_shot.source);
  reader.finish();
  if (few_shot.kind == FewShotKind::kNone)
    few_shot = FewShot();
  if (few_shot.kind == FewShotKind::kRows &&
      static_cast<std::int64_t>(few_shot.ids.size()) != few_shot.shots)
    throw ConfigError(where + ": few_shot.ids", fmt::format("{} ids", few_shot.ids.size()),
                      fmt::format("as many as shots, {}", few_shot.shots));
  return few_shot;
}

ExtractorForm extractor_of(const Json& table, const std::string& where) {
  TableReader reader(table, where + ": extractor");
  ExtractorForm form;
  reader.require("name", form.name);
  reader.read_name("kind", kExtractorKinds, form.kind);
  reader.read("pattern", form.pattern);
  reader.read_name("choice", kChoices, form.choice);
  reader.read("append", form.append);
  reader.read_name("judge", kJudges, form.judge);
  reader.finish();
  if ((form.kind == ExtractorKind::kRegex) == form.pattern.empty())
    throw ConfigError(where + ": extractor.pattern", form.pattern,
                      "is needed by kind = \"regex\" and by no other");
  if (form.kind == ExtractorKind::kSanitised && form.judge != JudgeKind::kExecution)
    throw ConfigError(where + ": extractor.judge", judge_name(form.judge),
                      "execution: kind = \"sanitised\" takes out a program");
  return form;
}

TaskDefinition definition_of(const Json& file, const std::string& where) {
  TableReader reader(file, where);
  TaskDefinition task;
  reader.require("id", task.id);
  reader.require("version", task.version);
  reader.read("about", task.about);
  reader.read("stop", task.stop);
  reader.require("max_new_tokens", task.max_new_tokens);
  reader.read("question_field", task.question_field);
  reader.require("reference", task.reference);
  reader.read("reference_boxed", task.reference_boxed);
  reader.read("ignored", task.ignored);
  reader.require("primary", task.primary);
  task.data = data_of(reader.table("data"), where);
  task.prompt = prompt_of(reader.table("prompt"), where);
  task.few_shot = few_shot_of(reader.table("few_shot"), where);
  const Json& extractors = reader.table("extractor");
  if (!extractors.is_array() || extractors.empty())
    throw ConfigError(where + ": extractor", "", "needs at least one [[extractor]] table");
  std::vector<std::string> names;
  for (const Json& table : extractors) {
    task.extractors.push_back(extractor_of(table, where));
    names.push_back(task.extractors.back().name);
  }
  if (std::find(names.begin(), names.end(), task.primary) == names.end())
    throw unknown_name(where + ": primary", task.primary, names);
  reader.finish();
  task.toml_sha256 = sha256_hex(canonical_json(file));
  return task;
}

// What `overrides` gives replaces what `base` gives; tables are merged, but one that names its kind
// is another thing and replaces the base's.
Json merged(Json base, const Json& overrides) {
  for (const auto& [key, value] : overrides.items()) {
    const bool both_tables =
        value.is_object() && base.contains(key) && base[key].is_object() && !value.contains("kind");
    base[key] = both_tables ? merged(base[key], value) : value;
  }
  return base;
}

struct Source {
  const char* id;
  const std::string_view* toml;
};

std::vector<Source> sources() {
  using namespace embedded;
  return {{"gsm8k", &task_gsm8k},
          {"gsm8k_cot", &task_gsm8k_cot},
          {"gsm8k_cot_zeroshot", &task_gsm8k_cot_zeroshot},
          {"gsm8k_cot_self_consistency", &task_gsm8k_cot_self_consistency},
          {"gsm8k_4shot", &task_gsm8k_4shot},
          {"gsm8k_chat", &task_gsm8k_chat},
          {"word_sums", &task_word_sums},
          {"minerva_math", &task_minerva_math},
          {"minerva_math500", &task_minerva_math500},
          {"math500", &task_math500},
          {"hendrycks_math", &task_hendrycks_math},
          {"hendrycks_math500", &task_hendrycks_math500},
          {"mbpp", &task_mbpp},
          {"mbpp_instruct", &task_mbpp_instruct},
          {"mbpp_instruct_zeroshot", &task_mbpp_instruct_zeroshot},
          {"humaneval", &task_humaneval},
          {"humaneval_instruct", &task_humaneval_instruct},
          {"humaneval_instruct_dream", &task_humaneval_instruct_dream}};
}

std::vector<std::string> known_ids() {
  std::vector<std::string> ids;
  for (const Source& source : sources()) ids.emplace_back(source.id);
  return ids;
}

// The document with its base put under it. `depth` ends a circle of bases.
Json resolved(std::string_view toml, const std::string& where, int depth) {
  Json file = parse_toml(toml, where);
  if (!file.contains("base"))
    return file;
  if (!file["base"].is_string() || depth > 8)
    throw ConfigError(where + ": base", "", "the id of a known task");
  const std::string base = file["base"].get<std::string>();
  file.erase("base");
  for (const Source& source : sources()) {
    if (base == source.id)
      return merged(resolved(*source.toml, base, depth + 1), file);
  }
  throw unknown_name(where + ": base", base, known_ids());
}

}  // namespace

TaskDefinition parse_task(std::string_view toml, const std::string& source) {
  return definition_of(resolved(toml, source, 0), source);
}

const std::vector<TaskDefinition>& task_definitions() {
  static const std::vector<TaskDefinition> definitions = [] {
    std::vector<TaskDefinition> all;
    for (const Source& source : sources()) {
      all.push_back(parse_task(*source.toml, source.id));
      DLM_CHECK(all.back().id == source.id, "task {} calls itself {}", source.id, all.back().id);
    }
    return all;
  }();
  return definitions;
}

const TaskDefinition& find_task(std::string_view id) {
  for (const TaskDefinition& definition : task_definitions()) {
    if (definition.id == id)
      return definition;
  }
  throw unknown_name("task", id, known_ids());
}

std::string judge_name(JudgeKind kind) {
  for (const auto& [name, value] : kJudges) {
    if (value == kind)
      return name;
  }
  DLM_CHECK(false, "no such judge");
  return {};
}

}  // namespace dlm
