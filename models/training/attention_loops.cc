#include "models/training/attention_loops.h"

#include <algorithm>
#include <cmath>

#include "models/training/clones.h"
#include "models/training/loop_scalars.h"
#include "models/training/small_product.h"

namespace dlm {
namespace {

constexpr std::int64_t kLanes = 16;
constexpr std::int64_t kStrip = 24;  // query rows at a time
constexpr float kLog2E = 1.44269504F;
constexpr float kLn2 = 0.693147181F;
constexpr float kHidden = -1e30F;

constexpr std::int64_t up_to_lanes(std::int64_t value) {
  return (value + kLanes - 1) / kLanes * kLanes;
}

// What a task's scratch holds. T keys, padded so that whole vectors may be read past the last;
// dp = head_dim to whole vectors.
struct Panels {
  std::int64_t keys = 0, dp = 0, padded = 0;
  float* k = nullptr;         // (T, dp), rotated
  float* v = nullptr;         // (T, dp)
  float* k_across = nullptr;  // (dp, padded)
  float* v_across = nullptr;  // (dp, padded); backward
  float* d_k = nullptr;       // (T, dp); backward
  float* d_v = nullptr;
  float* q = nullptr;         // (kStrip, dp), rotated, times scale * log2 e
  float* d_out = nullptr;     // (kStrip, dp)
  float* mixed = nullptr;     // (kStrip, dp): what the strip's rows gather, or d q
  float* scores = nullptr;    // (kStrip, 2 padded)
  float* d_scores = nullptr;  // the same; backward
};

Panels panels_of(const AttentionTask& task) {
  Panels p;
  p.keys = task.clean_rows + task.noisy_rows;
  p.dp = up_to_lanes(task.head_dim);
  p.padded = up_to_lanes(p.keys) + 2 * kLanes;
  float* next = task.scratch;
  const auto take = [&](std::int64_t count) {
    float* const taken = next;
    next += count;
    return taken;
  };
  for (float** panel : {&p.k, &p.v, &p.k_across, &p.v_across, &p.d_k, &p.d_v})
    *panel = take(p.padded * p.dp);
  for (float** strip : {&p.q, &p.d_out, &p.mixed}) *strip = take(kStrip * p.dp);
  for (float** strip : {&p.scores, &p.d_scores}) *strip = take(kStrip * 2 * p.padded);
  return p;
}

// How a head's row is read: rotated where there are angles, times a factor.
struct RowForm {
  const float* cos = nullptr;
  const float* sin = nullptr;
  float factor = 1;
};

DLM_INLINE RowForm rotated_form(const AttentionTask& task, std::int64_t position, float factor) {
  const std::int64_t first = position * (task.head_dim / 2);
  return {task.cos + first, task.sin + first, factor};
}

// One head's row, to whole vectors.
template <class T>
DLM_INLINE void load_row(const T* from, std::int64_t dim, const RowForm& form, float* to) {
  const std::int64_t half = dim / 2;
  const auto [cos, sin, factor] = form;
  if (sin == nullptr) {
#pragma omp simd
    for (std::int64_t i = 0; i < dim; ++i) to[i] = wide(from[i]) * factor;
  } else {
#pragma omp simd
    for (std::int64_t i = 0; i < half; ++i) {
      const float low = wide(from[i]) * factor;
      const float high = wide(from[half + i]) * factor;
      to[i] = low * cos[i] - high * sin[i];
      to[half + i] = high * cos[i] + low * sin[i];
    }
  }
  for (std::int64_t i = dim; i < up_to_lanes(dim); ++i) to[i] = 0;
}

// The gradient of what load_row read, from that of what it wrote.
template <bool kAdds, class T>
DLM_INLINE void store_row(const float* from, std::int64_t dim, const RowForm& form, T* to) {
  const std::int64_t half = dim / 2;
  const auto [cos, sin, factor] = form;
#pragma omp simd
  for (std::int64_t i = 0; i < half; ++i) {
    const float a = from[i] * factor;
    const float b = from[half + i] * factor;
    float low = a;
    float high = b;
    if (sin != nullptr) {
      low = a * cos[i] + b * sin[i];
      high = b * cos[i] - a * sin[i];
    }
    put(to[i], kAdds ? wide(to[i]) + low : low);
    put(to[half + i], kAdds ? wide(to[half + i]) + high : high);
  }
}

template <class T>
DLM_INLINE T* row_of(const HeadValues& values, std::int64_t row, const AttentionTask& task) {
  return static_cast<T*>(values.data) + row * values.stride + task.head * task.head_dim;
}

template <class T>
DLM_INLINE void load_keys(const AttentionTask& task, const Panels& p) {
  const std::int64_t dim = task.head_dim;
  for (std::int64_t key = 0; key < p.keys; ++key) {
    const bool clean = key < task.clean_rows;
    const std::int64_t row = clean ? key : key - task.clean_rows;
    const std::int64_t position = clean ? key : task.noisy_positions[row];
    load_row(row_of<T>(clean ? task.clean_k : task.noisy_k, row, task), dim,
             rotated_form(task, position, 1), p.k + key * p.dp);
    load_row(row_of<T>(clean ? task.clean_v : task.noisy_v, row, task), dim, {}, p.v + key * p.dp);
  }
}

// (T, dp) -> (dp, padded), zeros behind the keys; 16 keys at a time for whole cache lines.
DLM_INLINE void turn(const Panels& p, const float* from, float* to) {
  for (std::int64_t key = 0; key < p.padded; key += kLanes) {
    const std::int64_t count = std::clamp<std::int64_t>(p.keys - key, 0, kLanes);
    for (std::int64_t i = 0; i < p.dp; ++i) {
      float* line = to + i * p.padded + key;
      for (std::int64_t lane = 0; lane < count; ++lane) line[lane] = from[(key + lane) * p.dp + i];
      for (std::int64_t lane = count; lane < kLanes; ++lane) line[lane] = 0;
    }
  }
}

// The keys that any row of a strip sees, and where their scores lie: columns [0, prefix) are those
// of clean keys from 0, columns [prefix, width) those of keys `own` on.
struct Seen {
  std::int64_t visible = 0;  // clean keys
  std::int64_t own = 0, own_count = 0;
  std::int64_t prefix = 0;  // visible, to whole vectors
  std::int64_t width = 0;
};

Seen seen_by(const AttentionTask& task, const SeenKeys* rows, std::int64_t count) {
  Seen seen;
  std::int64_t first = task.noisy_rows;
  std::int64_t last = 0;
  for (std::int64_t r = 0; r < count; ++r) {
    seen.visible = std::max<std::int64_t>(seen.visible, rows[r].visible);
    if (rows[r].own_begin < rows[r].own_end) {
      first = std::min<std::int64_t>(first, rows[r].own_begin);
      last = std::max<std::int64_t>(last, rows[r].own_end);
    }
  }
  seen.own_count = std::max<std::int64_t>(0, last - first);
  seen.own = task.clean_rows + first;
  seen.prefix = up_to_lanes(seen.visible);
  seen.width = seen.prefix + up_to_lanes(seen.own_count);
  return seen;
}

// Query rows [first, first + rows) of the query tensors, at most kStrip, and what they see.
struct Strip {
  const AttentionTask& task;
  const Panels& p;
  std::int64_t first = 0;
  std::int64_t rows = 0;
  const SeenKeys* seen = nullptr;  // of each row
  Seen columns;

