#include "models/exact/grammar_chart.h"

#include <cmath>
#include <numeric>

#include "harness/base/error.h"
#include "models/exact/grammar.h"

namespace dlm {
namespace {

constexpr std::int64_t kMostTokens = 512;

std::int64_t checked_length(std::size_t tokens) {
  if (tokens > static_cast<std::size_t>(kMostTokens)) {
    throw ConfigError("known", fmt::format("{} tokens", tokens),
                      fmt::format("at most {} of a grammar", kMostTokens));
  }
  return static_cast<std::int64_t>(tokens);
}

}  // namespace

GrammarChart::GrammarChart(const GrammarWorld& world, std::span<const std::int64_t> known)
    : world_(world),
      known_(known),
      n_(checked_length(known.size())),
      K_(world.kinds()),
      content_(n_, K_),
      group_(n_, K_ + 1),
      d_content_(n_, K_),
      d_group_(n_, K_ + 1),
      rest_(static_cast<std::size_t>((n_ + 1) * (K_ + 1))),
      d_rest_(rest_.size()),
      closed_(static_cast<std::size_t>(n_ * K_)),
      d_tokens_(static_cast<std::size_t>(n_ * 2 * K_)) {
  // A known token counts e^(entropy) in place of 1, so that the weight of a long text stays within
  // the range of a double; shares of the weight are the same.
  if (n_ > 0)
    known_weight_ = std::exp(world.entropy_per_token(n_));
  for (std::int64_t i = 0; i < n_; ++i) {
    for (std::int64_t kind = 0; kind < K_; ++kind) {
      double sum = 0;
      for (std::int64_t other = 0; other < K_; ++other)
        sum += may_be(i, K_ + other) * world.closed_by(kind, other);
      closed_[static_cast<std::size_t>(i * K_ + kind)] = (1 - world.spec_.open) * sum;
    }
  }
}

double GrammarChart::may_be(std::int64_t position, std::int64_t token) const {
  const std::int64_t known = known_[static_cast<std::size_t>(position)];
  if (known < 0)
    return 1;
  return known == token ? known_weight_ : 0;
}

// The chance that a bracket of `kind` opens in `parent`.
double GrammarChart::within(std::int64_t parent, std::int64_t kind) const {
  const double opens = parent == K_ ? 1 - world_.spec_.error : world_.spec_.open;
  return opens * world_.opened(parent)[static_cast<std::size_t>(kind)];
}

double GrammarChart::closed(std::int64_t position, std::int64_t kind) const {
  return closed_[static_cast<std::size_t>(position * K_ + kind)];
}

void GrammarChart::add(std::int64_t position, std::int64_t token, double derivative) {
  d_tokens_[static_cast<std::size_t>(position * 2 * K_ + token)] +=
      derivative * may_be(position, token);
}

// open_b at begin, content, a closing token at end - 1; in every parent.
void GrammarChart::fill_group(std::int64_t begin, std::int64_t end) {
  double* const group = group_.at(begin, end);
  const double* const content = content_.at(begin + 1, end - 1);
  for (std::int64_t kind = 0; kind < K_; ++kind) {
    const double whole = may_be(begin, kind) * content[kind] * closed(end - 1, kind);
    if (whole == 0)
      continue;
    for (std::int64_t parent = 0; parent <= K_; ++parent)
      group[parent] += within(parent, kind) * whole;
  }
}

// A group first, then content.
void GrammarChart::fill_content(std::int64_t begin, std::int64_t end) {
  double* const content = content_.at(begin, end);
  for (std::int64_t middle = begin + 2; middle <= end; middle += 2) {
    const double* const first = group_.at(begin, middle);
    const double* const others = content_.at(middle, end);
    for (std::int64_t kind = 0; kind < K_; ++kind) content[kind] += first[kind] * others[kind];
  }
}

// From `begin` to the end of the text: a group first, or a bracket that stays open, or (S alone) a
// closing token that closes nothing.
void GrammarChart::fill_rest(std::int64_t begin) {
  double* const rest = rest_.data() + begin * (K_ + 1);
  const auto after = [&](std::int64_t at) { return rest_.data() + at * (K_ + 1); };
  for (std::int64_t parent = 0; parent <= K_; ++parent) {
    for (std::int64_t end = begin + 2; end <= n_; end += 2)
      rest[parent] += group_.at(begin, end)[parent] * after(end)[parent];
    for (std::int64_t kind = 0; kind < K_; ++kind)
      rest[parent] += within(parent, kind) * may_be(begin, kind) * after(begin + 1)[kind];
  }
  for (std::int64_t kind = 0; kind < K_; ++kind) {
    rest[K_] += world_.spec_.error / static_cast<double>(K_) * may_be(begin, K_ + kind) *
                after(begin + 1)[K_];
  }
}

void GrammarChart::fill_inside() {
  for (std::int64_t begin = 0; begin <= n_; ++begin) {
    for (std::int64_t kind = 0; kind < K_; ++kind) content_.at(begin, begin)[kind] = 1;
  }
  for (std::int64_t length = 2; length <= n_; length += 2) {
    for (std::int64_t begin = 0; begin + length <= n_; ++begin) {
      fill_group(begin, begin + length);
      fill_content(begin, begin + length);
    }
  }
  for (std::int64_t parent = 0; parent <= K_; ++parent)
    rest_[static_cast<std::size_t>(n_ * (K_ + 1) + parent)] = 1;
  for (std::int64_t begin = n_; begin-- > 0;) fill_rest(begin);
}

void GrammarChart::spread_rest(std::int64_t begin) {
  const double* const d = d_rest_.data() + begin * (K_ + 1);
  const auto after = [&](std::int64_t at) { return rest_.data() + at * (K_ + 1); };
  const auto d_after = [&](std::int64_t at) { return d_rest_.data() + at * (K_ + 1); };
  for (std::int64_t parent = 0; parent <= K_; ++parent) {
    if (d[parent] == 0)
      continue;
    for (std::int64_t end = begin + 2; end <= n_; end += 2) {
      d_group_.at(begin, end)[parent] += d[parent] * after(end)[parent];
      d_after(end)[parent] += d[parent] * group_.at(begin, end)[parent];
    }
    for (std::int64_t kind = 0; kind < K_; ++kind) {
      const double weight = d[parent] * within(parent, kind);
      add(begin, kind, weight * after(begin + 1)[kind]);
      d_after(begin + 1)[kind] += weight * may_be(begin, kind);
    }
  }
  for (std::int64_t kind = 0; kind < K_; ++kind) {
    const double weight = d[K_] * world_.spec_.error / static_cast<double>(K_);
    add(begin, K_ + kind, weight * after(begin + 1)[K_]);
    d_after(begin + 1)[K_] += weight * may_be(begin, K_ + kind);
  }
}

void GrammarChart::spread_group(std::int64_t begin, std::int64_t end) {
  const double* const d = d_group_.at(begin, end);
  const double* const content = content_.at(begin + 1, end - 1);
  double* const d_content = d_content_.at(begin + 1, end - 1);
  for (std::int64_t kind = 0; kind < K_; ++kind) {
    double whole = 0;
    for (std::int64_t parent = 0; parent <= K_; ++parent) whole += d[parent] * within(parent, kind);
    if (whole == 0)
      continue;
    const double opens = may_be(begin, kind);
    const double closes = closed(end - 1, kind);
    add(begin, kind, whole * content[kind] * closes);
    d_content[kind] += whole * opens * closes;
    const double closing = whole * opens * content[kind] * (1 - world_.spec_.open);
    for (std::int64_t other = 0; other < K_ && closing != 0; ++other)
      add(end - 1, K_ + other, closing * world_.closed_by(kind, other));
  }
}

void GrammarChart::spread_content(std::int64_t begin, std::int64_t end) {
  const double* const d = d_content_.at(begin, end);
  for (std::int64_t middle = begin + 2; middle <= end; middle += 2) {
    const double* const first = group_.at(begin, middle);
    const double* const others = content_.at(middle, end);
    double* const d_first = d_group_.at(begin, middle);
    double* const d_others = d_content_.at(middle, end);
    for (std::int64_t kind = 0; kind < K_; ++kind) {
      d_first[kind] += d[kind] * others[kind];
      d_others[kind] += d[kind] * first[kind];
    }
  }
}

std::vector<double> GrammarChart::conditionals() {
  if (n_ == 0)
    return {};
  fill_inside();
  const double total = rest_[static_cast<std::size_t>(K_)];
  if (!(total > 0) || !std::isfinite(total)) {
    throw InternalError(fmt::format("{}: the weight of {} tokens is {}", world_.spec(), n_, total));
  }
  d_rest_[static_cast<std::size_t>(K_)] = 1 / total;
  for (std::int64_t begin = 0; begin < n_; ++begin) spread_rest(begin);
  // A group's derivative is whole when wider contents are done.
  for (std::int64_t length = n_ / 2 * 2; length >= 2; length -= 2) {
    for (std::int64_t begin = 0; begin + length <= n_; ++begin)
      spread_content(begin, begin + length);
    for (std::int64_t begin = 0; begin + length <= n_; ++begin) spread_group(begin, begin + length);
  }
  for (std::int64_t i = 0; i < n_; ++i) {
    const auto row = std::span(d_tokens_).subspan(static_cast<std::size_t>(i * 2 * K_),
                                                  static_cast<std::size_t>(2 * K_));
    const double sum = std::accumulate(row.begin(), row.end(), 0.0);
    DLM_CHECK(std::abs(sum - 1) < 1e-6, "the conditionals at {} sum to {}", i, sum);
    for (double& p : row) p /= sum;
  }
  return std::move(d_tokens_);
}

}  // namespace dlm
