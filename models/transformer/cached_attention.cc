#include "models/transformer/cached_attention.h"

#include <algorithm>

#include <ATen/ops/empty.h>

#include <omp.h>

#include "harness/base/error.h"
#include "models/transformer/attention_kernel.h"
#include "models/transformer/row_kernels.h"

namespace dlm {
namespace {

// Entries [begin, end) that see keys of one row from one place on.
struct Reading {
  std::size_t begin = 0, end = 0;
  std::int64_t keys = 0;  // the most that any of them sees
};

std::vector<Reading> readings_of(std::span<const CachedQueries> queries, const CachedTensors& in) {
  std::vector<Reading> readings;
  for (std::size_t i = 0; i < queries.size(); ++i) {
    const CachedQueries& entry = queries[i];
    if (entry.visible.empty())
      continue;
    const auto [least, most] = std::minmax_element(entry.visible.begin(), entry.visible.end());
    DLM_CHECK(entry.row >= 0 && entry.row < in.keys.size(0) && *least >= 1 && entry.first >= 0 &&
                  entry.first + *most <= in.keys.size(2) && entry.offset >= 0 &&
                  entry.offset + std::ssize(entry.visible) <= in.q.size(0),
              "row {}: keys {} to {} of {}", entry.row, entry.first, entry.first + *most,
              in.keys.size(2));
    const bool joins = !readings.empty() && queries[readings.back().begin].row == entry.row &&
                       queries[readings.back().begin].first == entry.first;
    if (!joins)
      readings.push_back({i, i, 0});
    readings.back().end = i + 1;
    readings.back().keys = std::max<std::int64_t>(readings.back().keys, *most);
  }
  return readings;
}

struct HeadRun {
  std::int64_t begin = 0, end = 0;
};

// Heads of the readings in turn, in one run for each thread, of about as many keys: where each run
// ends.
std::vector<std::int64_t> shares_of(std::span<const Reading> readings, std::int64_t kv_heads) {
  std::int64_t keys = 0;
  for (const Reading& reading : readings) keys += reading.keys * kv_heads;
  const std::int64_t threads = omp_get_max_threads();
  std::vector<std::int64_t> ends;
  std::int64_t heads = 0, seen = 0;
  for (const Reading& reading : readings) {
    for (std::int64_t head = 0; head < kv_heads; ++head, ++heads) {
      while (seen * threads >= keys * (std::ssize(ends) + 1)) ends.push_back(heads);
      seen += reading.keys;
    }
  }
  ends.resize(static_cast<std::size_t>(threads), heads);
  return ends;
}

class CachedCall {
 public:
  CachedCall(const CachedTensors& in, const at::Tensor& q, double scale, const at::Tensor& out)
      : in_(in),
        heads_(q.size(1)),
        kv_heads_(in.keys.size(1)),
        dim_(q.size(2)),
        brain_(in.keys.scalar_type() == at::kBFloat16) {
    common_.q = {q.const_data_ptr<float>(), q.stride(0), q.stride(1)};
    common_.head_dim = dim_;
    common_.scale = static_cast<float>(scale);
    common_.out = out.mutable_data_ptr<float>();
    common_.out_stride = out.stride(0);
  }

  // Floats that attend() needs.
  std::int64_t scratch_size(const Reading& reading) const {
    const PackedSize size = packed_size(reading.keys, dim_);
    return size.keys + size.values + strip_scratch(dim_);
  }

  // Heads `run` of the readings, in turn.
  void attend_run(std::span<const CachedQueries> queries, std::span<const Reading> readings,
                  const HeadRun& run, float* scratch) const {
    const auto reading = [&](std::int64_t i) -> const Reading& {
      return readings[static_cast<std::size_t>(i / kv_heads_)];
    };
    for (std::int64_t i = run.begin; i < run.end; ++i) {
      AheadKeys next;
      if (i + 1 < run.end)
        next = ahead(queries, reading(i + 1), (i + 1) % kv_heads_);
      attend(queries, reading(i), {i % kv_heads_, next}, scratch);
    }
  }

