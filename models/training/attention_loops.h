// Attention of one sequence and one head, forward and backward, by blocked products that stay in a
// core's cache. Torch-free; f32 inside.
//
// Each query row sees a prefix of the sequence's clean keys, and a run of its noisy ones: block
// diffusion's two streams. With no noisy keys it is causal attention, with no clean ones and runs
// of the whole length bidirectional. Keys are the clean rows, then the noisy ones.
#pragma once

#include <cstdint>
#include <vector>

namespace dlm {

struct SeenKeys {
  std::int32_t visible = 0;                 // of the clean keys, from the first on
  std::int32_t own_begin = 0, own_end = 0;  // of the noisy keys
  std::int32_t position = 0;                // the query's, for rotary
};

// Rows of T values, f32 or bf16; head h's values lie at h * head_dim of a row.
struct HeadValues {
  void* data = nullptr;
  std::int64_t stride = 0;  // of rows, in values
};

// Consecutive query rows, `first` on in the query tensors; `seen` holds `count`.
struct QueryRun {
  std::int64_t first = 0;
  std::int64_t count = 0;
  const SeenKeys* seen = nullptr;
};

struct AttentionTask {
  std::int64_t head = 0;
  std::int64_t heads = 0;
  std::int64_t head_dim = 0;  // even
  float scale = 1;
  bool brain = false;
  const float* cos = nullptr;  // (positions, head_dim / 2)
  const float* sin = nullptr;

  HeadValues q;
  HeadValues clean_k, clean_v, noisy_k, noisy_v;  // from the sequence's first row on
  std::int64_t clean_rows = 0, noisy_rows = 0;
  const std::int32_t* noisy_positions = nullptr;  // clean ones are 0, 1, ..

  std::vector<QueryRun> runs;

  HeadValues out;        // (M, heads * head_dim)
  float* lse = nullptr;  // (M, heads): log2 of the sum of e^score

  // Backward. d_q, d_*_k and d_*_v are written, not added to; those of clean keys, where
  // `adds_clean`, are added to what is there.
  HeadValues d_out, d_q;
  HeadValues d_clean_k, d_clean_v, d_noisy_k, d_noisy_v;
  bool adds_clean = false;

  float* scratch = nullptr;  // attention_scratch() floats, this thread's own
};

// Keys of the longest sequence.
std::int64_t attention_scratch(std::int64_t keys, std::int64_t head_dim);

// Every row must see at least one key.
void attend_head(const AttentionTask& task);
void attend_head_backward(const AttentionTask& task);

}  // namespace dlm
