// The share of right answers, with an interval that holds near 0 and 1 and for few documents.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "metrics/metric.h"

namespace dlm {

struct AccuracyOptions {
  std::string metric = "accuracy";  // or "majority_accuracy", "answers_found"
  std::string variant;              // the extractor, and the judge where it has a name
};

// Rows: score is 1 where the answer is right, 0 where it is wrong (InternalError for anything
// else). One row a document: Wilson's interval. Several (samples): the mean over all of them, its
// error and t interval over documents as clusters; Wilson's over documents where no document
// differs from another. The standard error is absent where all rows agree: it is unknown then, not
// 0.
class Accuracy : public Metric {
 public:
  explicit Accuracy(AccuracyOptions options) : options_(std::move(options)) {}

  std::vector<MetricDefinition> definitions() const override;
  std::vector<Estimate> compute(std::span<const ExampleRow> rows) const override;

 private:
  AccuracyOptions options_;
};

}  // namespace dlm
