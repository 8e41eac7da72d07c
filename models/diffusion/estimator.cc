#include "models/diffusion/estimator.h"

#include <algorithm>
#include <array>
#include <utility>

#include "harness/base/error.h"
#include "models/diffusion/enumerate.h"
#include "models/diffusion/estimator_checks.h"
#include "models/diffusion/order.h"
#include "models/diffusion/published_draws.h"
#include "models/diffusion/query_queue.h"
#include "models/diffusion/reference.h"
#include "models/diffusion/stratified.h"
#include "models/diffusion/token_control.h"

namespace dlm {
namespace {

using Maker = std::unique_ptr<Estimator> (*)(const EstimatorOptions& options, DenoiserLoss loss);

constexpr std::array<std::pair<const char*, Maker>, 6> kEstimators{
    {{"reference", make_reference_estimator},
     {"stratified", make_stratified_estimator},
     {"enumerate", make_enumerate_estimator},
     {"order", make_order_estimator},
     {"llada", make_llada_estimator},
     {"dream", make_dream_estimator}}};

// Sequences of one length that are encoded together.
struct Run {
  std::size_t begin = 0;
  std::size_t size = 0;
  std::int64_t length = 0;
  std::int64_t block_size = 0;
};

std::vector<Run> runs_of(std::span<const std::vector<std::int64_t>> sequences,
                         const EstimatorOptions& options) {
  std::vector<Run> runs;
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    const std::int64_t length = std::ssize(sequences[s]);
    if (length == 0)
      throw ConfigError("sequence", "", "at least one token");
    const std::int64_t block_size = options.block_size == 0 ? length : options.block_size;
    if (length % block_size != 0)
      throw ConfigError("block_size", fmt::to_string(block_size),
                        fmt::format("a divisor of the length {}", length));
    const bool joins =
        !runs.empty() && runs.back().length == length &&
        (static_cast<std::int64_t>(runs.back().size) + 1) * length <= options.encode_positions;
    if (joins) {
      ++runs.back().size;
    } else {
      runs.push_back({s, 1, length, block_size});
    }
  }
  return runs;
}

// Per sequence of a run: the value of each replicate, and the masks counted.
struct RunSums {
  std::int64_t block_size = 1;
  std::vector<std::vector<double>> values;
  std::vector<std::int64_t> queries;
  std::vector<std::int64_t> masked;
  std::vector<TokenControl> controls;  // where the estimator has them

  void add(const WeightedQuery& query, std::span<const double> terms) {
    double sum = 0;
    for (std::size_t j = 0; j < terms.size(); ++j) {
      if (query.scored.empty() || query.scored[j] != 0)
        sum += terms[j];
    }
    const auto s = static_cast<std::size_t>(query.query.sequence);
    values[s][static_cast<std::size_t>(query.replicate)] += query.weight * sum;
    ++queries[s];
    masked[s] += std::ssize(terms);
    if (controls.empty())
      return;
    const MaskQuery& mask = query.query;
    for (std::size_t j = 0; j < terms.size(); ++j)
      controls[s].add(query.replicate, mask.block * block_size + mask.masked[j], query.weight,
                      terms[j]);
  }
};

SequenceEstimate summarise(std::span<const double> values, std::int64_t replicates) {
  SequenceEstimate estimate;
  estimate.n_mc = replicates;
  for (const double value : values) estimate.nats += value;
  estimate.nats /= static_cast<double>(values.size());
  for (const double value : values)
    estimate.m2 += (value - estimate.nats) * (value - estimate.nats);
  return estimate;
}

class LikelihoodLoop {
 public:
  LikelihoodLoop(const Denoiser& denoiser, const EstimatorOptions& options)
      : denoiser_(denoiser),
        options_(resolved_options(options)),
        estimator_(make_estimator(options_, denoiser.loss())) {}

  const EstimatorOptions& options() const { return options_; }

