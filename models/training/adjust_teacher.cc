#include "models/training/adjust_teacher.h"

#include <algorithm>
#include <utility>

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/zeros.h>

#include "harness/base/error.h"
#include "models/adjust_layer.h"
#include "models/hidden_states.h"
#include "models/training/layer.h"
#include "models/training/products.h"

namespace dlm {
namespace {

at::Tensor tensor_of(const std::vector<std::int64_t>& values) {
  at::Tensor out = at::empty({std::ssize(values)}, at::kLong);
  std::copy(values.begin(), values.end(), out.mutable_data_ptr<std::int64_t>());
  return out;
}

}  // namespace

AdjustBase adjust_base(const BlockDenoiser& base) {
  const HiddenModel& model = hidden_model_of(base);
  const DecoderShape& shape = model.network_shape();
  const Compute& compute = model.network_compute();
  const at::TensorOptions options = at::TensorOptions(compute.device).dtype(compute.dtype);
  const auto head = [&](const at::Tensor& states) {
    at::Tensor logits = model.head_logits_of(states).to(at::kCPU, at::kFloat).clone();
    logits.select(1, base.mask_id()).zero_();  // -inf, and no law's
    return logits;
  };
  AdjustBase out;
  out.mask_id = base.mask_id();
  out.embedding =
      model.embedded(at::arange(shape.vocab_size, at::kLong)).to(at::kCPU, at::kFloat).contiguous();
  out.head.bias = head(at::zeros({1, shape.width}, options)).squeeze(0);
  out.head.weight = head(at::eye(shape.width, options)).sub_(out.head.bias).t().contiguous();
  return out;
}

std::vector<std::int64_t> WindowText::hidden(std::int64_t reveals, std::int64_t block_size) const {
  std::vector<std::int64_t> out;
  const std::int64_t end = std::min(window.begin + block_size, std::ssize(text));
  for (std::int64_t i = window.begin; i < end; ++i) {
    if (rank[static_cast<std::size_t>(i)] >= window.start + reveals)
      out.push_back(i - window.begin);
  }
  return out;
}

AdjustTeacher::AdjustTeacher(const BlockDenoiser& base, std::int64_t length,
                             std::int64_t block_size, std::int64_t most)
    : base_(base), length_(length), block_size_(block_size) {
  hidden_model_of(base);  // refuses others
  DecoderOptions options;
  options.rows = most;
  options.block_size = block_size;
  options.longest = length;
  options.keeps_hidden = true;
  decoder_ = base.new_decoder(options);
}

void AdjustTeacher::read_states_from(StateSource& source, const AdjustBase& base) {
  source_ = &source;
  head_of_ = &base;
}

void AdjustTeacher::begin(std::span<const WindowText> windows) {
  DLM_CHECK(std::ssize(windows) <= decoder_->rows(), "{} windows of at most {}", windows.size(),
            decoder_->rows());
  for (std::int64_t row = 0; row < decoder_->rows(); ++row) decoder_->clear(row);
  windows_ = windows;
  sent_.assign(windows.size(), 0);
  states_ = at::Tensor();
  firsts_.clear();
}

// The text to its end, hidden tokens as masks.
std::vector<std::int64_t> AdjustTeacher::canvas(const WindowText& of, std::int64_t reveals) const {
  std::vector<std::int64_t> out = of.text;
  const std::int64_t known = of.window.start + std::min(reveals, of.window.passes);
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (of.rank[i] >= known)
      out[i] = base_.mask_id();
  }
  return out;
}

// Positions of the window's block that were hidden at its start; the others are the prompt's.
std::int64_t AdjustTeacher::hideable(const WindowText& of) const {
  const auto begin = of.rank.begin() + of.window.begin;
  return block_size_ - std::count(begin, begin + block_size_, std::int64_t{-1});
}

// One pass over the flagged windows, at the noise level that the sampler gives it; logits of their
// hidden positions.
std::span<float> AdjustTeacher::step(std::int64_t reveals, std::span<const char> flags) {
  parts_.assign(windows_.size(), {});
  std::vector<DecodeStep> steps;
  for (std::size_t w = 0; w < windows_.size(); ++w) {
    if (flags[w] == 0)
      continue;
    const WindowText& of = windows_[w];
    const std::vector<std::int64_t> text = canvas(of, reveals);
    const auto begin = text.begin() + of.window.begin;
    Part& part = parts_[w];
    part.block.assign(begin, begin + block_size_);
    part.wanted = of.hidden(reveals, block_size_);
    DecodeStep step;
    step.row = static_cast<std::int64_t>(w);
    if (sent_[w] == 0)
      step.completed = std::span(of.text).first(static_cast<std::size_t>(of.window.begin));
    sent_[w] = 1;
    step.block = part.block;
    step.wanted = part.wanted;
    step.t = static_cast<double>(part.wanted.size()) / static_cast<double>(hideable(of));
    if (base_.sees_whole_text()) {
      step.masks_behind = length_ - of.window.begin - block_size_;
      step.prompt = std::span(of.text).first(
          static_cast<std::size_t>(std::count(of.rank.begin(), of.rank.end(), std::int64_t{-1})));
    }
    steps.push_back(step);
  }
  return steps.empty() ? std::span<float>() : decoder_->step(steps);
}

