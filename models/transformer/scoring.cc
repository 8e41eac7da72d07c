#include "models/transformer/scoring.h"

#include <algorithm>
#include <cmath>
#include <string>

#include <ATen/ops/zeros.h>

#include "harness/base/error.h"

namespace dlm {
namespace {

// Logits of one chunk stay inside a core's share of the last-level cache and below the size from
// which malloc returns memory to the system after every use.
constexpr std::int64_t kLogitsBytes = std::int64_t{24} << 20;
constexpr std::int64_t kFewestRows = 16;
constexpr std::int64_t kMostRows = 1024;

void append_nll(const at::Tensor& logits, const at::Tensor& targets, std::vector<double>& out) {
  const at::Tensor target = logits.gather(1, targets.unsqueeze(1)).cpu();
  const at::Tensor top = logits.amax(1, true);
  const at::Tensor sum = logits.sub_(top).exp_().sum(1).cpu();
  const at::Tensor top_host = top.cpu();
  const float* targets_at = target.const_data_ptr<float>();
  const float* tops_at = top_host.const_data_ptr<float>();
  const float* sums_at = sum.const_data_ptr<float>();
  for (std::int64_t row = 0; row < logits.size(0); ++row) {
    out.push_back(std::log(static_cast<double>(sums_at[row])) +
                  (static_cast<double>(tops_at[row]) - static_cast<double>(targets_at[row])));
  }
}

void check_window(const ScoringWindow& window, std::size_t index, const ModelInfo& info) {
  const auto size = static_cast<std::int64_t>(window.ids.size());
  const std::string name = fmt::format("window {}", index);
  if (size == 0)
    throw ConfigError(name, "no ids", "at least one");
  if (info.max_length > 0 && size > info.max_length) {
    throw ConfigError(name, fmt::format("{} ids", size),
                      fmt::format("at most {}, the model's length", info.max_length));
  }
  if (window.first_scored < 1 || window.first_scored > size) {
    throw ConfigError(fmt::format("{}: first_scored", name), std::to_string(window.first_scored),
                      fmt::format("1 to {}", size));
  }
  for (std::int64_t i = 0; i < size; ++i) {
    const std::int64_t id = window.ids[static_cast<std::size_t>(i)];
    if (id < 0 || id >= info.vocab_size) {
      throw ConfigError(fmt::format("{}: token id at position {}", name, i), std::to_string(id),
                        fmt::format("0 to {}", info.vocab_size - 1));
    }
  }
}

}  // namespace

std::vector<double> row_nll(const Decoder& decoder, const at::Tensor& hidden,
                            std::span<const std::int64_t> targets) {
  const std::int64_t rows = hidden.size(0);
  DLM_CHECK(static_cast<std::int64_t>(targets.size()) == rows, "{} targets for {} rows",
            targets.size(), rows);
  const std::int64_t row_bytes = decoder.shape.vocab_size * std::int64_t{sizeof(float)};
  const std::int64_t chunk = std::clamp(kLogitsBytes / row_bytes, kFewestRows, kMostRows);
  const at::Tensor wanted = index_tensor(targets, hidden.device());
  std::vector<double> nll;
  nll.reserve(targets.size());
  for (std::int64_t begin = 0; begin < rows; begin += chunk) {
    const std::int64_t count = std::min(chunk, rows - begin);
    append_nll(decoder_logits(decoder, hidden.narrow(0, begin, count)),
               wanted.narrow(0, begin, count), nll);
  }
  return nll;
}

WindowBatch batch_windows(std::span<const ScoringWindow> windows, const ModelInfo& info) {
  WindowBatch batch;
  std::int64_t longest = 0;
  for (std::size_t w = 0; w < windows.size(); ++w) {
    check_window(windows[w], w, info);
    const auto size = static_cast<std::int64_t>(windows[w].ids.size());
    batch.scored += size - windows[w].first_scored;
    // A window of which nothing is scored need not be read.
    batch.lengths.push_back(windows[w].first_scored < size ? size - 1 : 0);
    longest = std::max(longest, batch.lengths.back());
  }
  batch.ids = at::zeros({static_cast<std::int64_t>(windows.size()), longest}, at::kLong);
  auto* out = batch.ids.mutable_data_ptr<std::int64_t>();
  for (std::size_t w = 0; w < windows.size(); ++w) {
    std::copy_n(windows[w].ids.begin(), batch.lengths[w], out);
    out += longest;
  }
  return batch;
}

}  // namespace dlm
