#include "models/transformer/prefix_attention.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "harness/base/random.h"
#include "models/transformer/row_kernels.h"
#include "tests/support/tensors.h"

namespace dlm::testing {
namespace {

#define DLM_REQUIRE_LOOPS()                          \
  if (!prefix_attention_works(at::kCPU, at::kFloat)) \
  GTEST_SKIP() << "this processor lacks the loops' instructions"

constexpr double kScale = 0.3;

struct Shape {
  std::int64_t rows = 0, shared = 0, own_size = 0;
  std::int64_t heads = 2, kv_heads = 2, dim = 16;
};

at::Tensor random_rows(std::int64_t rows, std::int64_t heads, std::int64_t dim,
                       std::uint64_t example) {
  const RandomStream stream(11, Purpose::kTest, example);
  at::Tensor out = at::empty({rows, heads, dim});
  for (std::int64_t i = 0; i < out.numel(); ++i) {
    out.mutable_data_ptr<float>()[i] =
        static_cast<float>(stream.normal(0, static_cast<std::uint64_t>(i)));
  }
  return out;
}

struct Problem {
  explicit Problem(const Shape& of) : shape(of) {
    rows.own_size = shape.own_size;
    const RandomStream stream(12, Purpose::kTest, static_cast<std::uint64_t>(shape.rows));
    for (std::int64_t row = 0; row < shape.rows; ++row) {
      const std::int64_t fewest = shape.own_size > 0 ? 0 : 1;
      const auto visible = fewest + static_cast<std::int64_t>(stream.below(
                                        static_cast<std::uint64_t>(shape.shared - fewest + 1), 0,
                                        static_cast<std::uint64_t>(row)));
      rows.visible.push_back(static_cast<std::int32_t>(visible));
    }
    in.q = random_rows(shape.rows, shape.heads, shape.dim, 1);
    if (shape.shared > 0) {
      in.shared_k = random_rows(shape.shared, shape.kv_heads, shape.dim, 2);
      in.shared_v = random_rows(shape.shared, shape.kv_heads, shape.dim, 3);
    }
    if (shape.own_size > 0) {
      in.own_k = random_rows(shape.rows, shape.kv_heads, shape.dim, 4);
      in.own_v = random_rows(shape.rows, shape.kv_heads, shape.dim, 5);
    }
  }

  at::Tensor computed() const {
    PrefixScratch scratch;
    at::Tensor out = at::full({shape.rows, shape.heads * shape.dim}, 7.0);
    PrefixAttention(rows).attend(in, kScale, scratch, out);
    return out;
  }

  // By loops in double.
  at::Tensor expected() const {
    at::Tensor out = at::empty({shape.rows, shape.heads * shape.dim}, at::kDouble);
    for (std::int64_t row = 0; row < shape.rows; ++row) {
      for (std::int64_t head = 0; head < shape.heads; ++head) {
        const std::vector<double> mixed = mix(row, head);
        std::copy(mixed.begin(), mixed.end(),
                  out.mutable_data_ptr<double>() + (row * shape.heads + head) * shape.dim);
      }
    }
    return out;
  }

  Shape shape;
  PrefixRows rows;
  PrefixTensors in;

 private:
  const float* at(const at::Tensor& x, std::int64_t row, std::int64_t head) const {
    return x.const_data_ptr<float>() + (row * x.size(1) + head) * shape.dim;
  }

