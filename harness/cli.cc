#include "harness/cli.h"

#include <algorithm>
#include <cstdio>
#include <sstream>

#include <boost/program_options.hpp>

#include "harness/base/error.h"

namespace dlm {

namespace po = boost::program_options;

namespace {

constexpr unsigned kHelpWidth = 110;

using Texts = std::vector<std::string>;

// What Boost found wrong, as our error; unknown options get the nearest known name,
// and a setting that other commands have is no misspelling.
[[noreturn]] void rethrow_option_error(const std::vector<std::string>& names,
                                       const std::string& command) {
  try {
    throw;
  } catch (const po::unknown_option& error) {
    std::string name = error.get_option_name();
    const auto first = name.find_first_not_of('-');
    if (first != std::string::npos)
      name.erase(0, first);
    const auto& settings = run_fields().fields();
    if (std::any_of(settings.begin(), settings.end(),
                    [&](const auto& field) { return field_flag(field.key) == name; }))
      throw ConfigError("option", name,
                        fmt::format("must be left out: `{}` does not read it", command));
    throw unknown_name("option", name, names);
  } catch (const po::error& error) {
    throw ConfigError("command line", "", error.what());
  }
}

}  // namespace

struct CommandOptions::Tables {
  po::options_description own{"Options", kHelpWidth};
  po::options_description fields{"Settings (also keys of a suite file)", kHelpWidth};
};

std::string ParsedOptions::get(const std::string& name, std::string_view fallback) const {
  const auto it = values.find(name);
  return it == values.end() ? std::string(fallback) : it->second.back();
}

std::vector<std::string> ParsedOptions::all(const std::string& name) const {
  const auto it = values.find(name);
  return it == values.end() ? std::vector<std::string>{} : it->second;
}

CommandOptions::CommandOptions(std::string usage, std::string text)
    : usage_(std::move(usage)), text_(std::move(text)), tables_(std::make_unique<Tables>()) {
  flag("help,h", "this text");
}

CommandOptions::CommandOptions(CommandOptions&&) noexcept = default;

CommandOptions::~CommandOptions() = default;

CommandOptions& CommandOptions::flag(const std::string& name, const std::string& help) {
  tables_->own.add_options()(name.c_str(), help.c_str());
  names_.push_back(name.substr(0, name.find(',')));
  return *this;
}

CommandOptions& CommandOptions::value(const std::string& name, const std::string& help) {
  tables_->own.add_options()(name.c_str(), po::value<Texts>()->composing(), help.c_str());
  names_.push_back(name.substr(0, name.find(',')));
  return *this;
}

CommandOptions& CommandOptions::fields(SpecPart part) {
  return fields(run_fields(part));
}

void CommandOptions::add_setting(const Setting& setting) {
  std::string name = field_flag(setting.key);
  names_.push_back(name);
  keys_[name] = setting.key;
  if (setting.short_option != 0)
    name += fmt::format(",{}", setting.short_option);
  std::string help = setting.help;
  if (!setting.choices.empty())
    help += fmt::format(" [{}]", fmt::join(setting.choices, "|"));
  if (!setting.fallback.empty())
    help += fmt::format(" (default {})", setting.fallback);
  tables_->fields.add_options()(name.c_str(), po::value<std::string>(), help.c_str());
}

CommandOptions& CommandOptions::positionals(std::size_t most) {
  most_positionals_ = most;
  return *this;
}

std::unique_ptr<ParsedOptions> CommandOptions::parse(const std::vector<std::string>& args) const {
  po::options_description all;
  all.add(tables_->own).add(tables_->fields);
  po::options_description hidden;
  hidden.add_options()("positional", po::value<Texts>());
  po::options_description everything;
  everything.add(all).add(hidden);
  po::positional_options_description places;
  places.add("positional", -1);
  namespace style = po::command_line_style;
  po::variables_map found;
  try {
    po::store(po::command_line_parser(args)
                  .options(everything)
                  .positional(places)
                  .style(style::unix_style & ~style::allow_guessing)
                  .run(),
              found);
  } catch (const po::error&) {
    rethrow_option_error(names_, usage_.substr(0, usage_.find(' ')));
  }
  if (found.count("help") != 0) {
    std::ostringstream text;
    text << "usage: dlmbench " << usage_ << "\n\n" << text_ << "\n\n" << tables_->own;
    if (!tables_->fields.options().empty())
      text << "\n" << tables_->fields;
    std::fputs(text.str().c_str(), stdout);
    return nullptr;
  }
  auto parsed = std::make_unique<ParsedOptions>();
  for (const auto& [name, value] : found) {
    if (name == "positional") {
      parsed->positionals = value.as<Texts>();
    } else if (tables_->fields.find_nothrow(name, false) != nullptr) {
      parsed->field_texts.emplace_back(keys_.at(name), value.as<std::string>());
    } else if (const auto* texts = boost::any_cast<Texts>(&value.value())) {
      parsed->values[name] = *texts;
    } else {
      parsed->values[name] = {};
    }
  }
  if (parsed->positionals.size() > most_positionals_) {
    throw ConfigError("argument", parsed->positionals[most_positionals_],
                      "not expected here; usage: dlmbench " + usage_);
  }
  return parsed;
}

RunSpec spec_from(const ParsedOptions& options) {
  RunSpec spec;
  for (const auto& [key, text] : options.field_texts) {
    run_fields().set_text(spec, run_fields().at(key), text);
  }
  return spec;
}

std::string shell_quoted(std::string_view word) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,+@%";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string_view::npos) {
    return std::string(word);
  }
  std::string quoted = "'";
  for (const char c : word) {
    if (c == '\'') {
      quoted += "'\\''";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

std::string command_of(const RunSpec& spec, SpecPart part, std::string_view command) {
  const RunSpec defaults;
  std::string line = fmt::format("dlmbench {}", command);
  for (const auto& field : run_fields(part).fields()) {
    const FieldValue value = field.get(spec);
    if (value == field.get(defaults))
      continue;
    line += fmt::format(" --{} {}", field_flag(field.key), shell_quoted(field_text(value)));
  }
  return line;
}

std::string command_line(std::string_view command, const std::vector<std::string>& args) {
  std::string line = fmt::format("dlmbench {}", command);
  for (const std::string& arg : args) line += " " + shell_quoted(arg);
  return line;
}

}  // namespace dlm
