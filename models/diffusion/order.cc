#include "models/diffusion/order.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "harness/base/error.h"
#include "harness/base/text.h"

namespace dlm {
namespace {

std::vector<std::int64_t> bit_reversed(std::int64_t size) {
  std::int64_t bits = 0;
  while ((std::int64_t{1} << bits) < size) ++bits;
  std::vector<std::int64_t> order;
  for (std::int64_t i = 0; i < (std::int64_t{1} << bits); ++i) {
    std::int64_t reversed = 0;
    for (std::int64_t bit = 0; bit < bits; ++bit) reversed |= (i >> bit & 1) << (bits - 1 - bit);
    if (reversed < size)
      order.push_back(reversed);
  }
  return order;
}

std::vector<std::int64_t> listed_order(std::string_view text, std::int64_t block_size) {
  const auto refuse = [&] {
    return ConfigError("reveal_order", text,
                       fmt::format("left_to_right, right_to_left, spread, or each of 0 .. {} once, "
                                   "separated by commas",
                                   block_size - 1));
  };
  std::vector<std::int64_t> order;
  std::vector<bool> seen(static_cast<std::size_t>(block_size), false);
  for (const std::string& part : split(text, ',')) {
    const auto position = parse_int(part);
    if (!position || *position < 0 || *position >= block_size ||
        seen[static_cast<std::size_t>(*position)])
      throw refuse();
    seen[static_cast<std::size_t>(*position)] = true;
    order.push_back(*position);
  }
  if (std::ssize(order) != block_size)
    throw refuse();
  return order;
}

class OrderEstimator : public Estimator {
 public:
  explicit OrderEstimator(const EstimatorOptions& options) : options_(options) {}

  void plan(const SequenceShape& shape, const Sink& sink) const override {
    for (std::int64_t b = 0; b < shape.blocks(); ++b) {
      std::vector<std::int64_t> order = reveal_order(options_.reveal_order, shape.block_size);
      if (b == 0 && !shape.is_first_scored)
        std::erase(order, 0);
      plan_block(shape, b, order, sink);
    }
  }

  std::int64_t replicates() const override { return 0; }

  std::int64_t passes(std::int64_t n) const override {
    return (n + options_.reveal_per_step - 1) / options_.reveal_per_step;
  }

 private:
  void plan_block(const SequenceShape& shape, std::int64_t b,
                  const std::vector<std::int64_t>& order, const Sink& sink) const {
    for (auto next = order.begin(); next != order.end();) {
      const std::int64_t left = order.end() - next;
      const auto end = next + std::min(options_.reveal_per_step, left);
      WeightedQuery query;
      query.query = {shape.sequence, b, {next, order.end()}, 1};
      query.query.t =
          static_cast<double>(query.query.masked.size()) / static_cast<double>(order.size());
      std::sort(query.query.masked.begin(), query.query.masked.end());
      for (const std::int64_t position : query.query.masked)
        query.scored.push_back(std::find(next, end, position) != end ? 1 : 0);
      next = end;
      sink(std::move(query));
    }
  }

  EstimatorOptions options_;
};

}  // namespace

std::unique_ptr<Estimator> make_order_estimator(const EstimatorOptions& options, DenoiserLoss) {
  return std::make_unique<OrderEstimator>(options);
}

std::vector<std::int64_t> reveal_order(std::string_view name, std::int64_t block_size) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(block_size));
  std::iota(order.begin(), order.end(), 0);
  if (name == "left_to_right")
    return order;
  if (name == "right_to_left") {
    std::reverse(order.begin(), order.end());
    return order;
  }
  return name == "spread" ? bit_reversed(block_size) : listed_order(name, block_size);
}

}  // namespace dlm
