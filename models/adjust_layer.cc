#include "models/adjust_layer.h"

#include <algorithm>
#include <utility>

#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>

#include "harness/base/error.h"
#include "models/transformer/inference_scope.h"

namespace dlm {

const HiddenModel& hidden_model_of(const BlockDenoiser& model) {
  const HiddenModel* hidden = model.hidden_model();
  if (hidden == nullptr)
    throw ConfigError("adjust", fmt::format("with a {} model", model.info().family),
                      "a network that shows its hidden states: Dream, LLaDA, or a diffusion "
                      "transformer of masked or block diffusion");
  return *hidden;
}

AdjustLayer::AdjustLayer(AdjustNetwork network, const BlockDenoiser& base)
    : network_(std::move(network)), base_(base), hidden_(hidden_model_of(base)) {
  DLM_CHECK(network_.layer.shape.width == hidden_.network_shape().width,
            "a layer of width {} on a base of {}", network_.layer.shape.width,
            hidden_.network_shape().width);
}

void AdjustLayer::begin(BlockDecoder& decoder, std::span<const std::int64_t> rows) {
  const HiddenSource* source = decoder.hidden_source();
  DLM_CHECK(source != nullptr, "a decoder of {} rows without hidden states", decoder.rows());
  states_.resize(static_cast<std::size_t>(decoder.rows()));
  for (const std::int64_t row : rows) states_[static_cast<std::size_t>(row)] = source->hidden(row);
}

// The tokens of the positions that have states, row after row.
PackedRows AdjustLayer::pack(std::span<const RefreshRow> rows) const {
  std::vector<std::int64_t> lengths;
  std::int64_t longest = 0;
  for (const RefreshRow& row : rows) {
    const RowStates& of = states_[static_cast<std::size_t>(row.row)];
    lengths.push_back(of.states.size(0));
    longest = std::max(longest, lengths.back());
    DLM_CHECK(of.first >= 0 && of.first <= row.begin &&
                  of.first + lengths.back() <= std::ssize(row.ids) + row.masks_behind,
              "states of {} positions from {} on", lengths.back(), of.first);
  }
  at::Tensor ids = at::full({std::ssize(rows), longest}, base_.mask_id(), at::kLong);
  auto* out = ids.mutable_data_ptr<std::int64_t>();
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const std::int64_t first = states_[static_cast<std::size_t>(rows[r].row)].first;
    const std::int64_t known = std::min(std::ssize(rows[r].ids) - first, lengths[r]);
    std::copy_n(rows[r].ids.begin() + first, known, out + static_cast<std::int64_t>(r) * longest);
  }
  PackedRows packed = pack_rows(ids, lengths, {}, base_.info().vocab_size);
  see_both_ways(packed, {});
  return packed;
}

void AdjustLayer::refresh(std::span<RefreshRow> rows) {
  const InferenceScope scope;
  const PackedRows packed = pack(rows);
  std::vector<at::Tensor> states;
  for (const RefreshRow& row : rows)
    states.push_back(states_[static_cast<std::size_t>(row.row)].states);
  const at::Tensor next = adjust_pass(network_, hidden_, packed, at::cat(states, 0));
  hidden_.count_flops(adjust_flops(network_, packed));
  ++passes_;
  std::vector<std::int64_t> wanted;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const PackedRow& row = packed.rows[r];
    RowStates& of = states_[static_cast<std::size_t>(rows[r].row)];
    of.states = next.narrow(0, row.offset, row.length);
    for (const std::int64_t position : rows[r].wanted)
      wanted.push_back(row.offset + rows[r].begin + position - of.first);
  }
  const at::Tensor logits =
      hidden_.head_logits_of(next.index_select(0, index_tensor(wanted, next.device())))
          .cpu()
          .contiguous();
  const float* from = logits.const_data_ptr<float>();
  for (RefreshRow& row : rows) {
    for (std::span<float> to : row.logits) {
      std::copy_n(from, to.size(), to.begin());
      from += to.size();
    }
  }
}

std::unique_ptr<AdjustLayer> load_adjust_layer(const std::string& folder, const BlockDenoiser& base,
                                               const std::string& base_sha256) {
  return std::make_unique<AdjustLayer>(
      load_adjust_network(folder, hidden_model_of(base), base_sha256), base);
}

}  // namespace dlm
