// Verdicts on answers that a run has just written: by the extractors of its task, or by running
// them as programs in the sandbox.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "harness/base/spec.h"
#include "harness/workload.h"
#include "tasks/task.h"

namespace dlm {

class AnswerVerdicts {
 public:
  virtual ~AnswerVerdicts() = default;

  // Puts score (and exec_status, where a program was run) on rows whose output is an answer. A
  // program ends at the task's first stop string.
  virtual void judge(std::span<ExampleRow> rows) = 0;

  // Of all rows of a run, judged already: accuracy by extractor, or pass@k, with its intervals.
  virtual Measures measures(std::span<const ExampleRow> rows) = 0;

  // What decides verdicts beside the task: an object.
  virtual Json identity() const = 0;
};

// The task must outlive it. Throws ConfigError for an unknown extractor, and for programs of
// another task than HumanEval and MBPP; DataError; SandboxUnavailable.
std::unique_ptr<AnswerVerdicts> make_answer_verdicts(const AnswerSpec& spec, const Task& task);

}  // namespace dlm
