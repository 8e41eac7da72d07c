// Whether an extracted answer is right.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "tasks/definition.h"

namespace dlm {

class Judge {
 public:
  // Throws ConfigError for a bad regular expression among task.ignored.
  explicit Judge(const TaskDefinition& task);
  Judge(Judge&&) noexcept;
  ~Judge();

  // kText: both sides lose what the `ignored` expressions match, one after the other, and letter
  // case; then they are the same text (exact_match of lm-evaluation-harness: "5.0" is not "5"). The
  // other kinds are explained at JudgeKind. `reference` is what Task::reference gives. Throws
  // ConfigError for kExecution, which runs programs and is not judged here.
  bool correct(JudgeKind kind, std::string_view answer, std::string_view reference) const;

  // What the verdict rests on, for the results: "text", "number", or the math judge with its
  // version.
  static std::string description(JudgeKind kind);

 private:
  struct State;
  std::unique_ptr<const State> state_;
};

}  // namespace dlm
