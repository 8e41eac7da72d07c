#include "models/transformer/cached_attention.h"

#include <cmath>
#include <cstdint>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/zeros.h>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/random.h"
#include "models/transformer/head_store.h"

namespace dlm::testing {
namespace {

#define DLM_REQUIRE_LOOPS()                          \
  if (!cached_attention_works(at::kCPU, at::kFloat)) \
  GTEST_SKIP() << "this processor lacks the loops' instructions"

constexpr double kScale = 0.3;

at::Tensor normal(at::IntArrayRef sizes, std::uint64_t example) {
  const RandomStream stream(13, Purpose::kTest, example);
  at::Tensor out = at::empty(sizes);
  for (std::int64_t i = 0; i < out.numel(); ++i)
    out.mutable_data_ptr<float>()[i] =
        static_cast<float>(stream.normal(0, static_cast<std::uint64_t>(i)));
  return out;
}

struct Shape {
  std::int64_t heads = 2, kv_heads = 2, dim = 16, places = 40;
};

// Three rows, the last without queries.
CachedTensors tensors(const Shape& shape, std::int64_t queries, at::ScalarType dtype) {
  return {normal({queries, shape.heads, shape.dim}, 1).to(dtype),
          normal({3, shape.kv_heads, shape.places, shape.dim}, 2).to(dtype),
          normal({3, shape.kv_heads, shape.places, shape.dim}, 3).to(dtype)};
}

// One query's heads, by loops in double.
std::vector<double> expected(const CachedTensors& in, const CachedQueries& entry, std::size_t i) {
  const at::Tensor q = in.q.to(at::kDouble), k = in.keys.to(at::kDouble),
                   v = in.values.to(at::kDouble);
  const std::int64_t heads = q.size(1), dim = q.size(2), group = heads / k.size(1);
  std::vector<double> out(static_cast<std::size_t>(heads * dim), 0.0);
  for (std::int64_t head = 0; head < heads; ++head) {
    const double* query = q.const_data_ptr<double>() +
                          ((entry.offset + static_cast<std::int64_t>(i)) * heads + head) * dim;
    double total = 0;
    for (std::int64_t key = 0; key < entry.visible[i]; ++key) {
      const std::int64_t at =
          ((entry.row * k.size(1) + head / group) * k.size(2) + entry.first + key) * dim;
      double score = 0;
      for (std::int64_t d = 0; d < dim; ++d) score += query[d] * k.const_data_ptr<double>()[at + d];
      const double weight = std::exp(score * kScale);
      total += weight;
      for (std::int64_t d = 0; d < dim; ++d)
        out[static_cast<std::size_t>(head * dim + d)] +=
            weight * v.const_data_ptr<double>()[at + d];
    }
    for (std::int64_t d = 0; d < dim; ++d) out[static_cast<std::size_t>(head * dim + d)] /= total;
  }
  return out;
}

// f32: 2e-5; bf16: what comes out is rounded to 8 bits.
void expect_right(const CachedTensors& in, const std::vector<CachedQueries>& queries) {
  const at::Tensor got = attend_cached(in, queries, kScale).to(at::kDouble);
  const double bound = in.q.scalar_type() == at::kFloat ? 2e-5 : 2e-2;
  for (const CachedQueries& entry : queries) {
    for (std::size_t i = 0; i < entry.visible.size(); ++i) {
      const std::vector<double> right = expected(in, entry, i);
      const double* row = got.const_data_ptr<double>() +
                          (entry.offset + static_cast<std::int64_t>(i)) * got.size(1);
      for (std::size_t d = 0; d < right.size(); ++d)
        ASSERT_NEAR(row[d], right[d], bound) << "row " << entry.row << " query " << i << " " << d;
    }
  }
}

TEST(CachedAttention, AgreesWithDoubleAtEveryEdgeOfTheLoops) {
  DLM_REQUIRE_LOOPS();
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const std::int64_t dim : {8, 16, 20, 64}) {
      for (const std::int32_t keys : {1, 15, 16, 17, 63, 64, 65, 513}) {
        const Shape shape{2, 2, dim, keys + 3};
        const CachedTensors in = tensors(shape, 6, dtype);
        expect_right(in, {{0, 0, 0, {1, keys}}, {0, 3, 2, {keys, keys, 1}}, {1, 1, 5, {keys}}});
      }
    }
  }
}

