#include "models/exact/tabular.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "harness/base/error.h"
#include "harness/base/random.h"
#include "models/exact/random_law.h"

namespace dlm {
namespace {

constexpr std::int64_t kMostStates = 8;
constexpr std::int64_t kLongest = 10;
constexpr std::int64_t kMostCells = std::int64_t{1} << 24;

// V^L, after the sizes have been checked.
std::size_t checked_cells(std::int64_t vocab_size, std::int64_t length) {
  if (vocab_size < 2 || vocab_size > kMostStates)
    throw ConfigError("v", fmt::to_string(vocab_size), fmt::format("in [2, {}]", kMostStates));
  if (length < 1 || length > kLongest)
    throw ConfigError("l", fmt::to_string(length), fmt::format("in [1, {}]", kLongest));
  std::int64_t cells = 1;
  for (std::int64_t i = 0; i < length; ++i) cells *= vocab_size;
  if (cells > kMostCells) {
    throw ConfigError(
        "l", fmt::to_string(length),
        fmt::format("v^l at most {}; with v = {} it is {}", kMostCells, vocab_size, cells));
  }
  return static_cast<std::size_t>(cells);
}

std::vector<double> random_joint(const TabularSpec& spec) {
  const std::size_t cells = checked_cells(spec.vocab_size, spec.length);
  check_concentration(spec.concentration);
  const RandomStream stream(spec.seed, Purpose::kExactWorld, 0);
  return draw_dirichlet(stream, 0, cells, spec.concentration);
}

ModelInfo tabular_info(std::int64_t vocab_size, std::int64_t length, std::size_t cells) {
  ModelInfo info;
  info.family = "tabular";
  info.vocab_size = vocab_size;
  info.max_length = length;
  info.parameters = static_cast<std::int64_t>(cells) - 1;
  info.dtype = "f64";
  info.scores_first_token = true;
  return info;
}

// Walks the sequences x_1 .. x_n that agree with the known tokens, depth first, and adds up the
// mass of every (position, token).
struct Enumeration {
  std::span<const std::int64_t> known;
  std::span<const double> mass;  // of x_1 .. x_n, n = known.size()
  std::size_t vocab_size;
  std::span<double> sums;  // n x V

  double walk(std::size_t depth, std::size_t cell) const {
    if (depth == known.size())
      return mass[cell];
    double total = 0;
    for (std::size_t v = 0; v < vocab_size; ++v) {
      if (known[depth] >= 0 && known[depth] != static_cast<std::int64_t>(v))
        continue;
      const double below = walk(depth + 1, cell * vocab_size + v);
      sums[depth * vocab_size + v] += below;
      total += below;
    }
    return total;
  }
};

}  // namespace

TabularWorld::TabularWorld(const TabularSpec& spec)
    : TabularWorld(fmt::format("exact:tabular?v={}&l={}&seed={}&concentration={}", spec.vocab_size,
                               spec.length, spec.seed, spec.concentration),
                   spec.vocab_size, spec.length, random_joint(spec)) {}

TabularWorld::TabularWorld(std::int64_t vocab_size, std::int64_t length, std::vector<double> joint)
    : TabularWorld(
          fmt::format("exact:tabular?v={}&l={}&joint={}", vocab_size, length, digest_of(joint)),
          vocab_size, length, std::move(joint)) {}

TabularWorld::TabularWorld(std::string spec, std::int64_t vocab_size, std::int64_t length,
                           std::vector<double>&& joint)
    : ExactWorld(std::move(spec),
                 tabular_info(vocab_size, length, checked_cells(vocab_size, length))) {
  const std::size_t cells = checked_cells(vocab_size, length);
  if (joint.size() != cells)
    throw ConfigError("joint", fmt::format("{} values", joint.size()),
                      fmt::format("v^l = {} values", cells));
  check_and_normalise("joint", joint);
  prefix_mass_.resize(static_cast<std::size_t>(length) + 1);
  prefix_mass_.back() = std::move(joint);
  const auto V = static_cast<std::size_t>(vocab_size);
  for (std::size_t n = prefix_mass_.size() - 1; n > 0; --n) {
    const std::vector<double>& longer = prefix_mass_[n];
    std::vector<double>& shorter = prefix_mass_[n - 1];
    shorter.assign(longer.size() / V, 0.0);
    for (std::size_t i = 0; i < longer.size(); ++i) shorter[i / V] += longer[i];
  }
}

std::size_t TabularWorld::cell(std::span<const std::int64_t> prefix) const {
  std::size_t cell = 0;
  for (std::int64_t id : prefix)
    cell = cell * static_cast<std::size_t>(vocab_size()) + static_cast<std::size_t>(id);
  return cell;
}

double TabularWorld::log_probability(std::span<const std::int64_t> ids) const {
  check_ids("ids", ids, 0);
  return std::log(prefix_mass_[ids.size()][cell(ids)]);
}

std::vector<double> TabularWorld::conditionals(std::span<const std::int64_t> known) const {
  check_ids("known", known, -1);
  const auto V = static_cast<std::size_t>(vocab_size());
  std::vector<double> laws(known.size() * V, 0.0);
  const Enumeration enumeration{known, prefix_mass_[known.size()], V, laws};
  if (!(enumeration.walk(0, 0) > 0))
    throw impossible_tokens("known", known);
  for (std::size_t begin = 0; begin < laws.size(); begin += V) {
    const std::span<double> law(laws.data() + begin, V);
    const double total = std::accumulate(law.begin(), law.end(), 0.0);
    for (double& p : law) p /= total;
  }
  return laws;
}

void TabularWorld::next_law_into(std::span<const std::int64_t> prefix,
                                 std::span<double> law) const {
  const std::size_t here = cell(prefix);
  const double total = prefix_mass_[prefix.size()][here];
  if (!(total > 0))
    throw impossible_tokens("prefix", prefix);
  const std::vector<double>& longer = prefix_mass_[prefix.size() + 1];
  for (std::size_t v = 0; v < law.size(); ++v) law[v] = longer[here * law.size() + v] / total;
}

double TabularWorld::entropy(std::int64_t length) const {
  check_length(length);
  return entropy_of(prefix_mass_[static_cast<std::size_t>(length)]);
}

}  // namespace dlm
