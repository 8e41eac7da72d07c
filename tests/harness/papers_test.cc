// The paper files name what there is.
#include <algorithm>
#include <filesystem>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/known_metrics.h"
#include "results/repro.h"

namespace dlm {
namespace {

// parse_paper reads every command; here are the metrics.
TEST(Papers, EveryMetricThatAPaperFileNamesCanBeStored) {
  std::size_t cells = 0;
  for (const auto& entry : std::filesystem::directory_iterator(DLM_PAPERS)) {
    const std::string path = entry.path().string();
    for (const PaperCell& cell : parse_paper(MappedFile::open(path)->text(), path).cells) {
      EXPECT_NO_THROW(check_metric_name(cell.metric, path)) << cell.metric;
      ++cells;
    }
  }
  EXPECT_GT(cells, 250U);
}

TEST(Papers, AnotherNameIsRefusedWithTheNearest) {
  EXPECT_NO_THROW(check_metric_name("accuracy:strict", "p"));
  try {
    check_metric_name("acuracy:strict", "p.toml: metric");
    FAIL() << "taken";
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("did you mean 'accuracy'"), std::string::npos)
        << error.what();
  }
  const std::vector<std::string> known = known_metrics();
  for (const char* gone : {"exact_match", "generative_nll", "length_median", "length_max"})
    EXPECT_EQ(std::count(known.begin(), known.end(), gone), 0) << gone;
}

}  // namespace
}  // namespace dlm
