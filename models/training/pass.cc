#include "models/training/pass.h"

#include <algorithm>
#include <utility>

#include <ATen/ops/empty.h>

namespace dlm {
namespace {

constexpr std::int64_t kRunRows = 64;

at::Tensor tensor_of(const std::vector<std::int64_t>& values) {
  at::Tensor out = at::empty({std::ssize(values)}, at::kLong);
  std::copy(values.begin(), values.end(), out.mutable_data_ptr<std::int64_t>());
  return out;
}

// Adds a row to a set; rows of one sequence and stream come together.
void add_row(RowSet& set, const SeenKeys& seen, std::int64_t sequence, Stream stream) {
  const std::int64_t row = set.rows();
  set.seen.push_back(seen);
  if (set.spans.empty() || set.spans.back().sequence != sequence ||
      set.spans.back().stream != stream)
    set.spans.push_back({row, row, sequence, stream});
  set.spans.back().end = row + 1;
}

void cut_runs(RowSet& set) {
  for (const RowSpan& span : set.spans) {
    for (std::int64_t begin = span.begin; begin < span.end; begin += kRunRows)
      set.runs.push_back({begin, std::min(span.end, begin + kRunRows), span.sequence});
  }
}

class PassBuilder {
 public:
  PassBuilder(const at::Tensor& ids, std::int64_t block_size)
      : ids_(ids.const_data_ptr<std::int64_t>()),
        rows_(ids.size(0)),
        length_(ids.size(1)),
        block_size_(block_size) {
    pass_.keys.resize(static_cast<std::size_t>(rows_));
  }

  std::int64_t token(std::int64_t row, std::int64_t position) const {
    return ids_[row * length_ + position];
  }

  // One noisy block; blocks come sequence by sequence, before all clean rows.
  void add_noisy(const BlockNoise& noise, const DenoisingForm& form, std::vector<LossRow>& loss) {
    SequenceKeys& keys = pass_.keys[static_cast<std::size_t>(noise.row)];
    if (keys.noisy_rows == 0)
      keys.noisy_begin = pass_.noisy_rows;
    const std::int64_t first = noise.block * block_size_;
    SeenKeys seen;
    seen.visible = static_cast<std::int32_t>(form.clean_context ? first : 0);
    seen.own_begin = static_cast<std::int32_t>(keys.noisy_rows);
    seen.own_end = static_cast<std::int32_t>(keys.noisy_rows + block_size_);
    auto masked = noise.masked.begin();
    for (std::int64_t i = 0; i < block_size_; ++i) {
      seen.position = static_cast<std::int32_t>(first + i);
      const std::int64_t target = token(noise.row, first + i);
      const bool is_masked = masked != noise.masked.end() && *masked == i;
      if (is_masked) {
        ++masked;
        last_.push_back(pass_.noisy_rows + i);
        add_row(pass_.last, seen, noise.row, Stream::kNoisy);
        loss.push_back({target, noise.row, first + i, noise.t, noise.weight, noise.bound_weight});
      }
      row_ids_.push_back(is_masked ? form.mask_id : target);
      pass_.noisy_positions.push_back(seen.position);
      add_row(pass_.all, seen, noise.row, Stream::kNoisy);
    }
    keys.noisy_rows += block_size_;
    pass_.noisy_rows += block_size_;
  }

  // The first `count` clean rows of every sequence.
  void add_clean(std::int64_t count) {
    for (std::int64_t row = 0; row < rows_; ++row) {
      set_clean_keys(row, count);
      for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t visible = std::min(count, (i / block_size_ + 1) * block_size_);
        add_row(pass_.all, {static_cast<std::int32_t>(visible), 0, 0, static_cast<std::int32_t>(i)},
                row, Stream::kClean);
        row_ids_.push_back(token(row, i));
      }
    }
    pass_.clean_rows = rows_ * count;
  }

  // Clean keys that another pass has.
  void set_clean_keys(std::int64_t row, std::int64_t count) {
    SequenceKeys& keys = pass_.keys[static_cast<std::size_t>(row)];
    keys.clean_begin = row * count;
    keys.clean_rows = count;
  }

  Pass take() {
    pass_.ids = tensor_of(row_ids_);
    pass_.last.index = tensor_of(last_);
    cut_runs(pass_.all);
    cut_runs(pass_.last);
    return std::move(pass_);
  }

 private:
  const std::int64_t* ids_;
  std::int64_t rows_, length_, block_size_;
  std::vector<std::int64_t> row_ids_, last_;
  Pass pass_;
};

}  // namespace

BatchPlan autoregressive_plan(const at::Tensor& ids) {
  PassBuilder builder(ids, 1);
  const std::int64_t count = ids.size(1) - 1;
  builder.add_clean(count);
  BatchPlan plan;
  plan.passes.push_back(builder.take());
  plan.passes.front().last = plan.passes.front().all;
  for (std::int64_t row = 0; row < ids.size(0); ++row) {
    for (std::int64_t i = 0; i < count; ++i)
      plan.loss_rows.push_back({builder.token(row, i + 1), row, i + 1, 1, 1, 1});
  }
  return plan;
}

BatchPlan denoising_plan(const at::Tensor& ids, const std::vector<BlockNoise>& noise,
                         const DenoisingForm& form) {
  BatchPlan plan;
  const std::int64_t clean = form.clean_context ? ids.size(1) - form.block_size : 0;
  const bool apart = form.form == PassForm::kTwoPass && clean > 0;
  if (apart) {
    PassBuilder builder(ids, form.block_size);
    builder.add_clean(clean);
    plan.passes.push_back(builder.take());
  }
  PassBuilder builder(ids, form.block_size);
  for (const BlockNoise& block : noise) {
    if (!block.masked.empty())
      builder.add_noisy(block, form, plan.loss_rows);
  }
  if (clean > 0 && !apart)
    builder.add_clean(clean);
  for (std::int64_t row = 0; apart && row < ids.size(0); ++row) builder.set_clean_keys(row, clean);
  plan.passes.push_back(builder.take());
  return plan;
}

}  // namespace dlm