// The same from states that are there: (M, V) f32, with the network's logits up to rounding.
at::Tensor AdjustTeacher::head_logits(std::int64_t reveals, std::span<const char> flags) {
  parts_.assign(windows_.size(), {});
  std::vector<at::Tensor> rows;
  for (std::size_t w = 0; w < windows_.size(); ++w) {
    if (flags[w] == 0)
      continue;
    const WindowText& of = windows_[w];
    const WindowStates found = source_->states(of, reveals);
    std::vector<std::int64_t> places = parts_[w].wanted = of.hidden(reveals, block_size_);
    for (std::int64_t& place : places) place += of.window.begin - found.first;
    rows.push_back(found.states.index_select(0, tensor_of(places)));
  }
  return rows.empty()
             ? at::empty({0, base_.info().vocab_size}, at::kFloat)
             : product(at::cat(rows, 0), head_of_->head.weight, head_of_->head.bias).contiguous();
}

at::Tensor AdjustTeacher::states() {
  if (source_ == nullptr)
    step(0, std::vector<char>(windows_.size(), 1));
  std::vector<at::Tensor> states;
  for (std::size_t w = 0; w < windows_.size(); ++w) {
    if (source_ != nullptr) {
      const WindowStates kept = source_->states(windows_[w], 0);
      states.push_back(kept.states);
      firsts_.push_back(kept.first);
    } else {
      const RowStates row = decoder_->hidden_source()->hidden(static_cast<std::int64_t>(w));
      states.push_back(row.states.to(at::kCPU, at::kFloat));
      firsts_.push_back(row.first);
    }
    DLM_CHECK(states.back().size(0) == states.front().size(0), "windows of {} and {} positions",
              states.front().size(0), states.back().size(0));
  }
  states_ = at::cat(states, 0);
  return states_;
}

AdjustTarget AdjustTeacher::target(std::int64_t reveals, std::span<const char> flags) {
  DLM_CHECK(states_.defined(), "laws of pass {} before the states", reveals);
  const std::int64_t positions = states_.size(0) / std::ssize(windows_);
  at::Tensor by_head;  // what `logits` looks at where it is defined
  std::span<float> logits;
  if (source_ != nullptr) {
    by_head = head_logits(reveals, flags);
    logits = {by_head.mutable_data_ptr<float>(), static_cast<std::size_t>(by_head.numel())};
  } else {
    logits = step(reveals, flags);
  }
  AdjustTarget out;
  std::vector<std::int64_t> ids, rows;
  for (std::size_t w = 0; w < windows_.size(); ++w) {
    const std::vector<std::int64_t> text = canvas(windows_[w], reveals);
    const auto first = text.begin() + firsts_[w];
    ids.insert(ids.end(), first, first + positions);
    const std::vector<std::int64_t>& wanted = parts_[w].wanted;
    for (const std::int64_t position : wanted) {
      rows.push_back(static_cast<std::int64_t>(w) * positions + windows_[w].window.begin +
                     position - firsts_[w]);
      out.weights.push_back(1 / static_cast<double>(wanted.size()));
    }
  }
  out.ids = tensor_of(ids);
  out.rows = tensor_of(rows);
  const std::int64_t count = std::ssize(rows);
  const std::int64_t size = base_.info().vocab_size;
  DLM_CHECK(std::ssize(logits) == count * size, "{} logits of {} rows", logits.size(), count);
  out.laws = at::empty({count, size}, at::kFloat);
  out.negative_entropy.resize(static_cast<std::size_t>(count));
  float* const laws = out.laws.mutable_data_ptr<float>();
  std::copy(logits.begin(), logits.end(), laws);
#pragma omp parallel for schedule(static)
  for (std::int64_t row = 0; row < count; ++row)
    out.negative_entropy[static_cast<std::size_t>(row)] =
        to_law({laws + row * size, size, base_.mask_id()});
  return out;
}

at::Tensor AdjustTeacher::first_logits(const AdjustTarget& of, const AdjustBase& base) const {
  return product(states_.index_select(0, of.rows), base.head.weight, base.head.bias);
}

}  // namespace dlm
