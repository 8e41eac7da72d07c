// The part of Store that keeps training curves.
#include <cmath>

#include "harness/base/error.h"
#include "results/store.h"

namespace dlm {

void Store::add_curve(std::string_view run_id, std::span<const TrainingPoint> curve) {
  check_held(run_id);
  Transaction transaction(database_);
  Statement insert =
      database_.prepare("INSERT OR REPLACE INTO curve(run_id,metric,step,value) VALUES(?,?,?,?)");
  for (const TrainingPoint& point : curve) {
    DLM_CHECK(std::isfinite(point.value), "run {}, {} at step {} is {}", run_id, point.metric,
              point.step, point.value);
    insert.bind_all(run_id, point.metric, point.step, point.value).run();
  }
  transaction.commit();
}

std::vector<TrainingPoint> Store::curve(std::string_view run_id) {
  Statement statement =
      database_.prepare("SELECT step,metric,value FROM curve WHERE run_id=? ORDER BY metric,step");
  statement.bind_all(run_id);
  std::vector<TrainingPoint> curve;
  while (statement.step())
    curve.push_back({statement.integer(0), statement.text(1), statement.real(2)});
  return curve;
}

}  // namespace dlm
