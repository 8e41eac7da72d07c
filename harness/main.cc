// dlmbench: dispatches to a command and turns what it throws into one line and an exit code.
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/commands/command.h"
#include "harness/environment.h"
#include "tasks/sandbox/sandbox.h"

namespace dlm {
namespace {

int print_usage(std::FILE* to) {
  fmt::print(to,
             "usage: dlmbench COMMAND [options]\n\n"
             "Measures language models that write text in blocks or several tokens at a time, and\n"
             "stores every number with its uncertainty and its cost.\n\n");
  for (const Command& command : all_commands()) {
    fmt::print(to, "  {:<10} {}\n", command.name, command.summary);
  }
  fmt::print(to,
             "\n`dlmbench COMMAND --help` shows its options and examples, `dlmbench --version` the "
             "build.\n");
  return to == stdout ? kExitOk : kExitUsage;
}

int print_version() {
  const Json build = build_json();
  fmt::print(
      "dlmbench {}{}, libtorch {}, numerics {}, {}\n", build["git_commit"].get<std::string>(),
      build["dirty"].get<bool>() ? " (changed since)" : "", build["torch"].get<std::string>(),
      build["numerics_epoch"].get<std::int64_t>(), build["compiler"].get<std::string>());
  return kExitOk;
}

int dispatch(std::vector<std::string> args) {
  if (args.empty())
    return print_usage(stderr);
  const std::string name = args.front();
  if (name == "--help" || name == "-h" || name == "help")
    return print_usage(stdout);
  if (name == "--version" || name == "version")
    return print_version();
  args.erase(args.begin());
  std::vector<std::string> known;
  for (const Command& command : all_commands()) {
    if (name == command.name)
      return command.run(args);
    known.emplace_back(command.name);
  }
  throw unknown_name("command", name, known);
}

int report(std::string_view what, int code) {
  fmt::print(stderr, "dlmbench: {}\n", what.substr(0, what.find('\n')));
  return code;
}

}  // namespace
}  // namespace dlm

int main(int argc, char** argv) {
  try {
    return dlm::dispatch(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const dlm::ConfigError& error) {
    return dlm::report(error.what(), dlm::kExitUsage);
  } catch (const dlm::DataError& error) {
    return dlm::report(error.what(), dlm::kExitUsage);
  } catch (const dlm::SandboxUnavailable& error) {
    return dlm::report(error.what(), dlm::kExitNoSandbox);
  } catch (const std::exception& error) {
    return dlm::report(error.what(), dlm::kExitRunFailed);
  }
}
