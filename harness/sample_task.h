// What a generating run generates for: free text, or answers that are judged. The workload
// (sampling_workload.h) runs the model; a task says what to continue, when a text is over, and what
// it is worth.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "harness/text_sampling.h"
#include "harness/workload.h"

namespace dlm {

// One text to be written.
struct SamplePrompt {
  std::string doc_id;
  std::int64_t rep = 0;
  std::string doc_sha;
  std::string cluster;
  Prompt prompt;
};

// The estimate so far, for the line on the terminal, and whether it is good enough.
class LiveEstimate {
 public:
  virtual ~LiveEstimate() = default;

  virtual void add(const ExampleRow& row) = 0;
  virtual std::string note() const = 0;

  // Whether the run's target interval has been met; never without a target.
  virtual bool is_met() const { return false; }
};

class SampleTask {
 public:
  virtual ~SampleTask() = default;

  virtual const TaskIdentity& identity() const = 0;

  // Members of the run's identity: content of what the settings name by path.
  virtual Json run_identity() const = 0;

  virtual std::span<const SamplePrompt> prompts() const = 0;

  virtual TextEnding ending() const = 0;

  // Whether every text has the same length, so that no place in a batch becomes free before the
  // others.
  virtual bool has_fixed_length() const = 0;

  // Whether what is written is read behind its prompt, or as a text of its own.
  virtual bool continues_prompt() const = 0;

  // Rows with their texts, before they are stored: verdicts are put on them.
  virtual void judge(std::span<ExampleRow> rows) = 0;

  virtual std::unique_ptr<LiveEstimate> live() const = 0;

  // As Workload's.
  virtual std::vector<AskedMetric> metrics() const { return {}; }

  // Those of `metrics` with these names (everything where there is no choice), from all rows. What
  // is computed along the way may be kept in the store's cache.
  virtual Measures measures(std::span<const ExampleRow> rows, std::span<const std::string> names,
                            Store& store) = 0;
};

}  // namespace dlm
