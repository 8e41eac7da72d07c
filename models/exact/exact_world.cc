#include "models/exact/exact_world.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>

#include "harness/base/error.h"
#include "harness/base/random.h"
#include "models/exact/random_law.h"
#include "models/sampling/token_filter.h"

namespace dlm {
namespace {

class IdCache : public KvCache {
 public:
  IdCache(std::int64_t batch, std::int64_t capacity)
      : rows_(static_cast<std::size_t>(batch)), capacity_(capacity) {}

  std::int64_t batch() const override { return std::ssize(rows_); }

  std::int64_t length(std::int64_t row) const override {
    return std::ssize(rows_.at(static_cast<std::size_t>(row)));
  }

  std::int64_t capacity() const override { return capacity_; }

  std::vector<std::int64_t>& row(std::size_t index) { return rows_.at(index); }

 private:
  std::vector<std::vector<std::int64_t>> rows_;
  std::int64_t capacity_;
};

// The ids of a padded batch on the CPU, and how many of each row count.
struct Batch {
  Batch(const at::Tensor& ids, std::span<const std::int64_t> row_lengths, std::int64_t shortest)
      : lengths(row_lengths) {
    DLM_CHECK(
        ids.dim() == 2 && ids.scalar_type() == at::kLong && ids.size(0) == std::ssize(lengths),
        "ids are {}-dimensional, {} lengths", ids.dim(), lengths.size());
    for (std::int64_t n : lengths)
      DLM_CHECK(n >= shortest && n <= ids.size(1), "length {} of {} columns", n, ids.size(1));
    data = ids.cpu().contiguous();
  }

  std::span<const std::int64_t> row(std::size_t b) const {
    const auto width = static_cast<std::size_t>(data.size(1));
    return {data.const_data_ptr<std::int64_t>() + b * width, static_cast<std::size_t>(lengths[b])};
  }

