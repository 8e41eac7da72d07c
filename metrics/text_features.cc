#include "metrics/text_features.h"

#include <algorithm>
#include <numeric>

#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/zeros.h>

#include "harness/base/error.h"
#include "models/transformer/inference_scope.h"

namespace dlm {
namespace {

using Texts = std::span<const std::vector<std::int64_t>>;

// Right-padded ids of some texts.
at::Tensor padded(Texts texts, std::span<const std::size_t> chosen) {
  std::size_t longest = 0;
  for (const std::size_t text : chosen) longest = std::max(longest, texts[text].size());
  at::Tensor ids = at::zeros({std::ssize(chosen), static_cast<std::int64_t>(longest)}, at::kLong);
  for (std::size_t row = 0; row < chosen.size(); ++row) {
    std::copy(texts[chosen[row]].begin(), texts[chosen[row]].end(),
              ids.mutable_data_ptr<std::int64_t>() + row * longest);
  }
  return ids;
}

void check_row(const at::Tensor& row, std::size_t text) {
  if (!at::isfinite(row).all().item().toBool()) {
    throw DataError(fmt::format("text {}", text), -1, "finite hidden states", "NaN or infinity");
  }
}

constexpr std::int64_t kMostFeatures = 65536;

void check_ids(Texts texts, std::int64_t vocab_size) {
  for (std::size_t i = 0; i < texts.size(); ++i) {
    for (const std::int64_t id : texts[i]) {
      if (id < 0 || id >= vocab_size)
        throw ConfigError(fmt::format("text {}", i), fmt::to_string(id),
                          fmt::format("ids in [0, {})", vocab_size));
    }
  }
}

}  // namespace

at::Tensor last_token_features(const AutoregressiveModel& model, Texts texts,
                               std::int64_t batch_size) {
  if (batch_size < 1)
    throw ConfigError("batch-size", fmt::format("{}", batch_size), "must be at least 1");
  std::vector<std::size_t> order(texts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (const std::size_t text : order) {
    if (texts[text].empty())
      throw ConfigError("text", fmt::format("{}", text), "has no token");
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return texts[a].size() > texts[b].size(); });
  const InferenceScope scope;
  at::Tensor features = at::empty({std::ssize(texts), model.info().hidden_size}, at::kFloat);
  const auto size = static_cast<std::size_t>(batch_size);
  for (std::size_t first = 0; first < order.size(); first += size) {
    const auto batch = std::span(order).subspan(first, std::min(size, order.size() - first));
    std::vector<std::int64_t> lengths;
    for (const std::size_t text : batch) lengths.push_back(std::ssize(texts[text]));
    const at::Tensor hidden = model.hidden_states(padded(texts, batch), lengths);
    for (std::size_t row = 0; row < batch.size(); ++row) {
      const at::Tensor last =
          hidden.select(0, static_cast<std::int64_t>(row)).select(0, lengths[row] - 1);
      features.select(0, static_cast<std::int64_t>(batch[row])).copy_(last);
      check_row(features.select(0, static_cast<std::int64_t>(batch[row])), batch[row]);
    }
  }
  return features;
}

at::Tensor position_features(Texts texts, std::int64_t vocab_size) {
  check_ids(texts, vocab_size);
  const std::int64_t length = texts.empty() ? 0 : std::ssize(texts.front());
  if (length > kMostFeatures / vocab_size)
    throw ConfigError(
        "featurizer", "ids:positions",
        fmt::format("ids:pairs or a model: {} positions of {} tokens are more than {} "
                    "features",
                    length, vocab_size, kMostFeatures));
  at::Tensor features = at::zeros({std::ssize(texts), length * vocab_size}, at::kFloat);
  float* row = features.mutable_data_ptr<float>();
  for (const auto& text : texts) {
    if (std::ssize(text) != length)
      throw ConfigError(
          "featurizer", "ids:positions",
          fmt::format("ids:pairs or a model: texts have {} and {} tokens", length, text.size()));
    for (std::int64_t i = 0; i < length; ++i)
      row[i * vocab_size + text[static_cast<std::size_t>(i)]] = 1;
    row += length * vocab_size;
  }
  return features;
}

at::Tensor pair_features(Texts texts, std::int64_t vocab_size) {
  check_ids(texts, vocab_size);
  if (vocab_size * vocab_size > kMostFeatures)
    throw ConfigError("featurizer", "ids:pairs",
                      fmt::format("a model: {} tokens have too many pairs", vocab_size));
  at::Tensor features = at::zeros({std::ssize(texts), vocab_size * vocab_size}, at::kFloat);
  float* row = features.mutable_data_ptr<float>();
  for (const auto& text : texts) {
    for (std::size_t i = 0; i + 1 < text.size(); ++i)
      row[text[i] * vocab_size + text[i + 1]] += 1 / static_cast<float>(text.size() - 1);
    row += vocab_size * vocab_size;
  }
  return features;
}

}  // namespace dlm
