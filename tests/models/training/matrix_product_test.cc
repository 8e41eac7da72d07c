#include "models/training/matrix_product.h"

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <omp.h>

#include "harness/base/random.h"

namespace dlm {
namespace {

// A matrix (outer, inner) as f32 or bf16, either way round, and its exact values.
class Side {
 public:
  struct Form {
    std::int64_t outer = 0, inner = 0;
    bool brain = false, transposed = false;
  };

  Side(const Form& form, std::uint64_t seed) : form_(form) {
    const RandomStream random(seed, Purpose::kTest, 0);
    // A row longer than its content, as a part of a wider matrix has.
    stride_ = (form.transposed ? form.outer : form.inner) + 3;
    const std::int64_t lines = form.transposed ? form.inner : form.outer;
    for (std::int64_t i = 0; i < lines * stride_; ++i) {
      const auto value = static_cast<float>(random.normal(0, static_cast<std::uint64_t>(i)));
      std::uint32_t word = 0;
      std::memcpy(&word, &value, sizeof word);
      brains_.push_back(static_cast<std::uint16_t>(word >> 16));
      word &= 0xFFFF0000U;
      float cut = 0;
      std::memcpy(&cut, &word, sizeof cut);
      values_.push_back(form.brain ? cut : value);
    }
  }

  ProductSide view() const {
    return {form_.brain ? static_cast<const void*>(brains_.data()) : values_.data(), stride_,
            form_.transposed};
  }

  double at(std::int64_t outer, std::int64_t inner) const {
    const std::int64_t index = form_.transposed ? inner * stride_ + outer : outer * stride_ + inner;
    return static_cast<double>(values_[static_cast<std::size_t>(index)]);
  }

 private:
  Form form_;
  std::int64_t stride_ = 0;
  std::vector<float> values_;
  std::vector<std::uint16_t> brains_;
};

struct Sizes {
  std::int64_t rows, columns, inner;
};

// The worst error of `out`, as a share of the sum of the terms' sizes.
double worst_error(const std::vector<float>& out, const Sizes& sizes, const Side& left,
                   const Side& right) {
  double worst = 0;
  for (std::int64_t row = 0; row < sizes.rows; ++row) {
    for (std::int64_t column = 0; column < sizes.columns; ++column) {
      double sum = 0.25, size = 0.25;
      for (std::int64_t i = 0; i < sizes.inner; ++i) {
        const double term = left.at(row, i) * right.at(column, i);
        sum += term;
        size += std::abs(term);
      }
      const double found = out[static_cast<std::size_t>(row * sizes.columns + column)];
      worst = std::max(worst, std::abs(found - sum) / size);
    }
  }
  return worst;
}

MatrixProduct product_of(const Sizes& sizes, const Side& left, const Side& right, bool brain) {
  MatrixProduct product;
  product.rows = sizes.rows;
  product.columns = sizes.columns;
  product.inner = sizes.inner;
  product.left = left.view();
  product.right = right.view();
  product.brain = brain;
  product.out_stride = sizes.columns;
  return product;
}

class MatrixProductTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!matrix_product_works())
      GTEST_SKIP() << "this processor has no matrix unit";
  }
};

// More rows than a block, more inner elements than a block, and edges of every kind.
TEST_F(MatrixProductTest, SumsAsExactlyAsF32Does) {
  for (const Sizes& sizes : {Sizes{70, 50, 90}, Sizes{1, 1, 1}, Sizes{33, 17, 1100},
                             Sizes{700, 40, 33}, Sizes{16, 200, 64}}) {
    for (int form = 0; form < 8; ++form) {
      const bool brain = (form & 1) != 0;
      const Side left({sizes.rows, sizes.inner, brain, (form & 2) != 0}, 1);
      const Side right({sizes.columns, sizes.inner, brain, (form & 4) != 0}, 2);
      // Either a bias, or sums that are added to.
      for (const bool adds : {false, true}) {
        std::vector<float> out(static_cast<std::size_t>(sizes.rows * sizes.columns), 0.25F);
        const std::vector<float> bias(static_cast<std::size_t>(sizes.columns), 0.25F);
        MatrixProduct product = product_of(sizes, left, right, brain);
        product.out = out.data();
        product.adds = adds;
        product.bias = adds ? nullptr : bias.data();
        matrix_product(product);
        EXPECT_LT(worst_error(out, sizes, left, right), 2.5e-7)
            << fmt::format("{} x {} x {}, form {}", sizes.rows, sizes.columns, sizes.inner, form);
      }
    }
  }
}

TEST_F(MatrixProductTest, HasTheSameBitsForAnyNumberOfThreads) {
  const Sizes sizes = {700, 300, 1100};
  const Side left({sizes.rows, sizes.inner, false, true}, 1);
  const Side right({sizes.columns, sizes.inner, false, false}, 2);
  const int threads = omp_get_max_threads();
  std::vector<std::vector<float>> outs;
  for (const int count : {1, 2, 3}) {
    omp_set_num_threads(count);
    outs.emplace_back(static_cast<std::size_t>(sizes.rows * sizes.columns));
    MatrixProduct product = product_of(sizes, left, right, false);
    product.out = outs.back().data();
    matrix_product(product);
  }
  omp_set_num_threads(threads);
  EXPECT_EQ(outs[0], outs[1]);
  EXPECT_EQ(outs[0], outs[2]);
}

TEST_F(MatrixProductTest, CarriesWhatIsNoNumberToTheSum) {
  for (const float bad : {std::nanf(""), std::nanf("0x3fffff"), HUGE_VALF}) {
    std::vector<float> left(32, 1), right(32, 1), out(1);
    left[7] = bad;
    MatrixProduct product;
    product.rows = product.columns = product.out_stride = 1;
    product.inner = 32;
    product.left = {left.data(), 32, false};
    product.right = {right.data(), 32, false};
    product.out = out.data();
    matrix_product(product);
    EXPECT_FALSE(std::isfinite(out[0])) << bad;
  }
}

}  // namespace
}  // namespace dlm
