#include "models/transformer/panel_linear.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/linear.h>

#include <gtest/gtest.h>

#include "harness/base/random.h"

namespace dlm::testing {
namespace {

at::Tensor normal(std::int64_t rows, std::int64_t columns, std::uint64_t example) {
  const RandomStream stream(11, Purpose::kTest, example);
  at::Tensor out = at::empty({rows, columns}, at::kDouble);
  for (std::int64_t i = 0; i < rows * columns; ++i)
    out.mutable_data_ptr<double>()[i] = stream.normal(0, static_cast<std::uint64_t>(i));
  return out;
}

struct Layer {
  at::Tensor weight, bias;
  std::shared_ptr<const PanelWeights> panels;

  Layer(std::int64_t inputs, std::int64_t outputs, at::ScalarType dtype)
      : weight(normal(outputs, inputs, 1).to(dtype)),
        bias(normal(1, outputs, 2).to(dtype).view({outputs})),
        panels(make_panels(weight, bias)) {}
};

// The largest error over what a product in the dtype may be off: roundings of a sum of its terms.
double relative_error(const Layer& layer, const at::Tensor& x) {
  const at::Tensor got = panel_linear(*layer.panels, x, {});
  const at::Tensor wide_x = x.to(at::kDouble);
  const at::Tensor wide_w = layer.weight.to(at::kDouble), wide_b = layer.bias.to(at::kDouble);
  const at::Tensor right = at::linear(wide_x, wide_w, wide_b);
  const at::Tensor size = at::linear(wide_x.square(), wide_w.square(), wide_b.square()).sqrt();
  return got.to(at::kDouble).sub(right).abs().div(size).max().item().toDouble();
}

std::vector<at::ScalarType> dtypes() {
  std::vector<at::ScalarType> all;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    if (panels_work(at::kCPU, dtype))
      all.push_back(dtype);
  }
  return all;
}

// f32: 5e-6 of the root of the sum of squares, for up to 800 terms (measured: 2e-6); bf16: half a
// unit of its last place, 2^-9, of a value up to about 6 of those roots.
double bound(at::ScalarType dtype) {
  return dtype == at::kFloat ? 5e-6 : 0.015;
}

TEST(PanelLinear, EveryShapeAgreesWithDouble) {
  for (const at::ScalarType dtype : dtypes()) {
    for (const std::int64_t inputs : {1, 2, 15, 17, 32, 33, 63, 800}) {
      for (const std::int64_t outputs : {1, 15, 16, 17, 32, 33, 70}) {
        const Layer layer(inputs, outputs, dtype);
        for (const std::int64_t rows :
             {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 24, 25, 31, 32, 33, 48}) {
          EXPECT_LT(relative_error(layer, normal(rows, inputs, 3).to(dtype)), bound(dtype))
              << dtype << " " << rows << " x " << inputs << " x " << outputs;
        }
      }
    }
  }
}

TEST(PanelLinear, ManyRowsAgreeWithDouble) {
  for (const at::ScalarType dtype : dtypes()) {
    const Layer layer(1600, 96, dtype);
    for (const std::int64_t rows : {255, 256, 257, 300, 531})
      EXPECT_LT(relative_error(layer, normal(rows, 1600, 4).to(dtype)), bound(dtype)) << rows;
  }
}

// Whatever the other rows are, and however many, a row's result is the same.
TEST(PanelLinear, ARowDoesNotDependOnTheOthers) {
  for (const at::ScalarType dtype : dtypes()) {
    for (const std::int64_t inputs : {40, 800}) {  // one stretch of the matrix unit's inputs, two
      const Layer layer(inputs, 50, dtype);
      const at::Tensor x = normal(300, inputs, 5).to(dtype);
      const at::Tensor all = panel_linear(*layer.panels, x, {});
      for (std::int64_t rows = 1; rows <= 64; ++rows) {
        const std::int64_t first = 300 - rows;
        const at::Tensor some = panel_linear(*layer.panels, x.narrow(0, first, rows), {});
        EXPECT_TRUE(at::equal(some, all.narrow(0, first, rows))) << dtype << " " << rows;
      }
    }
  }
}

// Processors with a matrix unit never take this loop, so it is called as it is.
TEST(PanelKernel, MultiplyAddsAgreeWithDoubleAndDoNotDependOnOtherRows) {
  if (!panels_work(at::kCPU, at::kFloat))
    GTEST_SKIP() << "this processor lacks the loop's instructions";
  for (const std::int64_t inputs : {1, 33, 800}) {
    const at::Tensor weight = normal(50, inputs, 1).to(at::kFloat);
    const at::Tensor x = normal(40, inputs, 2).to(at::kFloat);
    PanelTask task;
    task.shape = {inputs, 50, false};
    const std::int64_t panels = task.shape.panels();
    const at::Tensor packed = at::empty({panels * task.shape.panel_size()});
    for (std::int64_t panel = 0; panel < panels; ++panel)
      pack_panel(task.shape, weight.const_data_ptr(), panel, packed.mutable_data_ptr());
    const std::vector<float> bias(static_cast<std::size_t>(panels * kPanelOutputs), 0.5F);
    task.panels = packed.const_data_ptr();
    task.bias = bias.data();
    task.x_stride = inputs;
    const auto product = [&](std::int64_t first, std::int64_t rows) {
      const at::Tensor out = at::empty({rows, 50});
      task.x = x.const_data_ptr<float>() + first * inputs;
      task.rows = rows;
      task.out = out.mutable_data_ptr();
      multiply_panels(task, 0, panels);
      return out;
    };
    const at::Tensor all = product(0, 40);
    const at::Tensor right = at::linear(x.to(at::kDouble), weight.to(at::kDouble)).add(0.5);
    EXPECT_LT(all.to(at::kDouble).sub(right).abs().max().item().toDouble(), 2e-4) << inputs;
    for (std::int64_t rows = 1; rows < 40; ++rows)
      EXPECT_TRUE(at::equal(product(40 - rows, rows), all.narrow(0, 40 - rows, rows))) << rows;
  }
}

TEST(PanelLinear, AnyNumberOfThreadsGivesTheSameBits) {
  const int before = at::get_num_threads();
  for (const at::ScalarType dtype : dtypes()) {
    const Layer layer(800, 130, dtype);
    for (const std::int64_t rows : {1, 16, 17, 32, 40, 64, 300}) {
      const at::Tensor x = normal(rows, 800, 6).to(dtype);
      at::set_num_threads(1);
      const at::Tensor one = panel_linear(*layer.panels, x, {});
      at::set_num_threads(2);
      EXPECT_TRUE(at::equal(panel_linear(*layer.panels, x, {}), one)) << dtype << " " << rows;
    }
  }
  at::set_num_threads(before);
}

TEST(PanelLinear, RowsApartFromEachOtherAreReadWhereTheyLie) {
  const Layer layer(40, 24, at::kFloat);
  const at::Tensor wide = normal(20, 100, 7).to(at::kFloat);
  for (const std::int64_t rows : {3, 20}) {
    const at::Tensor part = wide.narrow(0, 0, rows).narrow(1, 30, 40);
    EXPECT_TRUE(at::equal(panel_linear(*layer.panels, part, {}),
                          panel_linear(*layer.panels, part.contiguous(), {})));
  }
}

// A value that is not finite must not turn into one that is.
TEST(PanelLinear, NotANumberStaysOne) {
  for (const at::ScalarType dtype : dtypes()) {
    const Layer layer(40, 24, dtype);
    for (const std::int64_t rows : {1, 13, 30}) {
      for (const double bad :
           {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
        const at::Tensor x = normal(rows, 40, 8).to(dtype);
        x.select(0, rows - 1).select(0, 39).fill_(bad);
        const at::Tensor out = panel_linear(*layer.panels, x, {}).to(at::kDouble);
        for (std::int64_t row = 0; row < rows; ++row) {
          for (std::int64_t i = 0; i < 24; ++i) {
            const double value = out.const_data_ptr<double>()[row * 24 + i];
            EXPECT_EQ(std::isfinite(value), row != rows - 1) << dtype << " " << rows << " " << bad;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace dlm::testing
