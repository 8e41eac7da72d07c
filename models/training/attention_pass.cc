#include "models/training/attention_pass.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <omp.h>

#include "models/transformer/rotary.h"

namespace dlm {
namespace {

HeadValues values_of(const at::Tensor& x, std::int64_t row) {
  if (!x.defined())
    return {};
  return {static_cast<char*>(x.data_ptr()) + row * x.stride(0) * x.element_size(), x.stride(0)};
}

// The tasks of a pass's sequences, each with head 0.
class TaskList {
 public:
  TaskList(const AttentionPlace& place, const AttentionTensors& in, const AttentionResult& result)
      : place_(place), in_(in), result_(result), runs_(place.pass.keys.size()) {
    for (const RowSpan& span : place.queries.spans) {
      runs_[static_cast<std::size_t>(span.sequence)].push_back(
          {span.begin, span.end - span.begin,
           place.queries.seen.data() + static_cast<std::ptrdiff_t>(span.begin)});
    }
    for (const SequenceKeys& keys : place.pass.keys)
      most_keys_ = std::max(most_keys_, keys.noisy_rows + keys.clean_rows);
  }

  AttentionTask task(std::size_t sequence) const {
    const SequenceKeys& keys = place_.pass.keys[sequence];
    AttentionTask task;
    task.heads = place_.heads;
    task.head_dim = in_.q.size(1) / place_.heads;
    task.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(task.head_dim)));
    task.brain = in_.q.scalar_type() == at::kBFloat16;
    task.cos = place_.angles.cos.const_data_ptr<float>();
    task.sin = place_.angles.sin.const_data_ptr<float>();
    task.q = values_of(in_.q, 0);
    task.clean_k = values_of(in_.clean_k, keys.clean_begin);
    task.clean_v = values_of(in_.clean_v, keys.clean_begin);
    task.noisy_k = values_of(in_.noisy_k, keys.noisy_begin);
    task.noisy_v = values_of(in_.noisy_v, keys.noisy_begin);
    task.clean_rows = keys.clean_rows;
    task.noisy_rows = keys.noisy_rows;
    task.noisy_positions =
        place_.pass.noisy_positions.data() + static_cast<std::ptrdiff_t>(keys.noisy_begin);
    task.runs = runs_[sequence];
    task.out = values_of(result_.out, 0);
    task.lse = result_.lse.mutable_data_ptr<float>();
    return task;
  }

  // Calls compute(task) for each sequence and head.
  template <class Prepare, class Compute>
  void each(const Prepare& prepare, const Compute& compute) const {
    const std::int64_t sequences = std::ssize(runs_);
    const std::int64_t size = attention_scratch(most_keys_, in_.q.size(1) / place_.heads);
    const at::Tensor scratch = at::empty({omp_get_max_threads(), size}, at::kFloat);
    float* const memory = scratch.mutable_data_ptr<float>();
#pragma omp parallel for schedule(dynamic)
    for (std::int64_t i = 0; i < sequences * place_.heads; ++i) {
      const std::int64_t sequence = i / place_.heads;
      AttentionTask task = this->task(static_cast<std::size_t>(sequence));
      task.head = i % place_.heads;
      task.scratch = memory + omp_get_thread_num() * size;
      prepare(place_.pass.keys[static_cast<std::size_t>(sequence)], task);
      compute(task);
    }
  }

 private:
  const AttentionPlace& place_;
  const AttentionTensors& in_;
  const AttentionResult& result_;
  std::vector<std::vector<QueryRun>> runs_;  // of each sequence
  std::int64_t most_keys_ = 1;
};

}  // namespace

RotaryAngles rotary_angles(std::int64_t positions, std::int64_t head_dim, double theta) {
  const at::Tensor frequencies = rotary_frequencies({.head_dim = head_dim, .theta = theta});
  const std::int64_t half = head_dim / 2;
  RotaryAngles angles = {at::empty({positions, half}, at::kFloat),
                         at::empty({positions, half}, at::kFloat)};
  const float* rate = frequencies.const_data_ptr<float>();
  for (std::int64_t i = 0; i < positions * half; ++i) {
    const float angle = static_cast<float>(i / half) * rate[i % half];
    angles.cos.mutable_data_ptr<float>()[i] = std::cos(angle);
    angles.sin.mutable_data_ptr<float>()[i] = std::sin(angle);
  }
  return angles;
}

AttentionResult attention_forward(const AttentionPlace& place, const AttentionTensors& in) {
  const std::int64_t rows = place.queries.rows();
  AttentionResult result = {at::empty({rows, in.q.size(1)}, in.q.options()),
                            at::empty({rows, place.heads}, at::kFloat)};
  const TaskList tasks(place, in, result);
  tasks.each([](const SequenceKeys&, AttentionTask&) {}, attend_head);
  return result;
}

void attention_backward(const AttentionPlace& place, const AttentionTensors& in,
                        const AttentionResult& result, const AttentionGradients& gradients) {
  const AttentionTensors& d_in = gradients.d_in;
  const TaskList tasks(place, in, result);
  const auto prepare = [&](const SequenceKeys& keys, AttentionTask& task) {
    task.d_out = values_of(gradients.d_out, 0);
    task.d_q = values_of(d_in.q, 0);
    task.d_clean_k = values_of(d_in.clean_k, keys.clean_begin);
    task.d_clean_v = values_of(d_in.clean_v, keys.clean_begin);
    task.d_noisy_k = values_of(d_in.noisy_k, keys.noisy_begin);
    task.d_noisy_v = values_of(d_in.noisy_v, keys.noisy_begin);
    task.adds_clean = gradients.adds_clean;
  };
  tasks.each(prepare, attend_head_backward);
}

}  // namespace dlm
