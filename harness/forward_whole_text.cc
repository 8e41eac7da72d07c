#include "harness/forward_whole_text.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros.h>

#include "harness/base/error.h"

namespace dlm {
namespace {

// Where each row begins: its padding is on the left.
std::vector<std::int64_t> first_tokens(const at::Tensor& mask, const std::string& path) {
  std::vector<std::int64_t> first;
  for (std::int64_t b = 0; b < mask.size(0); ++b) {
    const std::int64_t ones = mask[b].sum().item<std::int64_t>();
    const std::int64_t begin = mask.size(1) - ones;
    if (ones < 1 || begin < 0 || mask[b].narrow(0, begin, ones).min().item<std::int64_t>() != 1)
      throw DataError(path, -1, "'attention_mask' rows of zeros, then ones",
                      fmt::format("another pattern in row {}", b));
    first.push_back(begin);
  }
  return first;
}

NamedTensors outputs_of(const CanvasModel& model, const ForwardInputs& inputs) {
  const at::Tensor ids = inputs.ids("input_ids");
  const at::Tensor mask =
      inputs.has("attention_mask") ? inputs.ids_like("attention_mask", ids) : at::ones_like(ids);
  const CanvasForward out = model.forward(ids, first_tokens(mask, inputs.path()));
  NamedTensors tensors;
  tensors["logits"] = out.logits;
  tensors["last_hidden"] = out.last_hidden;
  if (model.traits().shift == LogitShift::kPrevious) {
    const std::int64_t length = ids.size(1);
    tensors["logits_shifted"] =
        at::cat({out.logits.narrow(1, 0, 1), out.logits.narrow(1, 0, length - 1)}, 1);
  }
  return tensors;
}

// A row as MaskedText: what is hidden in `seen` is wanted.
MaskedText masked_row(const at::Tensor& clean, const at::Tensor& seen, std::int64_t mask_id,
                      const std::string& path) {
  const auto* truth = clean.const_data_ptr<std::int64_t>();
  const auto* shown = seen.const_data_ptr<std::int64_t>();
  MaskedText text;
  text.ids.assign(shown, shown + seen.numel());
  for (std::int64_t i = 0; i < seen.numel(); ++i) {
    if (shown[i] != mask_id && shown[i] != truth[i])
      throw DataError(path, -1, "'xt' equal to 'x0' but for masks",
                      fmt::format("{} and {} at position {}", shown[i], truth[i], i));
    if (shown[i] == mask_id) {
      text.wanted.push_back(i);
      text.targets.push_back(truth[i]);
    }
  }
  return text;
}

NamedTensors terms_of(const CanvasModel& model, const ForwardInputs& inputs) {
  const at::Tensor x0 = inputs.ids("x0");
  const at::Tensor xt = inputs.ids_like("xt", x0);
  const std::vector<double> chance = inputs.per_sequence("p_mask", x0.size(0));
  const double guidance = inputs.has("guidance") ? inputs.per_sequence("guidance", 1).front() : 1;
  std::vector<std::int64_t> prompt;
  if (guidance != 1) {
    const at::Tensor ids = inputs.ids("prompt");
    prompt.assign(ids.const_data_ptr<std::int64_t>(),
                  ids.const_data_ptr<std::int64_t>() + ids.size(1));
  }
  std::vector<MaskedText> texts;
  for (std::int64_t b = 0; b < x0.size(0); ++b) {
    if (!(chance[static_cast<std::size_t>(b)] > 0))
      throw DataError(inputs.path(), -1, "'p_mask' above 0",
                      fmt::format("{}", chance[static_cast<std::size_t>(b)]));
    texts.push_back(masked_row(x0[b], xt[b], model.mask_id(), inputs.path()));
    texts.back().prompt = prompt;
  }
  at::Tensor terms = at::zeros({x0.size(0), x0.size(1)}, at::kDouble);
  for (std::int64_t b = 0; b < x0.size(0); ++b) {
    const MaskedText& text = texts[static_cast<std::size_t>(b)];
    if (text.wanted.empty())
      continue;
    const std::vector<double> values = model.terms({&text, 1}, guidance);
    auto* row = terms.mutable_data_ptr<double>() + b * x0.size(1);
    for (std::size_t j = 0; j < values.size(); ++j)
      row[text.wanted[j]] = values[j] / chance[static_cast<std::size_t>(b)];
  }
  NamedTensors tensors;
  tensors["loss"] = (terms.sum() / static_cast<double>(x0.size(0))).view({1}).to(at::kFloat);
  tensors["nelbo_terms"] = terms.to(at::kFloat);
  return tensors;
}

}  // namespace

NamedTensors forward_whole_text(const CanvasModel& model, const ForwardInputs& inputs) {
  return inputs.has("x0") ? terms_of(model, inputs) : outputs_of(model, inputs);
}

}  // namespace dlm
