#include "models/transformer/rotary.h"

#include <cmath>

#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>

#include <gtest/gtest.h>

#include "models/transformer/packed_rows.h"
#include "tests/support/tensors.h"

namespace dlm::testing {
namespace {

TEST(Rotary, TurnsEachPairByPositionTimesFrequency) {
  const RotaryTable table({.head_dim = 4, .theta = 100}, at::kFloat, at::kCPU);
  const at::Tensor x = float_tensor({1, 2, 3, 4}).to(at::kFloat).view({1, 1, 4});
  const std::vector<std::int64_t> position = {7};
  const at::Tensor turned = rotate(x, table.rows(index_tensor(position, at::kCPU), 8));
  // Frequencies 100^0 and 100^(-1/2).
  const double c0 = std::cos(7.0), s0 = std::sin(7.0), c1 = std::cos(0.7), s1 = std::sin(0.7);
  expect_close(turned.view({4}),
               float_tensor({1 * c0 - 3 * s0, 2 * c1 - 4 * s1, 3 * c0 + 1 * s0, 4 * c1 + 2 * s1}),
               2e-6);
}

TEST(Rotary, ProductsDependOnDistanceOnly) {
  const RotaryTable table({.head_dim = 8}, at::kFloat, at::kCPU);
  const at::Tensor turned =
      rotate(at::ones({40, 1, 8}), table.rows(at::arange(40, at::kLong), 40)).view({40, 8});
  const at::Tensor products = turned.mm(turned.t());
  for (std::int64_t distance = 0; distance < 20; ++distance) {
    const at::Tensor diagonal = products.diagonal(distance);
    expect_close(diagonal, diagonal.select(0, 0).expand_as(diagonal), 2e-5);
  }
}

TEST(Rotary, TableGrowsWithoutChangingWhatItHeld) {
  const RotaryTable grown({.head_dim = 8}, at::kFloat, at::kCPU);
  const at::Tensor positions = at::arange(10, at::kLong);
  const at::Tensor before = grown.rows(positions, 10).cos.clone();
  const at::Tensor far = grown.rows(at::arange(3000, at::kLong), 3000).cos;
  EXPECT_EQ(max_difference(grown.rows(positions, 10).cos, before), 0);
  EXPECT_EQ(max_difference(far.narrow(0, 0, 10), before), 0);
}

TEST(Rotary, LinearScalingStretchesPositions) {
  const at::Tensor plain = rotary_frequencies({.head_dim = 8, .theta = 50});
  const at::Tensor scaled = rotary_frequencies(
      {.head_dim = 8, .theta = 50, .scaling = RotaryScaling::kLinear, .factor = 4});
  expect_close(scaled.mul(4), plain, 1e-7);
}

TEST(Rotary, Llama3ScalingKeepsFastStretchesSlowAndBlendsBetween) {
  RotaryConfig config{.head_dim = 128, .theta = 500000};
  const at::Tensor plain = rotary_frequencies(config).to(at::kDouble);
  config.scaling = RotaryScaling::kLlama3;
  config.factor = 8;
  const at::Tensor ratio = rotary_frequencies(config).to(at::kDouble).div(plain);
  int kept = 0, stretched = 0;
  for (std::int64_t i = 0; i < 64; ++i) {
    const double turns = 8192 * plain.select(0, i).item().toDouble() / (2 * M_PI);
    const double smooth = std::clamp((turns - 1) / 3, 0.0, 1.0);
    EXPECT_NEAR(ratio.select(0, i).item().toDouble(), (1 - smooth) / 8 + smooth, 1e-5) << i;
    kept += turns > 4;
    stretched += turns < 1;
  }
  EXPECT_GT(kept, 20);
  EXPECT_GT(stretched, 20);
}

TEST(Rotary, InPlaceGivesTheSame) {
  for (const std::int64_t dim : {8, 40, 64}) {
    const RotaryTable table({.head_dim = dim}, at::kFloat, at::kCPU);
    const RotaryRows rows = table.rows(at::arange(5, 25, at::kLong), 25);
    // Heads of a wider row, as they lie in the output of one projection.
    const at::Tensor wide = at::arange(20 * 7 * dim, at::kFloat).sin().view({20, 7, dim});
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      const at::Tensor x = wide.to(dtype).clone();
      const RotaryRows as_x = {rows.cos.to(dtype), rows.sin.to(dtype)};
      const at::Tensor expected = rotate(x.narrow(1, 1, 4), as_x);
      rotate_in_place(x.narrow(1, 1, 4), as_x);
      expect_close(x.narrow(1, 1, 4), expected, dtype == at::kFloat ? 1e-6 : 1.6e-2);
      expect_close(x.narrow(1, 5, 2), wide.to(dtype).narrow(1, 5, 2), 0, "other heads");
    }
  }
}

}  // namespace
}  // namespace dlm::testing
