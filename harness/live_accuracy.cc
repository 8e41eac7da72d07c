#include "harness/live_accuracy.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "harness/base/error.h"
#include "harness/base/random.h"

namespace dlm {
namespace {

constexpr std::int64_t kFirstLook = 50;
constexpr std::int64_t kLookEvery = 10;
constexpr std::uint64_t kVisitingReplicate = 1;  // 0 draws the documents' own text

}  // namespace

LiveAccuracy::LiveAccuracy(double target, std::int64_t samples)
    : target_(target), samples_(samples) {
  DLM_CHECK(samples >= 1, "{} samples", samples);
}

void LiveAccuracy::add(const ExampleRow& row) {
  ++open_;
  open_right_ += row.score.value_or(0) == 1 ? 1 : 0;
  if (open_ < samples_)
    return;
  ++documents_;
  right_ += open_right_;
  ratio_.add(static_cast<double>(open_right_), static_cast<double>(samples_));
  open_ = open_right_ = 0;
  if (target_ > 0 && documents_ >= kFirstLook && documents_ % kLookEvery == 0) {
    const Interval now = interval();
    is_met_ = is_met_ || (now.high - now.low) / 2 <= target_;
  }
}

double LiveAccuracy::value() const {
  if (documents_ == 0)
    throw ConfigError("limit", "0", "at least one document, to have an accuracy of");
  return static_cast<double>(right_) / static_cast<double>(documents_ * samples_);
}

Interval LiveAccuracy::interval() const {
  const double share = value();
  const auto half = ratio_.half_width();
  if (samples_ > 1 && half && *half > 0)
    return {std::max(0.0, share - *half), std::min(1.0, share + *half)};
  // Samples of a document that all agree are one answer.
  return wilson_interval(right_ / samples_, documents_);
}

std::string LiveAccuracy::note() const {
  if (documents_ == 0)
    return "no answer yet";
  const Interval now = interval();
  return fmt::format("accuracy {:.3f} [{:.3f}, {:.3f}] of {}", value(), now.low, now.high,
                     documents_);
}

std::vector<std::int64_t> visiting_order(std::uint64_t seed, std::int64_t count) {
  std::vector<double> keys;
  for (std::int64_t i = 0; i < count; ++i)
    keys.push_back(
        RandomStream(seed, Purpose::kCorpusDraw, static_cast<std::uint64_t>(i), kVisitingReplicate)
            .uniform(0, 0));
  std::vector<std::int64_t> order(keys.size());
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    const double first = keys[static_cast<std::size_t>(a)];
    const double second = keys[static_cast<std::size_t>(b)];
    return first != second ? first < second : a < b;
  });
  return order;
}

}  // namespace dlm
