// Command-line options of one command: rows of the field table plus the command's own, parsed by
// Boost.Program_options. An unknown option is an error with the nearest known one.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/base/spec.h"

namespace dlm {

struct ParsedOptions {
  std::map<std::string, std::vector<std::string>> values;        // own options that were given
  std::vector<std::pair<std::string, std::string>> field_texts;  // dotted key -> text, as given
  std::vector<std::string> positionals;

  bool has(const std::string& name) const { return values.contains(name); }

  std::string get(const std::string& name, std::string_view fallback) const;

  std::vector<std::string> all(const std::string& name) const;
};

class CommandOptions {
 public:
  // `usage` follows "dlmbench "; `text` is the paragraph and the examples that --help shows.
  CommandOptions(std::string usage, std::string text);
  CommandOptions(CommandOptions&&) noexcept;
  ~CommandOptions();

  CommandOptions& flag(const std::string& name, const std::string& help);
  CommandOptions& value(const std::string& name,
                        const std::string& help);  // may be given more than once
  CommandOptions& fields(SpecPart part);

  // The rows of another table of settings; field_texts has those that were given.
  template <class Spec>
  CommandOptions& fields(const FieldTable<Spec>& table) {
    const Spec defaults;
    for (const Field<Spec>& field : table.fields())
      add_setting({field.key, field.short_option, field.help, field.limits.choices,
                   field_text(field.get(defaults))});
    return *this;
  }

  CommandOptions& positionals(std::size_t most);

  // Nothing where --help was asked for (it is printed to stdout then). Throws ConfigError.
  std::unique_ptr<ParsedOptions> parse(const std::vector<std::string>& args) const;

 private:
  struct Tables;

  struct Setting {
    std::string key;
    char short_option;
    std::string help;
    std::vector<std::string> choices;
    std::string fallback;  // its default; may be empty
  };

  void add_setting(const Setting& setting);

  std::string usage_, text_;
  std::vector<std::string> names_;
  std::map<std::string, std::string> keys_;  // of settings, by option
  std::size_t most_positionals_ = 0;
  std::unique_ptr<Tables> tables_;
};

// The settings given on a command line, on top of the defaults; single values only. Throws
// ConfigError.
RunSpec spec_from(const ParsedOptions& options);

// `dlmbench run ...` that repeats the run: every setting that differs from its default, quoted for
// a shell.
std::string command_of(const RunSpec& spec, SpecPart part, std::string_view command);

// `dlmbench COMMAND ARGS...` as it was typed, every word quoted for a shell.
std::string command_line(std::string_view command, const std::vector<std::string>& args);

// A word quoted for a POSIX shell where it needs to be.
std::string shell_quoted(std::string_view word);

}  // namespace dlm
