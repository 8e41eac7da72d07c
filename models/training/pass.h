// Which rows a training pass computes, and what each sees.
//
// A pass holds noisy rows, then clean rows. Of the noisy stream only blocks that hold a masked
// token are there: nobody sees the others, and they carry no loss. Of the clean stream there is no
// last block, which nobody sees either. Of the last layer only `last` rows go on after their keys.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "models/training/attention_loops.h"
#include "models/training/noise_draws.h"
#include "models/training/row_loops.h"

namespace dlm {

enum class Stream { kNoisy, kClean };

// Rows [begin, end) of a row set, of one sequence and stream.
struct RowSpan {
  std::int64_t begin = 0, end = 0;
  std::int64_t sequence = 0;
  Stream stream = Stream::kNoisy;
};

// Some of a pass's rows, as queries and as what goes through the rest of a layer.
struct RowSet {
  at::Tensor index;            // (M) int64 into the pass's rows; undefined: all of them
  std::vector<SeenKeys> seen;  // M
  std::vector<RowSpan> spans;  // in order, together all M rows
  std::vector<RowRun> runs;    // the spans in short pieces, group = sequence

  std::int64_t rows() const { return static_cast<std::int64_t>(seen.size()); }
};

// A sequence's keys: rows of the noisy rows, and of the clean rows, of the pass that holds them.
struct SequenceKeys {
  std::int64_t noisy_begin = 0, noisy_rows = 0;
  std::int64_t clean_begin = 0, clean_rows = 0;
};

struct Pass {
  std::int64_t noisy_rows = 0, clean_rows = 0;  // computed in it
  at::Tensor ids;                               // (N) int64
  RowSet all, last;
  std::vector<SequenceKeys> keys;  // clean ones may be of another pass
  std::vector<std::int32_t> noisy_positions;

  std::int64_t rows() const { return noisy_rows + clean_rows; }
};

// A row of `last` of the pass that carries the loss.
struct LossRow {
  std::int64_t target = 0;
  std::int64_t sequence = 0;
  std::int64_t position = 0;
  double t = 1;
  double weight = 1;
  double bound_weight = 1;
};

struct BatchPlan {
  std::vector<Pass> passes;  // one, or the clean one and then the noisy one
  std::vector<LossRow> loss_rows;
};

// Next-token prediction: the clean stream alone, causal, without the last token; every row carries
// loss. ids (B, L) int64, contiguous.
BatchPlan autoregressive_plan(const at::Tensor& ids);

struct DenoisingForm {
  std::int64_t block_size = 0;
  std::int64_t mask_id = 0;
  bool clean_context = true;  // false: no clean stream
  PassForm form = PassForm::kSinglePass;
};

BatchPlan denoising_plan(const at::Tensor& ids, const std::vector<BlockNoise>& noise,
                         const DenoisingForm& form);

}  // namespace dlm
