// Accuracy while a run on a task with answers goes on: the line on the terminal, and the stopping
// rule of `--target-ci`. What is stored at the end is metrics/accuracy.h, which has the same
// intervals.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/base/stats.h"
#include "harness/sample_task.h"

namespace dlm {

class LiveAccuracy final : public LiveEstimate {
 public:
  // `target`: half-width of the 95 % interval at which it is met; 0 = never. `samples`: rows of a
  // document, which are added one after the other.
  LiveAccuracy(double target, std::int64_t samples);

  // The row's score is 1 where the answer is right.
  void add(const ExampleRow& row) override;

  std::string note() const override;

  // Looked at after whole documents: the 50th and every tenth behind it. Fewer say too little of
  // their own spread.
  bool is_met() const override { return is_met_; }

  std::int64_t documents() const { return documents_; }

  // Right answers over all answers of the documents so far, and its interval: Wilson's for one
  // sample a document, else t over documents. Throws ConfigError before the first document.
  double value() const;
  Interval interval() const;

 private:
  double target_;
  std::int64_t samples_;
  std::int64_t documents_ = 0, right_ = 0;  // of whole documents
  std::int64_t open_ = 0, open_right_ = 0;  // rows of the document that is not whole yet
  RunningRatio ratio_;
  bool is_met_ = false;
};

// The order in which `count` documents are visited by a run that may stop before the last: drawn by
// `seed`, so that those it has seen are a random sample of all, whatever order the file has. Source
// of the draws: RandomStream(seed, Purpose::kCorpusDraw, document, 1).
std::vector<std::int64_t> visiting_order(std::uint64_t seed, std::int64_t count);

}  // namespace dlm