  void run(std::span<const std::vector<std::int64_t>> sequences,
           std::span<const std::uint64_t> examples, const Run& where,
           LikelihoodEstimates& out) const {
    const PassCounts start = denoiser_.counts();
    const auto context = denoiser_.encode(sequences, where.block_size);
    const PassCounts encoded = denoiser_.counts();
    const auto replicates =
        static_cast<std::size_t>(std::max<std::int64_t>(1, estimator_->replicates()));
    RunSums sums{where.block_size,
                 std::vector(sequences.size(), std::vector<double>(replicates, 0.0)),
                 std::vector<std::int64_t>(sequences.size(), 0),
                 std::vector<std::int64_t>(sequences.size(), 0),
                 {}};
    if (has_control())
      sums.controls.assign(sequences.size(),
                           TokenControl(where.length, options_.first_token == "scored" ? 0 : 1,
                                        estimator_->replicates()));
    QueryQueue queue(
        denoiser_, *context, options_.chunk_positions,
        [&](const WeightedQuery& query, std::span<const double> terms) { sums.add(query, terms); });
    const bool is_first_scored = options_.first_token == "scored";
    const auto shape_of = [&](std::size_t s) {
      return SequenceShape{static_cast<std::int64_t>(s), examples[s], where.length,
                           where.block_size, is_first_scored};
    };
    for (std::size_t s = 0; s < sequences.size(); ++s)
      estimator_->plan(shape_of(s), [&](WeightedQuery query) { queue.add(std::move(query)); });
    queue.flush();
    for (std::size_t s = 0; s < sums.controls.size(); ++s) {
      const std::vector<double> corrections = sums.controls[s].corrections();
      for (std::size_t g = 0; g < corrections.size(); ++g) sums.values[s][g] -= corrections[g];
    }
    for (std::size_t s = 0; s < sequences.size(); ++s) {
      SequenceEstimate estimate = summarise(sums.values[s], estimator_->replicates());
      estimate.tokens = estimator_->scored_tokens(shape_of(s));
      estimate.queries = sums.queries[s];
      estimate.masked = sums.masked[s];
      out.sequences.push_back(estimate);
    }
    out.clean += encoded - start;
    out.draws += denoiser_.counts() - encoded;
  }

 private:
  bool has_control() const {
    return options_.name == "stratified" && options_.replicates > 1 && options_.t_min == 0 &&
           options_.t_max == 1;
  }

  const Denoiser& denoiser_;
  EstimatorOptions options_;
  std::unique_ptr<Estimator> estimator_;
};

}  // namespace

std::int64_t Estimator::scored_tokens(const SequenceShape& shape) const {
  return shape.length - (shape.is_first_scored ? 0 : 1);
}

std::unique_ptr<Estimator> make_estimator(const EstimatorOptions& options, DenoiserLoss loss) {
  for (const auto& [name, maker] : kEstimators) {
    if (options.name != name)
      continue;
    const EstimatorOptions resolved = resolved_options(options);
    check_estimator_options(resolved, loss);
    return maker(resolved, loss);
  }
  throw unknown_name("estimator", options.name, estimator_names());
}

std::vector<std::string> estimator_names() {
  std::vector<std::string> names;
  for (const auto& [name, maker] : kEstimators) names.emplace_back(name);
  return names;
}

LikelihoodEstimates estimate_likelihood(const Denoiser& denoiser,
                                        std::span<const std::vector<std::int64_t>> sequences,
                                        std::span<const std::uint64_t> examples,
                                        const EstimatorOptions& options) {
  DLM_CHECK(sequences.size() == examples.size(), "{} sequences, {} example numbers",
            sequences.size(), examples.size());
  const LikelihoodLoop loop(denoiser, options);
  LikelihoodEstimates result;
  for (const Run& run : runs_of(sequences, loop.options()))
    loop.run(sequences.subspan(run.begin, run.size), examples.subspan(run.begin, run.size), run,
             result);
  return result;
}

}  // namespace dlm
