// Stores with runs whose rows a test decides, for compare, gate, plots and reports.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "results/store.h"
#include "tests/results/sample_run.h"
#include "tests/support/data.h"

namespace dlm::testing {

// A document of 50 tokens whose difficulty is the same in every run.
inline ExampleRow document(std::int64_t i) {
  const RandomStream draw(7, Purpose::kTest, static_cast<std::uint64_t>(i));
  ExampleRow row;
  row.doc_id = fmt::format("doc-{:06}", i);
  row.doc_sha = fmt::format("sha-{}", i);
  row.tokens = 50;
  row.bytes = 200;
  row.words = 40;
  row.nll = 50 * (3 + 0.5 * draw.normal(0, 0));
  row.counts = {50, 50, 50, 0, 1e6};
  row.wall_ns = 1000000 + static_cast<std::int64_t>(draw.below(1000, 1, 0));
  return row;
}

using RowChange = std::function<void(std::int64_t, ExampleRow&)>;

// Writes runs into one store, each finished.
class EvidenceStore {
 public:
  EvidenceStore() : store_(Store::open(folder_.file("r.db"), {})) {}

  Store& store() { return *store_; }

  std::string path() const { return folder_.file("r.db"); }

  std::string file(const std::string& name) const { return folder_.file(name); }

  std::string add(const RunHeader& header, std::int64_t documents, const RowChange& change,
                  Restart restart = Restart::kResume) {
    std::vector<ExampleRow> rows;
    for (std::int64_t i = 0; i < documents; ++i) {
      rows.push_back(document(i));
      change(i, rows.back());
    }
    const std::string run = store_->begin_run(header, restart).run_id;
    store_->add_rows(run, rows);
    store_->finish_run(run, {RunOutcome::kDone, "", 5000000, 0, 0, 2});
    return run;
  }

  std::string add(const std::string& name, std::int64_t documents, const RowChange& change) {
    return add(sample_header(name), documents, change);
  }

  // An estimate of `run`, with its standard error and a 95 % interval of 2 of them.
  void estimate(const std::string& run, const std::string& metric, double value, double error) {
    const bool high = metric == "mauve" || metric == "exact_match";
    const std::vector<MetricDefinition> definitions = {
        {metric, "unit", high ? "hi" : "lo", "exact", ""}};
    const std::vector<Estimate> estimates = {
        {metric, "", value, error, 0.0, value - 2 * error, value + 2 * error, "t", 100, 100}};
    store_->add_estimates(run, estimates, definitions);
  }

 private:
  TemporaryFolder folder_;
  std::unique_ptr<Store> store_;
};

inline double noise(std::int64_t i, std::uint64_t stream) {
  return RandomStream(stream, Purpose::kTest, static_cast<std::uint64_t>(i)).normal(9, 0);
}

}  // namespace dlm::testing