  std::int64_t line() const { return 2 * p.padded; }  // of scores
};

// A strip's rows (kStrip, dp) times keys laid across: a product per part of what is seen.
void across_keys(const Strip& strip, const float* left, const float* across, float* scores) {
  const Panels& p = strip.p;
  const Seen& seen = strip.columns;
  if (seen.prefix > 0) {
    small_product({left, p.dp, 1, across, p.padded, scores, strip.line(), strip.rows, seen.prefix,
                   p.dp, false});
  }
  if (seen.own_count > 0) {
    small_product({left, p.dp, 1, across + seen.own, p.padded, scores + seen.prefix, strip.line(),
                   strip.rows, seen.width - seen.prefix, p.dp, false});
  }
}

// Scores (kStrip, keys seen) times the keys' rows -> out (kStrip, dp).
void along_keys(const Strip& strip, const float* scores, const float* keys, float* out) {
  const std::int64_t dp = strip.p.dp;
  const Seen& seen = strip.columns;
  if (seen.visible > 0) {
    small_product(
        {scores, strip.line(), 1, keys, dp, out, dp, strip.rows, dp, seen.visible, false});
  }
  if (seen.own_count > 0) {
    small_product({scores + seen.prefix, strip.line(), 1, keys + seen.own * dp, dp, out, dp,
                   strip.rows, dp, seen.own_count, seen.visible > 0});
  }
}

// Keys' rows += scores' transpose times the strip's rows.
void onto_keys(const Strip& strip, const float* scores, const float* right, float* keys) {
  const std::int64_t dp = strip.p.dp;
  const Seen& seen = strip.columns;
  if (seen.visible > 0) {
    small_product(
        {scores, 1, strip.line(), right, dp, keys, dp, seen.visible, dp, strip.rows, true});
  }
  if (seen.own_count > 0) {
    small_product({scores + seen.prefix, 1, strip.line(), right, dp, keys + seen.own * dp, dp,
                   seen.own_count, dp, strip.rows, true});
  }
}

// Where a row's keys lie among the strip's columns.
struct RowRange {
  std::int64_t begin, end, from, to;  // seen: [begin, end) of columns [from, to)
};

DLM_INLINE void ranges_of(const Strip& strip, const SeenKeys& row, RowRange (&ranges)[2]) {
  const Seen& seen = strip.columns;
  ranges[0] = {0, row.visible, 0, seen.prefix};
  const std::int64_t shift = seen.prefix + strip.task.clean_rows - seen.own;
  ranges[1] = {row.own_begin + shift, row.own_end + shift, seen.prefix, seen.width};
}

// Weights 2^(score - lse), 0 where the row does not see; returns their sum.
DLM_INLINE float soften(float* scores, const RowRange& range, float lse) {
  float sum = 0;
  for (std::int64_t i = range.from; i < range.begin; ++i) scores[i] = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = range.begin; i < range.end; ++i) {
    scores[i] = exp2_of(scores[i] - lse);
    sum += scores[i];
  }
  for (std::int64_t i = std::max(range.from, range.end); i < range.to; ++i) scores[i] = 0;
  return sum;
}

DLM_INLINE float largest(const float* scores, const RowRange& range, float top) {
#pragma omp simd reduction(max : top)
  for (std::int64_t i = range.begin; i < range.end; ++i) top = std::max(top, scores[i]);
  return top;
}

template <class T>
DLM_INLINE void load_queries(const Strip& strip) {
  const AttentionTask& task = strip.task;
  for (std::int64_t r = 0; r < strip.rows; ++r) {
    load_row(row_of<T>(task.q, strip.first + r, task), task.head_dim,
             rotated_form(task, strip.seen[r].position, task.scale * kLog2E),
             strip.p.q + r * strip.p.dp);
  }
}

template <class T>
DLM_INLINE void attend_strip(const Strip& strip) {
  const AttentionTask& task = strip.task;
  const Panels& p = strip.p;
  load_queries<T>(strip);
  across_keys(strip, p.q, p.k_across, p.scores);
  float total[kStrip];
  for (std::int64_t r = 0; r < strip.rows; ++r) {
    float* scores = p.scores + r * strip.line();
    RowRange ranges[2];
    ranges_of(strip, strip.seen[r], ranges);
    const float top = largest(scores, ranges[1], largest(scores, ranges[0], kHidden));
    total[r] = soften(scores, ranges[0], top) + soften(scores, ranges[1], top);
    task.lse[(strip.first + r) * task.heads + task.head] = top + std::log2(total[r]);
  }
  along_keys(strip, p.scores, p.v, p.mixed);
  for (std::int64_t r = 0; r < strip.rows; ++r) {
    T* to = row_of<T>(task.out, strip.first + r, task);
    const float inverse = 1 / total[r];
#pragma omp simd
    for (std::int64_t i = 0; i < task.head_dim; ++i) put(to[i], p.mixed[r * p.dp + i] * inverse);
  }
}

// d score = weight * (d weight - delta), delta = d out . out of the row.
template <class T>
DLM_INLINE void score_gradients(const Strip& strip) {
  const AttentionTask& task = strip.task;
  const Panels& p = strip.p;
  for (std::int64_t r = 0; r < strip.rows; ++r) {
    const std::int64_t row = strip.first + r;
    float* weights = p.scores + r * strip.line();
    float* gradients = p.d_scores + r * strip.line();
    RowRange ranges[2];
    ranges_of(strip, strip.seen[r], ranges);
    const float lse = task.lse[row * task.heads + task.head];
    soften(weights, ranges[0], lse);
    soften(weights, ranges[1], lse);
    const T* out = row_of<T>(task.out, row, task);
    const float* d_out = p.d_out + r * p.dp;
    float delta = 0;
#pragma omp simd reduction(+ : delta)
    for (std::int64_t i = 0; i < task.head_dim; ++i) delta += d_out[i] * wide(out[i]);
#pragma omp simd
    for (std::int64_t i = 0; i < strip.columns.width; ++i)
      gradients[i] = weights[i] * (gradients[i] - delta);
  }
}

template <class T>
DLM_INLINE void backward_strip(const Strip& strip) {
  const AttentionTask& task = strip.task;
  const Panels& p = strip.p;
  load_queries<T>(strip);
  for (std::int64_t r = 0; r < strip.rows; ++r) {
    load_row(row_of<T>(task.d_out, strip.first + r, task), task.head_dim, {}, p.d_out + r * p.dp);
  }
  across_keys(strip, p.q, p.k_across, p.scores);
  across_keys(strip, p.d_out, p.v_across, p.d_scores);
  score_gradients<T>(strip);
  onto_keys(strip, p.scores, p.d_out, p.d_v);
  onto_keys(strip, p.d_scores, p.q, p.d_k);
  along_keys(strip, p.d_scores, p.k, p.mixed);
  for (std::int64_t r = 0; r < strip.rows; ++r) {
    store_row<false>(p.mixed + r * p.dp, task.head_dim,
                     rotated_form(task, strip.seen[r].position, task.scale),
                     row_of<T>(task.d_q, strip.first + r, task));
  }
}

// Of the clean or of the noisy keys. The queries were read times scale * log2 e,
// and so were the keys' gradients.
template <class T, bool kClean, bool kAdds>
DLM_INLINE void store_key_gradients(const AttentionTask& task, const Panels& p) {
  const std::int64_t first = kClean ? 0 : task.clean_rows;
  for (std::int64_t row = 0; row < (kClean ? task.clean_rows : task.noisy_rows); ++row) {
    const std::int64_t position = kClean ? row : task.noisy_positions[row];
    const std::int64_t place = (first + row) * p.dp;
    store_row<kAdds>(p.d_k + place, task.head_dim, rotated_form(task, position, kLn2),
                     row_of<T>(kClean ? task.d_clean_k : task.d_noisy_k, row, task));
    store_row<kAdds>(p.d_v + place, task.head_dim, {},
                     row_of<T>(kClean ? task.d_clean_v : task.d_noisy_v, row, task));
  }
}

// Calls visit(strip) for the queries, kStrip at a time.
template <class Visit>
DLM_INLINE void each_strip(const AttentionTask& task, const Panels& p, const Visit& visit) {
  for (const QueryRun& run : task.runs) {
    for (std::int64_t first = 0; first < run.count; first += kStrip) {
      const std::int64_t rows = std::min(kStrip, run.count - first);
      const SeenKeys* seen = run.seen + first;
      const Strip strip = {task, p, run.first + first, rows, seen, seen_by(task, seen, rows)};
      visit(strip);
    }
  }
}

template <class T>
DLM_INLINE void attend_typed(const AttentionTask& task) {
  const Panels p = panels_of(task);
  load_keys<T>(task, p);
  turn(p, p.k, p.k_across);
  each_strip(task, p, [](const Strip& strip) [[gnu::always_inline]] { attend_strip<T>(strip); });
}

template <class T>
DLM_INLINE void backward_typed(const AttentionTask& task) {
  const Panels p = panels_of(task);
  load_keys<T>(task, p);
  turn(p, p.k, p.k_across);
  turn(p, p.v, p.v_across);
  std::fill_n(p.d_k, p.keys * p.dp, 0.0F);
  std::fill_n(p.d_v, p.keys * p.dp, 0.0F);
  each_strip(task, p, [](const Strip& strip) [[gnu::always_inline]] { backward_strip<T>(strip); });
  if (task.adds_clean)
    store_key_gradients<T, true, true>(task, p);
  else
    store_key_gradients<T, true, false>(task, p);
  store_key_gradients<T, false, false>(task, p);
}

}  // namespace

std::int64_t attention_scratch(std::int64_t keys, std::int64_t head_dim) {
  const std::int64_t padded = up_to_lanes(keys) + 2 * kLanes;
  const std::int64_t dp = up_to_lanes(head_dim);
  return 6 * padded * dp + 3 * kStrip * dp + 2 * kStrip * 2 * padded;
}

DLM_CLONED void attend_head(const AttentionTask& task) {
  task.brain ? attend_typed<Brain>(task) : attend_typed<float>(task);
}

DLM_CLONED void attend_head_backward(const AttentionTask& task) {
  task.brain ? backward_typed<Brain>(task) : backward_typed<float>(task);
}

}  // namespace dlm
