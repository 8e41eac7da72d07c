#include "results/paper_command.h"

#include <algorithm>
#include <array>
#include <utility>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/field.h"
#include "harness/base/json.h"
#include "harness/base/text.h"

namespace dlm {
namespace {

// A cell names model and task by names of its own; metrics are there or not; the others change the
// order of sums at most.
constexpr std::array<std::string_view, 7> kFree = {
    "model", "task", "metrics", "batch_size", "threads", "device", "linear_backend"};

// What an option of `score` says of where and how, or of the texts, which are the cell's model.
constexpr std::array<std::string_view, 8> kFreeOptions = {
    "db", "output", "fresh", "generations", "batch-size", "threads", "device", "linear-backend"};

template <std::size_t N>
bool is_in(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// An option's name and its value; the value may be the next word.
struct Option {
  std::string name, value;
  bool is_short = false;
};

// Options of words[first...]. A word that begins with "-" and a digit is a value.
std::vector<Option> options_of(const std::vector<std::string>& words, std::size_t first,
                               const std::string& source) {
  const auto is_option = [](const std::string& word) {
    return word.size() > 1 && word[0] == '-' && !parse_double(word);
  };
  std::vector<Option> options;
  for (std::size_t i = first; i < words.size(); ++i) {
    if (!is_option(words[i]))
      throw ConfigError(source, words[i], "an option: a cell's command names its settings");
    Option option;
    option.is_short = words[i][1] != '-';
    const std::size_t equals = words[i].find('=');
    option.name = words[i].substr(option.is_short ? 1 : 2, equals - (option.is_short ? 1 : 2));
    if (equals != std::string::npos)
      option.value = words[i].substr(equals + 1);
    else if (i + 1 < words.size() && !is_option(words[i + 1]))
      option.value = words[++i];
    options.push_back(std::move(option));
  }
  return options;
}

RunSpec run_of(const std::vector<Option>& options, const std::string& source) {
  const FieldTable<RunSpec>& table = run_fields();
  RunSpec spec;
  for (const Option& option : options) {
    const Field<RunSpec>* field = option.is_short ? nullptr : table.find(option.name);
    for (const Field<RunSpec>& row : table.fields()) {
      if (option.is_short && option.name == std::string(1, row.short_option))
        field = &row;
    }
    if (field == nullptr) {
      std::vector<std::string> known;
      for (const std::string& key : table.keys()) known.push_back(field_flag(key));
      throw unknown_name(source + ": option", option.name, known);
    }
    table.set_text(spec, *field, option.value);
  }
  if (spec.model.empty() || spec.task.empty())
    throw ConfigError(source, "dlmbench run", "needs --model and --task");
  return spec;
}

// "zoo:a" and "models/zoo/a/" as "a" and "models/zoo/a".
std::string without_scheme(std::string_view place) {
  for (const std::string_view scheme : {"zoo:", "data:"}) {
    if (place.starts_with(scheme))
      place.remove_prefix(scheme.size());
  }
  while (place.size() > 1 && place.ends_with('/')) place.remove_suffix(1);
  return std::string(place);
}

bool is_same_place(const std::string& asked, const std::string& found) {
  const std::string wanted = without_scheme(asked);
  const std::string place = without_scheme(found);
  return wanted == place || (!wanted.empty() && place.ends_with("/" + wanted));
}

bool is_same_text(const std::string& asked, const std::string& found) {
  const auto a = parse_double(asked);
  const auto b = parse_double(found);
  return a && b ? *a == *b : is_same_place(asked, found);
}

std::string shown(const std::string& flag, const std::string& value) {
  return value.empty() ? "no --" + flag : fmt::format("--{} {}", flag, value);
}

// Whether a setting may be any.
bool is_free(const std::string& key, const RunSpec& asked, Claim claim) {
  if (key == "batch_size" && claim == Claim::kRate)
    return asked.batch_size == RunSpec().batch_size;
  return is_in(kFree, key) || (key == "tokenizer" && asked.tokenizer.empty());
}

std::vector<std::string> run_deviations(const RunSpec& asked, std::string_view spec_json,
                                        Claim claim) {
  const FieldTable<RunSpec>& table = run_fields();
  std::map<std::string, Json> stored;
  for (auto& [key, value] : flatten(parse_json(spec_json, "settings")))
    stored.emplace(key, std::move(value));
  std::vector<std::string> out;
  for (const Field<RunSpec>& field : table.fields()) {
    if (is_free(field.key, asked, claim))
      continue;
    const FieldValue wanted = field.get(asked);
    FieldValue found = field.get(RunSpec());  // what a run of its kind does not have
    const auto there = stored.find(field.key);
    if (there != stored.end())
      found = parse_field_json(field.key, there->second, found, FieldLimits());
    const std::string text = field_text(found);
    const std::string asked_text = field_text(wanted);
    // What is no part of a run's identity by its name is a place, which counts by its content.
    const bool is_same =
        field.identity == Identity::kPart ? wanted == found : is_same_place(asked_text, text);
    if (!is_same)
      out.push_back(shown(field_flag(field.key), text));
  }
  return out;
}

std::map<std::string, std::string> by_name(const std::vector<Option>& options) {
  std::map<std::string, std::string> named;
  for (const Option& option : options) {
    std::string name = option.name;
    for (const Field<RunSpec>& row : run_fields().fields()) {
      if (option.is_short && name == std::string(1, row.short_option))
        name = field_flag(row.key);
    }
    if (!is_in(kFreeOptions, name))
      named[name] = option.value;
  }
  return named;
}

std::string name_of(const std::vector<std::string>& words) {
  const bool is_scorer = words.size() > 2 && words[1] == "score";
  return is_scorer ? words[1] + " " + words[2] : words[1];
}

std::vector<std::string> option_deviations(const CellCommand& asked, std::string_view command) {
  const std::vector<std::string> words = command_words(command, "command");
  if (words.size() < 2 || name_of(words) != asked.name)
    return {fmt::format("by '{}'", command)};
  const auto found =
      by_name(options_of(words, asked.name.find(' ') == std::string::npos ? 2 : 3, "command"));
  std::vector<std::string> out;
  for (const auto& [name, value] : found) {
    const auto wanted = asked.options.find(name);
    if (wanted == asked.options.end() || !is_same_text(wanted->second, value))
      out.push_back(shown(name, value));
  }
  for (const auto& [name, value] : asked.options) {
    if (!found.contains(name))
      out.push_back(shown(name, ""));
  }
  return out;
}

}  // namespace

std::vector<std::string> command_words(std::string_view command, const std::string& source) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (std::size_t i = 0; i < command.size(); ++i) {
    const char c = command[i];
    if (quote != 0 && c == quote) {
      quote = 0;
    } else if (quote == 0 && (c == '\'' || c == '"')) {
      quote = c;
      in_word = true;
    } else if (c == '\\' && quote != '\'' && i + 1 < command.size()) {
      word += command[++i];
      in_word = true;
    } else if (quote == 0 && (c == ' ' || c == '\t' || c == '\n')) {
      if (in_word)
        words.push_back(std::exchange(word, ""));
      in_word = false;
    } else if (quote == 0 && c == '#' && !in_word) {
      break;
    } else {
      word += c;
      in_word = true;
    }
  }
  if (quote != 0)
    throw ConfigError(source, command, fmt::format("a closing {}", quote));
  if (in_word)
    words.push_back(std::move(word));
  return words;
}

CellCommand parse_cell_command(std::string_view command, const std::string& source) {
  const std::vector<std::string> words = command_words(command, source);
  if (words.empty())
    return {};
  if (words.size() < 2 || words[0] != "dlmbench")
    throw ConfigError(source, command, "dlmbench COMMAND ...");
  CellCommand parsed;
  parsed.name = name_of(words);
  const auto options =
      options_of(words, parsed.name.find(' ') == std::string::npos ? 2 : 3, source);
  if (parsed.name == "run")
    parsed.run = run_of(options, source);
  else
    parsed.options = by_name(options);
  return parsed;
}

std::vector<std::string> deviations(const CellCommand& command, const RunRecordOf& run,
                                    Claim claim) {
  if (command.run)
    return run_deviations(*command.run, run.spec_json, claim);
  return option_deviations(command, run.command);
}

}  // namespace dlm
