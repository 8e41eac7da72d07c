#include "models/exact/grammar.h"

#include <cmath>
#include <numeric>

#include "harness/base/error.h"
#include "harness/base/random.h"
#include "models/exact/grammar_chart.h"
#include "models/exact/random_law.h"

namespace dlm {
namespace {

constexpr std::int64_t kMostKinds = 64;

void check_share(const char* field, double value) {
  if (!(value > 0 && value < 1))
    throw ConfigError(field, fmt::format("{}", value), "above 0 and below 1");
}

const GrammarSpec& checked(const GrammarSpec& spec) {
  if (spec.brackets < 1 || spec.brackets > kMostKinds)
    throw ConfigError("brackets", fmt::to_string(spec.brackets),
                      fmt::format("in [1, {}]", kMostKinds));
  check_share("open", spec.open);
  check_share("error", spec.error);
  check_concentration(spec.concentration);
  return spec;
}

ModelInfo grammar_info(const GrammarSpec& spec) {
  ModelInfo info;
  info.family = "grammar";
  info.vocab_size = 2 * spec.brackets;
  info.parameters = (spec.brackets + 1) * (spec.brackets - 1) + 2;
  info.dtype = "f64";
  info.scores_first_token = true;
  return info;
}

// Of one of two outcomes.
double binary_entropy(double p) {
  return -p * std::log(p) - (1 - p) * std::log1p(-p);
}

}  // namespace

GrammarWorld::GrammarWorld(const GrammarSpec& spec)
    : ExactWorld(
          fmt::format("exact:grammar?brackets={}&open={}&error={}&seed={}&concentration={}",
                      checked(spec).brackets, spec.open, spec.error, spec.seed, spec.concentration),
          grammar_info(spec)),
      spec_(spec) {
  const RandomStream stream(spec.seed, Purpose::kExactWorld, 0);
  const auto K = static_cast<std::size_t>(spec.brackets);
  for (std::size_t parent = 0; parent <= K; ++parent) {
    const auto law = draw_dirichlet(stream, parent * K, K, spec.concentration);
    kinds_opened_.insert(kinds_opened_.end(), law.begin(), law.end());
  }
}

std::span<const double> GrammarWorld::opened(std::int64_t parent) const {
  return std::span(kinds_opened_)
      .subspan(static_cast<std::size_t>(parent * kinds()), static_cast<std::size_t>(kinds()));
}

double GrammarWorld::closed_by(std::int64_t kind, std::int64_t other) const {
  if (kinds() == 1)
    return 1;
  return kind == other ? 1 - spec_.error : spec_.error / static_cast<double>(kinds() - 1);
}

double GrammarWorld::token_probability(const std::vector<std::int64_t>& open,
                                       std::int64_t token) const {
  const double opens = open.empty() ? 1 - spec_.error : spec_.open;
  if (!closes(token))
    return opens * opened(open.empty() ? kinds() : open.back())[static_cast<std::size_t>(token)];
  if (open.empty())
    return spec_.error / static_cast<double>(kinds());
  return (1 - opens) * closed_by(open.back(), token - kinds());
}

void GrammarWorld::read(std::int64_t token, std::vector<std::int64_t>& open) const {
  if (!closes(token))
    open.push_back(token);
  else if (!open.empty())
    open.pop_back();
}

double GrammarWorld::log_probability(std::span<const std::int64_t> ids) const {
  check_ids("ids", ids, 0);
  double log_p = 0;
  std::vector<std::int64_t> open;
  for (const std::int64_t token : ids) {
    log_p += std::log(token_probability(open, token));
    read(token, open);
  }
  return log_p;
}

void GrammarWorld::next_law_into(std::span<const std::int64_t> prefix,
                                 std::span<double> law) const {
  std::vector<std::int64_t> open;
  for (const std::int64_t token : prefix) read(token, open);
  for (std::size_t token = 0; token < law.size(); ++token)
    law[token] = token_probability(open, static_cast<std::int64_t>(token));
}

double GrammarWorld::entropy(std::int64_t length) const {
  check_length(length);
  const auto K = static_cast<std::size_t>(kinds());
  std::vector<double> kind_entropy;  // of what opens within each kind
  for (std::int64_t kind = 0; kind < kinds(); ++kind)
    kind_entropy.push_back(entropy_of(opened(kind)));
  const double closing =
      K == 1 ? 0 : binary_entropy(spec_.error) + spec_.error * std::log(static_cast<double>(K - 1));
  // Entropy of the next token at each depth, and the chance of each depth.
  std::vector<double> at_depth = {binary_entropy(spec_.error) +
                                  spec_.error * std::log(static_cast<double>(K)) +
                                  (1 - spec_.error) * entropy_of(opened(kinds()))};
  std::vector<double> kind_law(opened(kinds()).begin(), opened(kinds()).end());
  std::vector<double> depth(static_cast<std::size_t>(length) + 1);
  depth[0] = 1;
  double entropy = 0;
  for (std::int64_t i = 0; i < length; ++i) {
    entropy += std::inner_product(at_depth.begin(), at_depth.end(), depth.begin(), 0.0);
    std::vector<double> next(depth.size());
    next[0] += depth[0] * spec_.error;
    next[1] += depth[0] * (1 - spec_.error);
    for (std::size_t d = 1; d < at_depth.size(); ++d) {
      next[d + 1] += depth[d] * spec_.open;
      next[d - 1] += depth[d] * (1 - spec_.open);
    }
    depth.swap(next);
    at_depth.push_back(binary_entropy(spec_.open) + (1 - spec_.open) * closing +
                       spec_.open * std::inner_product(kind_law.begin(), kind_law.end(),
                                                       kind_entropy.begin(), 0.0));
    std::vector<double> deeper(K);
    for (std::size_t a = 0; a < K; ++a) {
      const auto law = opened(static_cast<std::int64_t>(a));
      for (std::size_t b = 0; b < K; ++b) deeper[b] += kind_law[a] * law[b];
    }
    kind_law.swap(deeper);
  }
  return entropy;
}

std::vector<double> GrammarWorld::conditionals(std::span<const std::int64_t> known) const {
  check_ids("known", known, -1);
  return GrammarChart(*this, known).conditionals();
}

}  // namespace dlm
