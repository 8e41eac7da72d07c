// The speed of two runs: of runs measured in turn by pairs, else of two samples of times by ranks.
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string_view>

#include "harness/base/error.h"
#include "results/batch_times.h"
#include "results/compare_measures.h"
#include "results/rank_stats.h"
#include "results/signed_rank.h"

namespace dlm {
namespace {

constexpr double kAlpha = 0.05;

constexpr std::int64_t kFewestRepeats = 3;

// Relative differences that are the same in two decimals of a percentage.
constexpr double kShownAlike = 5e-5;

// A time above so many times its document's median over the runs of its side is cut to that.
constexpr double kDisturbed = 2;

void add_time(SpeedSample& sample, double tokens, double ns) {
  if (tokens > 0 && ns > 0)
    sample.log_ns_per_token.push_back(std::log(ns / tokens));
}

// Of repeats that the run timed itself.
SpeedSample sample_of_repeats(const StoredRun& run) {
  const std::array<Cell, 1> parameters = {run.run_id};
  SpeedSample sample;
  sample.units = kRepeatsOfTheRun;
  double tokens = 0;
  double ns = 0;
  run.store->scan("SELECT kept_tok, ns FROM timing WHERE run_id=? AND phase='total' ORDER BY rep",
                  parameters, [&](const Statement& row) {
                    add_time(sample, row.real(0), row.real(1));
                    tokens += row.real(0);
                    ns += row.real(1);
                  });
  sample.tokens_per_second = ns > 0 ? 1e9 * tokens / ns : 0;
  return sample;
}

bool is_benchmark(const StoredRun& run) {
  const std::array<Cell, 1> parameters = {run.run_id};
  bool is = false;
  run.store->scan("SELECT task_kind='bench' FROM v_run WHERE run_id=?", parameters,
                  [&](const Statement& row) { is = row.integer(0) != 0; });
  return is;
}

// Of the documents, those of one batch together: they were timed once.
SpeedSample sample_of_batches(const StoredRun& run) {
  SpeedSample sample;
  sample.units = is_benchmark(run) ? kRepeatsOfTheRun : kTimesOfDocuments;
  double tokens = 0;
  double ns = 0;
  for (const BatchTime& batch : batch_times(*run.store, run.run_id)) {
    add_time(sample, batch.tokens, batch.ns);
    tokens += batch.tokens;
    ns += batch.ns;
    if (batch.rows > 1)
      sample.units = kTimesOfBatches;
  }
  sample.tokens_per_second = ns > 0 ? 1e9 * tokens / ns : 0;
  return sample;
}

// One of the runs of a key: its times by document.
struct RunTimes {
  std::string run_id;
  double tokens = 0;
  std::vector<double> ns;
};

// The runs of a key that one side is made of: those whose ids come after `after`, up to `last`.
struct RunRange {
  std::string after, last;  // last: empty for all
};

// Both sides' runs. Where the same program measured the same thing twice in one store, what came up
// to the earlier run is its side, and what came later the other: no run is on both.
std::pair<RunRange, RunRange> run_ranges(const StoredRun& a, const StoredRun& b,
                                         const CompareOptions& options) {
  std::pair<RunRange, RunRange> ranges = {{options.begun_after_a, ""}, {options.begun_after_b, ""}};
  if (a.store->path() != b.store->path())
    return ranges;
  const std::array<Cell, 2> parameters = {a.run_id, b.run_id};
  const Table alike = a.store->query(
      "SELECT 1 FROM run a JOIN run b USING(run_key, build_id, env_id) WHERE a.run_id=? AND "
      "b.run_id=?",
      parameters);
  if (alike.rows.empty())
    return ranges;
  const bool a_is_earlier = a.run_id < b.run_id;
  const std::string& split = a_is_earlier ? a.run_id : b.run_id;
  (a_is_earlier ? ranges.first : ranges.second).last = split;
  std::string& after = (a_is_earlier ? ranges.second : ranges.first).after;
  after = std::max(after, split);
  return ranges;
}

std::vector<RunTimes> times_of_repeated_runs(const StoredRun& run, const RunRange& range) {
  const std::array<Cell, 3> parameters = {run.run_id, range.after, range.last};
  std::vector<RunTimes> runs;
  run.store->scan(
      "SELECT r.run_id FROM run o JOIN run r ON r.run_key=o.run_key AND r.env_id=o.env_id AND "
      "r.build_id=o.build_id AND r.status='done' AND r.resumes=0 WHERE o.run_id=?1 AND r.run_id>?2 "
      "AND (?3='' OR r.run_id<=?3) ORDER BY r.run_id",
      parameters, [&](const Statement& row) {
        runs.push_back({row.text(0), 0, {}});
      });
  if (std::ssize(runs) < kFewestRepeatedRuns)
    return {};
  for (RunTimes& one : runs) {
    const std::array<Cell, 1> id = {one.run_id};
    run.store->scan(
        "SELECT coalesce(kept_tok,n_tok), wall_ns FROM sample WHERE run_id=? ORDER BY doc_id, rep",
        id, [&one](const Statement& row) {
          one.tokens += row.real(0);
          one.ns.push_back(row.real(1));
        });
    if (one.ns.size() != runs[0].ns.size())
      throw DataError(run.store->path(), -1,
                      fmt::format("as many rows in run {} as in {}", one.run_id, runs[0].run_id),
                      fmt::format("{} and {}", one.ns.size(), runs[0].ns.size()));
  }
  std::erase_if(runs, [](const RunTimes& one) { return !(one.tokens > 0); });
  return runs;
}

// What the machine did to one run alone is no property of the program: a time far above what the
// same document took in the other runs of the same side is cut. What slows a document down in half
// of its runs or more stays, and so does all up to twice its usual time. The share that was cut.
double cut_disturbed_times(std::vector<RunTimes>& runs) {
  std::int64_t cut = 0;
  std::vector<double> of_document(runs.size());
  const std::size_t documents = runs.empty() ? 0 : runs[0].ns.size();
  for (std::size_t i = 0; i < documents; ++i) {
    for (std::size_t r = 0; r < runs.size(); ++r) of_document[r] = runs[r].ns[i];
    const double most = kDisturbed * quantile(of_document, 0.5);
    for (RunTimes& one : runs) {
      cut += one.ns[i] > most ? 1 : 0;
      one.ns[i] = std::min(one.ns[i], most);
    }
  }
  return static_cast<double>(cut) /
         static_cast<double>(std::max<std::size_t>(1, documents * runs.size()));
}

SpeedSample sample_of_repeated_runs(const StoredRun& run, const RunRange& range) {
  std::vector<RunTimes> runs = times_of_repeated_runs(run, range);
  SpeedSample sample;
  sample.units = kRepeatedRuns;
  sample.cut = cut_disturbed_times(runs);
  double tokens = 0;
  double all_ns = 0;
  for (const RunTimes& one : runs) {
    const double ns = std::accumulate(one.ns.begin(), one.ns.end(), 0.0);
    if (!(ns > 0))
      continue;
    sample.log_ns_per_token.push_back(std::log(ns / one.tokens));
    sample.runs.push_back(one.run_id);
    tokens += one.tokens;
    all_ns += ns;
  }
  sample.tokens_per_second = all_ns > 0 ? 1e9 * tokens / all_ns : 0;
  return sample;
}

bool both_have(const std::pair<SpeedSample, SpeedSample>& samples, std::int64_t fewest) {
  return std::min(std::ssize(samples.first.log_ns_per_token),
                  std::ssize(samples.second.log_ns_per_token)) >= fewest;
}

std::optional<Interval> as_rates(const std::optional<Interval>& log_times) {
  if (!log_times)
    return std::nullopt;
  return Interval{std::expm1(-log_times->high), std::expm1(-log_times->low)};
}

// Of the level `alpha`: the standard error that an interval of that width would have were it
// normal.
double error_of_width(const Interval& interval, double alpha) {
  return (interval.high - interval.low) / (2 * normal_quantile(1 - alpha / 2));
}

void take_samples(Comparison& out, const SpeedSample& a, const SpeedSample& b) {
  const Shift shift =
      shift_estimate(a.log_ns_per_token, b.log_ns_per_token, 1 - kAlpha, 1 - 2 * kAlpha);
  out.difference = std::expm1(-shift.value);
  out.interval = as_rates(shift.interval);
  out.interval_method = "Hodges-Lehmann";
  out.inner = as_rates(shift.inner_interval);
  const RankTest test = mann_whitney(a.log_ns_per_token, b.log_ns_per_token);
  out.p = test.p;
  out.test = fmt::format("Mann-Whitney U{}", test.exact ? " exact" : "");
  out.n = std::ssize(a.log_ns_per_token) + std::ssize(b.log_ns_per_token);
  out.n_units = std::min(std::ssize(a.log_ns_per_token), std::ssize(b.log_ns_per_token));
  out.pairing = a.units;
  if (out.interval) {
    const double error = error_of_width(*out.interval, kAlpha);
    out.needed = needed_units(error * std::sqrt(static_cast<double>(out.n_units)), out.margin);
  }
}

// Of the machine that both ran on; given, or from what either store holds repeated.
std::optional<double> noise_floor(const MeasureInputs& in) {
  if (in.options->speed_noise_floor)
    return in.options->speed_noise_floor;
  const auto floor = speed_noise_floor(*in.run_b->store, in.run_b->run_id);
  return floor ? floor : speed_noise_floor(*in.run_a->store, in.run_a->run_id);
}

// The logarithms of B's time over A's, of runs that were measured next to each other.
std::vector<double> neighbour_differences(const SpeedSample& a, const SpeedSample& b) {
  std::vector<double> differences;
  for (const auto& [i, j] : neighbours_in_time(a.runs, b.runs))
    differences.push_back(b.log_ns_per_token[j] - a.log_ns_per_token[i]);
  return differences;
}

}  // namespace

std::vector<std::pair<std::size_t, std::size_t>> neighbours_in_time(
    std::span<const std::string> a, std::span<const std::string> b) {
  std::vector<std::pair<std::size_t, std::size_t>> pairs;
  std::size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    // The next of all is alone where its successor is of its own side.
    if (a[i] < b[j] && i + 1 < a.size() && a[i + 1] < b[j]) {
      ++i;
    } else if (b[j] < a[i] && j + 1 < b.size() && b[j + 1] < a[i]) {
      ++j;
    } else {
      pairs.emplace_back(i++, j++);
    }
  }
  return pairs;
}

