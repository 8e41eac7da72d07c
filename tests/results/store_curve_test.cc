// Training curves in the store: kept by step, replaced by step, carried along by a merge.
#include <limits>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "results/merge.h"
#include "results/store.h"
#include "tests/results/sample_run.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

using namespace std::chrono_literals;

// A finished training with this curve; its id.
std::string add_training(const std::string& path, const std::vector<TrainingPoint>& curve) {
  const auto store = Store::open(path, {});
  const std::string id =
      store->begin_run(testing::sample_header("training"), Restart::kResume).run_id;
  store->add_curve(id, curve);
  store->finish_run(id, {});
  return id;
}

TEST(StoreCurve, PointsComeBackByMetricAndStep) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("a.db");
  const auto store = Store::open(path, {});
  const std::string id =
      store->begin_run(testing::sample_header("training"), Restart::kResume).run_id;
  const std::vector<TrainingPoint> curve{{20, "loss", 1.0 / 3}, {10, "loss", 4}, {10, "a", -1}};
  store->add_curve(id, curve);
  const std::vector<TrainingPoint> later{{20, "loss", 0.5}};
  store->add_curve(id, later);
  const auto back = store->curve(id);
  ASSERT_EQ(back.size(), 3U);
  EXPECT_EQ(back[0].metric, "a");
  EXPECT_EQ(back[1].step, 10);
  EXPECT_EQ(back[2].value, 0.5);
  const std::vector<TrainingPoint> broken{{30, "loss", std::numeric_limits<double>::quiet_NaN()}};
  EXPECT_THROW(store->add_curve(id, broken), InternalError);
  EXPECT_EQ(store->curve(id).size(), 3U);
  store->finish_run(id, {});
  EXPECT_EQ(render(store->query("SELECT model, metric, step FROM v_curve WHERE metric='a'"), "csv"),
            "model,metric,step\ntiny,a,10\n");
}

TEST(StoreCurve, AMergeBringsItAlong) {
  const testing::TemporaryFolder folder;
  const std::string from = folder.file("from.db"), into = folder.file("into.db");
  const std::string id = add_training(from, {{10, "loss", 1.0 / 3}});
  Store::open(into, {});
  Database target(into, Database::Mode::kReadWrite, 10s);
  ASSERT_EQ(merge_store(target, from).size(), 1U);
  const auto curve = Store::open_read_only(into)->curve(id);
  ASSERT_EQ(curve.size(), 1U);
  EXPECT_EQ(curve[0].value, 1.0 / 3);
}

}  // namespace
}  // namespace dlm
