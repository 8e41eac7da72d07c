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

}  // namespace dlm
