// `score`: picks the scorer of a task.
#include <cstdio>
#include <string>
#include <vector>

#include "harness/base/error.h"
#include "harness/commands/command.h"
#include "harness/scorers/scorer.h"

namespace dlm {
namespace {

void print_help() {
  fmt::print(
      "usage: dlmbench score TASK [options]\n\nScores text that was produced elsewhere and stores "
      "the result. `dlmbench score TASK --help` shows a task's options.\n\n");
  for (const Scorer& scorer : all_scorers())
    fmt::print("  {:<12} {}\n", scorer.name, scorer.summary);
}

}  // namespace

int score_command(const Arguments& args) {
  if (args.empty() || args.front() == "--help" || args.front() == "-h") {
    print_help();
    return args.empty() ? kExitUsage : kExitOk;
  }
  std::vector<std::string> known;
  for (const Scorer& scorer : all_scorers()) {
    if (args.front() == scorer.name)
      return scorer.run(Arguments(args.begin() + 1, args.end()));
    known.emplace_back(scorer.name);
  }
  throw unknown_name("task", args.front(), known);
}

}  // namespace dlm
