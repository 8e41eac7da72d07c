#include "harness/base/read_when.h"

#include <algorithm>
#include <span>
#include <vector>

#include "harness/base/error.h"

namespace dlm {
namespace {

using Names = std::vector<std::string>;

// A setting and the methods that read it, or with `all_but` those that do not.
struct Readers {
  std::string_view key;
  Names names;
  bool all_but = false;
};

const std::vector<Readers>& estimator_readers() {
  static const Names kDrawing = {"stratified", "reference", "llada", "dream"};
  static const std::vector<Readers> kReaders = {
      {"block_size", {"exact"}, true},
      {"estimator.draws", kDrawing},
      {"estimator.replicates", kDrawing},
      {"estimator.t_min", {"stratified", "reference", "enumerate", "dream"}},
      {"estimator.t_max", {"stratified", "reference", "enumerate"}},
      {"estimator.strata", {"reference", "llada"}},
      {"estimator.strata_rows", {"reference"}},
      {"estimator.schedule", {"reference"}},
      {"estimator.reveal_order", {"order"}},
      {"estimator.reveal_per_step", {"order"}},
  };
  return kReaders;
}

const std::vector<Readers>& sampler_readers() {
  static const Names kPaced = {"random",       "left_to_right",  "confidence", "entropy", "margin",
                               "maskgit_plus", "low_confidence", "rerank",     "verified"};
  static const Names kNoSteps = {"autoregressive", "first_hitting", "semi_autoregressive", "factor",
                                 "factor_reference"};
  static const Names kNoBlocks = {"autoregressive", "analytic"};
  static const Names kRanking = {"confidence",     "entropy", "margin",  "maskgit_plus",
                                 "low_confidence", "rerank",  "verified"};
  static const std::vector<Readers> kReaders = {
      {"block_size", kNoBlocks, true},
      {"sampler.steps", kNoSteps, true},
      {"sampler.tokens_per_step", kPaced},
      {"sampler.threshold", {"threshold"}},
      {"sampler.factor", {"factor", "factor_reference"}},
      {"sampler.reveal_schedule", kPaced},
      {"sampler.eps", kNoBlocks, true},
      {"sampler.position_temperature", kRanking},
      {"sampler.verifier", {"rerank", "verified"}},
      {"sampler.stop_at", {"analytic"}, true},
      {"sampler.entropy_floor", {"analytic"}, true},
      {"sampler.entropy_restarts", {"analytic"}, true},
      {"sampler.past_context", {"analytic"}, true},
      {"sampler.temperature", {"analytic"}, true},
      {"sampler.top_k", {"analytic"}, true},
      {"sampler.cache", {"analytic"}, true},
      {"sampler.published", kNoBlocks, true},
      {"sampler.guidance", kNoBlocks, true},
      {"sampler.suppress_eos", kNoBlocks, true},
      {"sampler.stale_keys", kNoBlocks, true},
      {"sampler.adjust", kNoBlocks, true},
      {"sampler.filter_order", {"analytic"}, true},
  };
  return kReaders;
}

// A setting that only says how another one is meant.
struct Condition {
  std::string_view key;
  bool (*holds)(const RunSpec&);
  std::string_view needs;
};

constexpr Condition kConditions[] = {
    {"estimator.strata_rows", [](const RunSpec& s) { return s.estimator.strata == "published"; },
     "--strata published"},
    {"sampler.eps",
     [](const RunSpec& s) {
       return s.sampler.name == "origin" || s.sampler.reveal_schedule == "dream" ||
              s.sampler.published != "none";
     },
     "--sampler origin, --reveal-schedule dream or --published"},
    {"sampler.entropy_restarts", [](const RunSpec& s) { return s.sampler.entropy_floor > 0; },
     "--entropy-floor above 0"},
    {"sampler.nucleus_rule", [](const RunSpec& s) { return s.sampler.nucleus_p < 1; },
     "--nucleus-p below 1"},
    {"sampler.filter_order",
     [](const RunSpec& s) { return s.sampler.nucleus_p < 1 && s.sampler.top_k > 0; },
     "--top-k and --nucleus-p below 1"},
};

std::string listed(const Names& names) {
  const auto last = names.end() - 1;
  return names.size() < 2 ? names.front()
                          : fmt::format("{} and {}", fmt::join(names.begin(), last, ", "), *last);
}

std::string why_unread_by(std::span<const Readers> table, const char* what,
                          const std::string& method, std::string_view key) {
  if (method.empty() || method == "auto")
    return "";
  for (const Readers& row : table) {
    const bool is_named = std::find(row.names.begin(), row.names.end(), method) != row.names.end();
    if (row.key != key || is_named != row.all_but)
      continue;
    const char* gloss = method == "autoregressive" ? ", token by token," : "";
    const std::string readers =
        row.all_but ? "others do"
                    : fmt::format("{} {}", listed(row.names), row.names.size() < 2 ? "does" : "do");
    return fmt::format("the {} {}{} does not read it; {}", what, method, gloss, readers);
  }
  return "";
}

}  // namespace

std::string why_unread(std::string_view key, const RunSpec& spec, const RunMethod& method) {
  std::string why = why_unread_by(estimator_readers(), "estimator", method.estimator, key);
  if (why.empty())
    why = why_unread_by(sampler_readers(), "sampler", method.sampler, key);
  if (!why.empty())
    return why;
  for (const Condition& condition : kConditions) {
    if (condition.key == key && !condition.holds(spec))
      return fmt::format("it is read with {} alone", condition.needs);
  }
  return "";
}

}  // namespace dlm