void take_pairs_of_runs(Comparison& out, std::span<const double> log_time_ratios,
                        std::int64_t looks) {
  const double alpha = kAlpha / static_cast<double>(looks);
  const Centre centre = centre_estimate(log_time_ratios, 1 - alpha, 1 - 2 * alpha);
  out.difference = std::expm1(-centre.value);
  out.interval_method = "Hodges-Lehmann of pairs";
  if (looks > 1)
    out.interval_method += fmt::format(", all {} looks together", looks);
  out.interval = as_rates(centre.interval);
  out.inner = as_rates(centre.inner_interval);
  const RankTest test = signed_rank(log_time_ratios);
  out.p = std::min(1.0, static_cast<double>(looks) * test.p);
  out.test = fmt::format("signed rank{}", test.exact ? " exact" : "");
  if (looks > 1)
    out.test += fmt::format(", {} looks", looks);
  out.n = 2 * std::ssize(log_time_ratios);
  out.n_units = std::ssize(log_time_ratios);
  out.pairing = kPairsOfRuns;
  if (out.interval) {
    const double error = error_of_width(*out.interval, alpha);
    out.needed =
        needed_units(error * std::sqrt(static_cast<double>(out.n_units)), out.margin, 0.8, alpha);
  }
}

std::pair<SpeedSample, SpeedSample> speed_samples(const StoredRun& a, const StoredRun& b,
                                                  const CompareOptions& options) {
  const auto [range_a, range_b] = run_ranges(a, b, options);
  std::pair<SpeedSample, SpeedSample> samples = {sample_of_repeated_runs(a, range_a),
                                                 sample_of_repeated_runs(b, range_b)};
  if (both_have(samples, kFewestRepeatedRuns))
    return samples;
  samples = {sample_of_repeats(a), sample_of_repeats(b)};
  if (both_have(samples, kFewestRepeats))
    return samples;
  samples = {sample_of_batches(a), sample_of_batches(b)};
  if (std::string_view(samples.first.units) != samples.second.units)
    samples.first.units = samples.second.units = kTimesOfBatches;
  return samples;
}

