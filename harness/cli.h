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
  CommandOptions& positionals(std::size_t most);

  // Nothing where --help was asked for (it is printed to stdout then). Throws ConfigError.
  std::unique_ptr<ParsedOptions> parse(const std::vector<std::string>& args) const;

 private:
  struct Tables;
  std::string usage_, text_;
  std::vector<std::string> names_;
  std::size_t most_positionals_ = 0;
  SpecPart part_ = SpecPart::kAll;
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