TEST(CachedAttention, GroupedHeadsAndMoreQueriesThanAStrip) {
  DLM_REQUIRE_LOOPS();
  const Shape shape{6, 2, 16, 120};
  const CachedTensors in = tensors(shape, 110, at::kFloat);
  CachedQueries causal{1, 2, 4, {}};
  for (std::int32_t i = 0; i < 100; ++i) causal.visible.push_back(i + 1);
  expect_right(in, {causal, {2, 0, 0, {}}, {0, 119, 104, {1}}});
}

TEST(CachedAttention, AQueryDependsOnNeitherOthersNorThreads) {
  DLM_REQUIRE_LOOPS();
  const CachedTensors in = tensors({4, 4, 64, 600}, 20, at::kFloat);
  const std::vector<CachedQueries> all = {{0, 5, 0, {520, 530, 540, 550}},
                                          {0, 5, 4, {550, 550, 550, 550}},
                                          {1, 0, 8, std::vector<std::int32_t>(12, 600)}};
  const int before = at::get_num_threads();
  at::set_num_threads(2);
  const at::Tensor together = attend_cached(in, all, kScale);
  at::set_num_threads(1);
  EXPECT_TRUE(at::equal(attend_cached(in, all, kScale), together));
  at::set_num_threads(before);
  for (const CachedQueries& entry : all) {
    for (std::size_t i = 0; i < entry.visible.size(); ++i) {
      const std::int64_t at = entry.offset + static_cast<std::int64_t>(i);
      const CachedQueries one{entry.row, entry.first, at, {entry.visible[i]}};
      const at::Tensor alone = attend_cached(in, {&one, 1}, kScale);
      EXPECT_TRUE(at::equal(alone.select(0, at), together.select(0, at))) << at;
    }
  }
}

TEST(CachedAttention, RefusesKeysBeyondTheCache) {
  DLM_REQUIRE_LOOPS();
  const CachedTensors in = tensors({}, 2, at::kFloat);
  for (const CachedQueries& bad : {CachedQueries{0, 1, 0, {40}}, CachedQueries{3, 0, 0, {1}},
                                   CachedQueries{0, 0, 0, {0}}, CachedQueries{0, 0, 1, {1, 1}}})
    EXPECT_THROW(attend_cached(in, {&bad, 1}, kScale), InternalError);
}

TEST(StoreHeads, PutsEachPositionAtItsPlaceAndTouchesNothingElse) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const at::Tensor both = at::arange(5 * 6 * 4, at::kFloat).view({5, 6, 4}).to(dtype);
    const at::Tensor from = both.narrow(1, 3, 3);  // as keys lie beside queries
    const at::Tensor cache = at::zeros({3, 3, 8, 4}, dtype);
    const std::vector<HeadPlaces> places = {{2, 1, 0, 2}, {0, 6, 3, 2}, {1, 0, 4, 0}};
    store_heads(cache, from, places);
    const at::Tensor expected = at::zeros({3, 3, 8, 4}, dtype);
    expected.select(0, 2).narrow(1, 1, 2).copy_(from.narrow(0, 0, 2).transpose(0, 1));
    expected.select(0, 0).narrow(1, 6, 2).copy_(from.narrow(0, 3, 2).transpose(0, 1));
    EXPECT_TRUE(at::equal(cache, expected));
    for (const HeadPlaces& bad :
         {HeadPlaces{3, 0, 0, 1}, HeadPlaces{0, 7, 0, 2}, HeadPlaces{0, 0, 4, 2}})
      EXPECT_THROW(store_heads(cache, from, {&bad, 1}), InternalError);
  }
}

}  // namespace
}  // namespace dlm::testing