  std::span<const std::int64_t> lengths;
  at::Tensor data;
};

}  // namespace

ExactWorld::ExactWorld(std::string spec, ModelInfo info)
    : spec_(std::move(spec)), info_(std::move(info)) {}

void ExactWorld::check_ids(std::string_view field, std::span<const std::int64_t> ids,
                           std::int64_t lowest) const {
  if (info_.max_length > 0 && std::ssize(ids) > info_.max_length) {
    throw ConfigError(field, fmt::format("{} tokens", ids.size()),
                      fmt::format("at most max_length = {}", info_.max_length));
  }
  for (std::int64_t id : ids) {
    if (id < lowest || id >= vocab_size())
      throw ConfigError(field, fmt::to_string(id),
                        fmt::format("ids in [{}, {})", lowest, vocab_size()));
  }
}

void ExactWorld::check_length(std::int64_t length) const {
  if (length >= 1 && (info_.max_length == 0 || length <= info_.max_length))
    return;
  throw ConfigError(
      "length", fmt::to_string(length),
      info_.max_length > 0 ? fmt::format("in [1, {}]", info_.max_length) : "an integer >= 1");
}

ConfigError ExactWorld::impossible_tokens(std::string_view field,
                                          std::span<const std::int64_t> ids) {
  std::string text;
  for (std::int64_t id : ids) {
    if (!text.empty())
      text += ' ';
    text += fmt::to_string(id);
  }
  return ConfigError(field, text, "tokens that can occur together in this world");
}

std::vector<double> ExactWorld::next_law(std::span<const std::int64_t> prefix) const {
  check_ids("prefix", prefix, 0);
  if (info_.max_length > 0)
    check_length(std::ssize(prefix) + 1);
  std::vector<double> law(static_cast<std::size_t>(vocab_size()));
  next_law_into(prefix, law);
  return law;
}

std::vector<double> ExactWorld::conditional(std::span<const std::int64_t> known,
                                            std::int64_t position) const {
  if (position < 0 || position >= std::ssize(known))
    throw ConfigError("position", fmt::to_string(position),
                      fmt::format("in [0, {})", known.size()));
  const std::vector<double> laws = conditionals(known);
  const auto row = laws.begin() + position * vocab_size();
  return {row, row + vocab_size()};
}

std::vector<double> ExactWorld::marginals(std::int64_t length) const {
  check_length(length);
  return conditionals(std::vector<std::int64_t>(static_cast<std::size_t>(length), -1));
}

double ExactWorld::entropy_per_token(std::int64_t length) const {
  return entropy(length) / static_cast<double>(length);
}

double ExactWorld::total_correlation(std::int64_t length) const {
  // The marginals' entropies add up over rows as over one long vector.
  return entropy_of(marginals(length)) - entropy(length);
}

std::vector<std::int64_t> ExactWorld::draw(std::uint64_t seed, std::uint64_t example,
                                           std::int64_t length) const {
  check_length(length);
  const RandomStream stream(seed, Purpose::kCorpusDraw, example);
  std::vector<double> law(static_cast<std::size_t>(vocab_size()));
  std::vector<std::int64_t> ids;
  ids.reserve(static_cast<std::size_t>(length));
  while (std::ssize(ids) < length) {
    next_law_into(ids, law);
    ids.push_back(draw_token(law, stream.uniform(ids.size(), 0)));
  }
  return ids;
}

std::vector<std::vector<double>> ExactWorld::token_nll(
    std::span<const ScoringWindow> windows) const {
  PassCounts pass;
  std::vector<std::vector<double>> result;
  for (std::size_t w = 0; w < windows.size(); ++w) {
    check_window(windows[w]);
    result.push_back(window_nll(windows[w], w));
    pass.positions += std::ssize(windows[w].ids);
    pass.head_rows += std::ssize(result.back());
  }
  pass.passes = 1;
  counts_ += pass;
  return result;
}

void ExactWorld::check_window(const ScoringWindow& window) const {
  const std::int64_t n = std::ssize(window.ids);
  if (n == 0)
    throw ConfigError("window", "", "at least one token");
  if (window.first_scored < 0 || window.first_scored > n)
    throw ConfigError("first_scored", fmt::to_string(window.first_scored),
                      fmt::format("in [0, {}]", n));
  check_ids("window", window.ids, 0);
}

std::vector<double> ExactWorld::window_nll(const ScoringWindow& window, std::size_t index) const {
  const std::span<const std::int64_t> ids = window.ids;
  std::vector<double> nll;
  std::vector<double> law(static_cast<std::size_t>(vocab_size()));
  for (auto i = static_cast<std::size_t>(window.first_scored); i < ids.size(); ++i) {
    next_law_into(ids.first(i), law);
    nll.push_back(-std::log(law[static_cast<std::size_t>(ids[i])]));
    if (!std::isfinite(nll.back()))
      throw InternalError(fmt::format("{}: window {}, position {}: token {} has probability 0",
                                      spec_, index, i, ids[i]));
  }
  return nll;
}

void ExactWorld::write_next_logits(std::span<const std::int64_t> prefix, float* out) const {
  if (info_.max_length > 0 && std::ssize(prefix) == info_.max_length)
    return;
  std::vector<double> law(static_cast<std::size_t>(vocab_size()));
  next_law_into(prefix, law);
  for (double p : law) *out++ = static_cast<float>(std::log(p));
}

at::Tensor ExactWorld::logits(const at::Tensor& ids, std::span<const std::int64_t> lengths) const {
  const Batch batch(ids, lengths, 1);
  const at::Tensor result = at::zeros({ids.size(0), ids.size(1), vocab_size()}, at::kFloat);
  PassCounts pass;
  pass.passes = 1;
  for (std::size_t b = 0; b < lengths.size(); ++b) {
    const auto row = batch.row(b);
    check_ids("ids", row, 0);
    float* out = result.mutable_data_ptr<float>() +
                 static_cast<std::int64_t>(b) * ids.size(1) * vocab_size();
    for (std::size_t i = 1; i <= row.size(); ++i, out += vocab_size())
      write_next_logits(row.first(i), out);
    pass.positions += std::ssize(row);
  }
  pass.head_rows = pass.positions;
  counts_ += pass;
  return result;
}

at::Tensor ExactWorld::hidden_states(const at::Tensor& ids,
                                     std::span<const std::int64_t> lengths) const {
  (void)ids;
  (void)lengths;
  throw ConfigError("hidden_states", info_.family, "a network; an exact world has none");
}

std::unique_ptr<KvCache> ExactWorld::new_cache(std::int64_t batch, std::int64_t capacity) const {
  if (batch < 1)
    throw ConfigError("cache batch", fmt::to_string(batch), "an integer >= 1");
  if (capacity < 1 || (info_.max_length > 0 && capacity > info_.max_length))
    throw ConfigError(
        "cache capacity", fmt::to_string(capacity),
        fmt::format("at least 1, at most max_length = {} (0 = no limit)", info_.max_length));
  return std::make_unique<IdCache>(batch, capacity);
}

at::Tensor ExactWorld::next_logits(const at::Tensor& ids, std::span<const std::int64_t> lengths,
                                   KvCache& cache) const {
  const Batch batch(ids, lengths, 0);
  auto* seen = dynamic_cast<IdCache*>(&cache);
  DLM_CHECK(seen != nullptr && seen->batch() == ids.size(0), "a cache of {} rows for {}",
            cache.batch(), ids.size(0));
  const at::Tensor result = at::zeros({ids.size(0), vocab_size()}, at::kFloat);
  PassCounts pass;
  pass.passes = 1;
  for (std::size_t b = 0; b < lengths.size(); ++b) {
    const auto appended = batch.row(b);
    std::vector<std::int64_t>& row = seen->row(b);
    if (appended.empty() && !row.empty())
      continue;
    if (std::ssize(row) + lengths[b] > cache.capacity())
      throw ConfigError("cache capacity", fmt::to_string(cache.capacity()),
                        fmt::format("at least {}", std::ssize(row) + lengths[b]));
    check_ids("ids", appended, 0);
    pass.cached_positions += std::ssize(row);
    pass.positions += lengths[b];
    ++pass.head_rows;
    row.insert(row.end(), appended.begin(), appended.end());
    write_next_logits(
        row, result.mutable_data_ptr<float>() + static_cast<std::int64_t>(b) * vocab_size());
  }
  counts_ += pass;
  return result;
}

PassCounts ExactWorld::counts() const {
  return counts_;
}

}  // namespace dlm