  std::int64_t kv_heads() const { return kv_heads_; }

 private:
  struct HeadTask {
    std::int64_t kv_head = 0;
    AheadKeys next;  // what this thread reads afterwards
  };

  // What a reading's head reads first.
  AheadKeys ahead(std::span<const CachedQueries> queries, const Reading& reading,
                  std::int64_t kv_head) const {
    return {place(in_.keys, queries[reading.begin], kv_head), reading.keys,
            in_.keys.element_size()};
  }

  void attend(std::span<const CachedQueries> queries, const Reading& reading,
              const HeadTask& head_task, float* scratch) const {
    const PackedSize size = packed_size(reading.keys, dim_);
    const CachedQueries& head = queries[reading.begin];
    StripTask task = common_;
    task.kv_head = head_task.kv_head;
    task.shared =
        pack_cached({place(in_.keys, head, head_task.kv_head),
                     place(in_.values, head, head_task.kv_head), reading.keys, dim_, brain_},
                    scratch);
    task.scratch = scratch + size.keys + size.values;
    task.ahead = head_task.next;
    for (std::size_t i = reading.begin; i < reading.end; ++i) {
      const CachedQueries& entry = queries[i];
      const auto count = std::ssize(entry.visible);
      for (std::int64_t row = 0; row < count; row += kStripRows) {
        task.row = entry.offset + row;
        task.rows = std::min(kStripRows, count - row);
        task.visible = entry.visible.data() + row;
        for (std::int64_t group = 0; group < heads_ / kv_heads_; ++group) {
          task.head = head_task.kv_head * (heads_ / kv_heads_) + group;
          attend_strip(task);
          task.ahead = {};
        }
      }
    }
  }

  const void* place(const at::Tensor& cache, const CachedQueries& entry,
                    std::int64_t kv_head) const {
    const std::int64_t at =
        ((entry.row * kv_heads_ + kv_head) * cache.size(2) + entry.first) * dim_;
    return static_cast<const char*>(cache.const_data_ptr()) + at * cache.element_size();
  }

  const CachedTensors& in_;
  std::int64_t heads_, kv_heads_, dim_;
  bool brain_;
  StripTask common_;
};

}  // namespace

bool cached_attention_works(at::Device device, at::ScalarType dtype) {
  return device.is_cpu() && (dtype == at::kFloat || dtype == at::kBFloat16) &&
         vector_kernels_work();
}

at::Tensor attend_cached(const CachedTensors& in, std::span<const CachedQueries> queries,
                         double scale) {
  DLM_CHECK(in.keys.is_contiguous() && in.values.is_contiguous() &&
                in.keys.sizes() == in.values.sizes() && in.q.size(2) == in.keys.size(3) &&
                in.q.size(1) % in.keys.size(1) == 0,
            "{} heads over a cache of {} elements", in.q.size(1), in.keys.numel());
  const std::vector<Reading> readings = readings_of(queries, in);
  const at::Tensor q = in.q.to(at::kFloat);
  const at::Tensor out = at::empty({q.size(0), q.size(1) * q.size(2)}, q.options());
  const CachedCall call(in, q, scale, out);
  std::int64_t floats = 0;
  for (const Reading& reading : readings) floats = std::max(floats, call.scratch_size(reading));
  const at::Tensor scratch = at::empty({omp_get_max_threads() * floats}, q.options());
  auto* const memory = scratch.mutable_data_ptr<float>();
  const std::vector<std::int64_t> ends = shares_of(readings, call.kv_heads());
#pragma omp parallel for schedule(static, 1)
  for (std::size_t run = 0; run < ends.size(); ++run) {
    const std::int64_t begin = run == 0 ? 0 : ends[run - 1];
    call.attend_run(queries, readings, {begin, ends[run]}, memory + omp_get_thread_num() * floats);
  }
  return out.to(in.q.scalar_type());
}

}  // namespace dlm