  std::vector<double> mix(std::int64_t row, std::int64_t head) const {
    const std::int64_t kv = head / (shape.heads / shape.kv_heads);
    std::vector<double> sum(static_cast<std::size_t>(shape.dim), 0.0);
    double total = 0;
    const auto add = [&](const float* k, const float* v) {
      double score = 0;
      for (std::int64_t i = 0; i < shape.dim; ++i)
        score += double{at(in.q, row, head)[i]} * double{k[i]};
      const double weight = std::exp(score * kScale);
      total += weight;
      for (std::int64_t i = 0; i < shape.dim; ++i)
        sum[static_cast<std::size_t>(i)] += weight * double{v[i]};
    };
    for (std::int64_t key = 0; key < rows.visible[static_cast<std::size_t>(row)]; ++key)
      add(at(in.shared_k, key, kv), at(in.shared_v, key, kv));
    const std::int64_t begin = rows.own_size > 0 ? row / rows.own_size * rows.own_size : 0;
    for (std::int64_t key = begin; key < begin + rows.own_size; ++key)
      add(at(in.own_k, key, kv), at(in.own_v, key, kv));
    for (double& value : sum) value /= total;
    return sum;
  }
};

// Around every size the loops are cut at: vectors of 16, tiles of 64 keys, strips of 48 rows,
// pieces of 512 keys; own blocks shorter and longer than a strip, and not dividing it.
class PrefixAttentions : public ::testing::TestWithParam<Shape> {};

TEST_P(PrefixAttentions, AgreeWithLoopsInDouble) {
  DLM_REQUIRE_LOOPS();
  const Problem problem(GetParam());
  expect_close(problem.computed(), problem.expected(), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(All, PrefixAttentions,
                         ::testing::Values(Shape{1, 1, 0}, Shape{7, 15, 0}, Shape{49, 64, 0},
                                           Shape{96, 65, 0}, Shape{50, 513, 0}, Shape{13, 1030, 0},
                                           Shape{48, 200, 4}, Shape{60, 200, 4}, Shape{64, 130, 16},
                                           Shape{35, 33, 5}, Shape{34, 20, 17}, Shape{96, 70, 32},
                                           Shape{96, 100, 48}, Shape{128, 90, 64},
                                           Shape{200, 100, 100}, Shape{600, 0, 600},
                                           Shape{12, 0, 4}, Shape{20, 70, 4, 6, 2, 8},
                                           Shape{20, 70, 4, 4, 1, 24}, Shape{60, 70, 60, 6, 3, 80},
                                           Shape{10, 70, 0, 1, 1, 1}, Shape{10, 530, 2, 2, 2, 130}),
                         [](const auto& instance) {
                           const Shape& s = instance.param;
                           return fmt::format("rows{}shared{}own{}heads{}of{}dim{}", s.rows,
                                              s.shared, s.own_size, s.heads, s.kv_heads, s.dim);
                         });

TEST(PrefixAttention, GivesTheSameBitsForAnyThreadsAndScratch) {
  DLM_REQUIRE_LOOPS();
  const Problem problem({100, 300, 4, 3, 3, 64});
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor one = problem.computed();
  at::set_num_threads(2);
  PrefixScratch scratch;
  const PrefixAttention attention(problem.rows);
  for (int again = 0; again < 2; ++again) {
    at::Tensor two = at::full(one.sizes(), 7.0);
    attention.attend(problem.in, kScale, scratch, two);
    EXPECT_TRUE(at::equal(one, two)) << "call " << again;
  }
  at::set_num_threads(threads);
}

TEST(PrefixAttention, LargeScoresNeitherOverflowNorVanish) {
  DLM_REQUIRE_LOOPS();
  Problem problem({50, 600, 2});
  problem.in.q.mul_(40);  // scores up to some hundreds: most weights underflow
  const at::Tensor out = problem.computed();
  expect_close(out, problem.expected(), 2e-5);
}

TEST(PrefixAttention, NanOfAVisibleKeyShowsAndOfAHiddenOneDoesNot) {
  DLM_REQUIRE_LOOPS();
  Problem problem({10, 100, 0});
  std::fill(problem.rows.visible.begin(), problem.rows.visible.end(), 60);
  problem.rows.visible[3] = 81;
  problem.in.shared_k.select(0, 80).fill_(NAN);
  problem.in.shared_v.select(0, 90).fill_(NAN);
  const at::Tensor out = problem.computed();
  for (std::int64_t row = 0; row < 10; ++row)
    EXPECT_EQ(out.select(0, row).isnan().any().item().toBool(), row == 3) << row;
}

TEST(RowKernels, LogSumOfPartsIsThatOfTheRow) {
  if (!vector_kernels_work())
    GTEST_SKIP() << "this processor lacks the loops' instructions";
  const RandomStream stream(13, Purpose::kTest, 0);
  std::vector<float> row;
  double total = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    row.push_back(static_cast<float>(8 * stream.normal(0, i)));
    total += std::exp(static_cast<double>(row.back()));
  }
  for (const std::size_t part : {1U, 15U, 16U, 17U, 333U, 1000U}) {
    LogSum sum;
    for (std::size_t begin = 0; begin < row.size(); begin += part) {
      const std::size_t count = std::min(part, row.size() - begin);
      add_part({row.data() + begin, static_cast<std::int64_t>(count), false}, sum);
    }
    EXPECT_NEAR(static_cast<double>(sum.top) + std::log(sum.total), std::log(total), 1e-6) << part;
  }
}

TEST(RowKernels, LogSumSkipsMinusInfinityAndShowsNan) {
  if (!vector_kernels_work())
    GTEST_SKIP() << "this processor lacks the loops' instructions";
  std::vector<float> row(40, 1.0F);
  row[5] = -INFINITY;
  row[39] = -INFINITY;
  LogSum sum;
  add_part({row.data(), 40, false}, sum);
  EXPECT_NEAR(static_cast<double>(sum.top) + std::log(sum.total), 1 + std::log(38.0), 1e-6);
  for (const std::size_t place : {0U, 20U, 38U}) {
    for (const float value : {NAN, INFINITY}) {
      std::vector<float> bad = row;
      bad[place] = value;
      LogSum of_bad;
      add_part({bad.data(), 40, false}, of_bad);
      EXPECT_TRUE(std::isnan(of_bad.total)) << place << " " << value;
    }
  }
}

}  // namespace
}  // namespace dlm::testing