std::optional<Comparison> measure_speed(const Measure& what, const MeasureInputs& in,
                                        const Margin& margin) {
  const SpeedSample& a = in.speed_a;
  const SpeedSample& b = in.speed_b;
  if (a.log_ns_per_token.empty() || b.log_ns_per_token.empty())
    return std::nullopt;
  Comparison out;
  out.metric = what.metric;
  out.unit = what.unit;
  out.better = what.better;
  out.a = a.tokens_per_second;
  out.b = b.tokens_per_second;
  out.relative = true;
  const bool repeated = std::string_view(a.units) == kRepeatedRuns;
  const std::optional<double> floor = repeated ? std::nullopt : noise_floor(in);
  out.of_unknown_noise = !repeated && !floor && std::string_view(a.units) != kRepeatsOfTheRun;
  const double asked = margin.relative ? margin.value : margin.value / out.a;
  out.margin = std::max(asked, floor.value_or(0));
  if (const auto pairs = repeated ? neighbour_differences(a, b) : std::vector<double>{};
      std::ssize(pairs) >= kFewestPairsOfRuns) {
    take_pairs_of_runs(out, pairs, in.options->looks);
  } else {
    take_samples(out, a, b);
  }
  // The columns are of all time together; the ratio is one that a disturbed unit hardly moves.
  const double together = out.b / out.a - 1;
  if (std::abs(together - out.difference) > kShownAlike) {
    add_note(out, fmt::format("B-A is the median ratio of the {}; of all time together {:+.2f} %",
                              out.pairing, 100 * together));
  }
  if (a.cut + b.cut > 0) {
    add_note(out, fmt::format("{:.1f} and {:.1f} % of times cut to twice their document's median",
                              100 * a.cut, 100 * b.cut));
  }
  if (out.margin > asked) {
    add_note(out, fmt::format("margin raised to the noise floor of this machine, {:.1f} %",
                              100 * *floor));
  }
  return out;
}

}  // namespace dlm
