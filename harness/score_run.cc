#include "harness/score_run.h"

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>

#include "harness/base/error.h"
#include "harness/base/log.h"
#include "harness/base/stats.h"
#include "harness/progress.h"
#include "harness/score_loop.h"
#include "harness/window_scorer.h"
#include "metrics/likelihood.h"
#include "models/diffusion/draw_plan.h"
#include "models/runtime.h"

namespace dlm {
namespace {

std::string live_note(const RunningRatio& rows, const RunningRatio& clusters) {
  const auto estimate = rows.estimate();
  if (!estimate)
    return "no document finished yet";
  const auto half = clusters.half_width();
  return half ? fmt::format("nll {:.4f} ± {:.4f}", estimate->value, *half)
              : fmt::format("nll {:.4f}", estimate->value);
}

// Sums of the clusters whose rows are not all there: chunks of one document are dependent, so they
// count once, together, as they do in the interval that is stored.
class OpenClusters {
 public:
  explicit OpenClusters(std::span<const ScoringUnit> units) {
    for (const ScoringUnit& unit : units) ++open_[cluster_key(unit.cluster, unit.id)].rows_left;
  }

  struct Sums {
    double nats = 0, tokens = 0;
    std::int64_t rows_left = 0;
  };

  // The sums of the row's cluster, where it is the last of it.
  std::optional<Sums> add(const ExampleRow& row) {
    const auto found = open_.find(cluster_key(row.cluster, row.doc_id));
    DLM_CHECK(found != open_.end(), "document {} is not of the plan", row.doc_id);
    Sums& sums = found->second;
    sums.nats += row.nll;
    sums.tokens += static_cast<double>(row.tokens);
    if (--sums.rows_left > 0)
      return std::nullopt;
    const Sums whole = sums;
    open_.erase(found);
    return whole;
  }

 private:
  std::map<std::string, Sums> open_;
};

// Rows as they come: into the store, the line on the terminal, and the stopping rule.
class RowKeeper {
 public:
  // `tokens`: scored by an earlier process.
  RowKeeper(const ScoringWork& work, Store& store, const std::string& run_id, std::int64_t tokens)
      : store_(store),
        run_id_(run_id),
        progress_(fmt::format("{} on {}", work.model.name, work.plan.task_name), "tokens",
                  static_cast<double>(tokens), static_cast<double>(work.plan.scored_tokens)),
        tokens_(tokens),
        open_(work.plan.units) {
    if (work.spec.estimator.target_ci > 0)
      rule_.emplace(TargetInterval{.relative = work.spec.estimator.target_ci});
  }

  // A row that an earlier process stored.
  void recall(const ExampleRow& row) { count(row); }

  // Rows after the one that met the target are left out, so where a run stops does not depend on
  // its batches.
  Continue keep(std::span<const ExampleRow> rows, std::int64_t tokens) {
    std::size_t kept = 0;
    while (kept < rows.size() && !is_met_) count(rows[kept++]);
    if (kept > 0)
      store_.add_rows(run_id_, rows.first(kept));
    tokens_ += tokens;
    progress_.update(static_cast<double>(tokens_), live_note(rows_, clusters_));
    return is_met_ ? Continue::kNo : Continue::kYes;
  }

  bool is_met() const { return is_met_; }

  std::int64_t documents() const { return documents_; }

 private:
  void count(const ExampleRow& row) {
    ++documents_;
    rows_.add(row.nll, static_cast<double>(row.tokens));
    const auto cluster = open_.add(row);
    if (!cluster)
      return;
    clusters_.add(cluster->nats, cluster->tokens);
    if (rule_)
      is_met_ = rule_->add(cluster->nats, cluster->tokens);
  }

  Store& store_;
  const std::string& run_id_;
  Progress progress_;
  std::int64_t tokens_;
  OpenClusters open_;
  RunningRatio rows_, clusters_;  // so far, of all rows and of whole clusters
  std::optional<StoppingRule> rule_;
  std::int64_t documents_ = 0;
  bool is_met_ = false;
};

}  // namespace

std::unique_ptr<WindowScorer> make_scorer(const LoadedModel& model,
                                          const std::optional<EstimatorOptions>& estimator) {
  if (estimator)
    return make_diffusion_scorer(*model.denoiser, *estimator);
  return make_autoregressive_scorer(*model.model);
}

void score_missing(const ScoringWork& work, Store& store, const std::string& run_id) {
  std::map<std::string, ExampleRow> stored;
  std::int64_t tokens = 0;
  for (ExampleRow& row : store.rows(run_id)) {
    tokens += row.tokens;
    stored.emplace(row.doc_id, std::move(row));
  }
  RowKeeper keeper(work, store, run_id, tokens);
  std::set<std::string> done;
  for (const ScoringUnit& unit : work.plan.units) {
    const auto row = stored.find(unit.id);
    if (row == stored.end())
      continue;
    done.insert(unit.id);
    keeper.recall(row->second);
  }
  if (!done.empty())
    log_info("resuming {}: {} of {} examples are stored", run_id, done.size(),
             work.plan.units.size());
  const bool has_target = work.spec.estimator.target_ci > 0;
  if (!keeper.is_met()) {
    const auto batches = make_batches(work.plan.units, work.spec.batch_size,
                                      has_target ? BatchOrder::kAsPlanned : BatchOrder::kByLength);
    score_units(*make_scorer(work.model, work.estimator), work.plan.units, batches, done,
                [&](std::span<const ExampleRow> rows, std::int64_t scored) {
                  return keeper.keep(rows, scored);
                });
  }
  synchronise(work.spec.device);
  if (has_target && keeper.is_met())
    log_info("{}: the target was met after {} of {} documents", run_id, keeper.documents(),
             work.plan.units.size());
  else if (has_target)
    log_warning(
        fmt::format("{}: all {} documents did not meet the target", run_id, keeper.documents()));
}

}  // namespace dlm
