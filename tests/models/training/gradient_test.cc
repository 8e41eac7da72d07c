// Gradients written by hand against automatic differentiation in f64, and against each other.
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros_like.h>

#include <gtest/gtest.h>

#include "harness/base/random.h"
#include "models/training/small_product.h"
#include "models/transformer/row_kernels.h"
#include "tests/models/training/naive_training.h"
#include "tests/models/training/small_network.h"

namespace dlm {
namespace {

using testing::fresh_gradients;
using testing::largest_difference;
using testing::NamedTensors;
using testing::random_ids;
using testing::random_network;
using testing::small_spec;

NoiseRecipe recipe_of(const TrainableSpec& spec) {
  return {spec.noise_draw,          spec.interval,    spec.resamples, spec.keeps_first_clean,
          spec.objective != "sedd", spec.strata_rows, spec.seed};
}

// The largest difference of gradients from those of the plain network at the same masks, and of
// the loss.
double difference_from_naive(const TrainableSpec& spec, const at::Tensor& ids) {
  const auto network = random_network(spec);
  TrainBatch batch = {ids, 3};
  testing::clear_gradients(*network);
  const BatchLoss loss = network->accumulate_gradients(batch, 1);

  NamedTensors weights;
  for (const Parameter& parameter : network->parameters()) {
    weights[parameter.name] = parameter.value.to(at::kDouble);
    weights[parameter.name].requires_grad_(true);
  }
  const std::int64_t size = spec.objective == "bd3lm" ? spec.block_size : ids.size(1);
  const testing::NaiveCase of = {spec.objective, spec.heads, size,
                                 spec.mask_id < 0 ? spec.vocab_size - 1 : spec.mask_id};
  std::vector<BlockNoise> noise;
  if (spec.objective != "ar")
    noise = draw_noise(recipe_of(spec), {3, ids.size(0), ids.size(1) / size, size});
  const at::Tensor naive = testing::naive_loss(weights, of, ids, noise);
  naive.backward();
  EXPECT_NEAR(loss.sum, naive.item().toDouble(), 1e-4 * std::abs(naive.item().toDouble()));
  NamedTensors exact;
  for (const auto& [name, weight] : weights) {
    exact[name] = weight.grad().defined() ? weight.grad() / loss.tokens : at::zeros_like(weight);
  }
  return largest_difference(testing::gradients_of(*network), exact);
}

constexpr double kClose = 2e-4;

TEST(Gradients, AutoregressiveMatchesAutograd) {
  const TrainableSpec spec = small_spec("ar");
  EXPECT_LT(difference_from_naive(spec, random_ids(spec, 2)), kClose);
}

TEST(Gradients, MaskedDiffusionMatchesAutograd) {
  TrainableSpec spec = small_spec("mdlm");
  spec.noise_draw = NoiseDraw::kPublished;
  EXPECT_LT(difference_from_naive(spec, random_ids(spec, 2)), kClose);
}

TEST(Gradients, ScoreEntropyMatchesAutograd) {
  TrainableSpec spec = small_spec("sedd");
  spec.mask_id = 4;
  at::Tensor ids = random_ids(spec, 3);
  ids.masked_fill_(ids.eq(4), 12);
  EXPECT_LT(difference_from_naive(spec, ids), kClose);
}

TEST(Gradients, BlockDiffusionMatchesAutograd) {
  for (const std::int64_t size : {1, 4, 16, 48}) {
    TrainableSpec spec = small_spec("bd3lm");
    spec.block_size = size;
    EXPECT_LT(difference_from_naive(spec, random_ids(spec, 2)), kClose) << size;
  }
}

TEST(Gradients, BlocksOfOneTokenFullyMaskedMatchAutograd) {
  TrainableSpec spec = small_spec("bd3lm");
  spec.block_size = 1;
  spec.interval = {1, 1};
  EXPECT_LT(difference_from_naive(spec, random_ids(spec, 2)), kClose);
}

TEST(Gradients, NetworksWithoutModulationMatchAutograd) {
  TrainableSpec spec = small_spec("bd3lm");
  spec.adaln = false;
  spec.noise_draw = NoiseDraw::kMaskCounts;
  EXPECT_LT(difference_from_naive(spec, random_ids(spec, 2)), kClose);
}

TEST(Gradients, ClippedIntervalsWithMasksDrawnAgainMatchAutograd) {
  TrainableSpec spec = small_spec("bd3lm");
  spec.interval = {0.45, 0.95};
  spec.resamples = true;
  EXPECT_LT(difference_from_naive(spec, random_ids(spec, 2)), kClose);
}

// Any remainder of rows and columns, both orders of the left operand.
TEST(SmallProduct, VectorsEqualPlainLoops) {
  if (!vector_kernels_work())
    GTEST_SKIP() << "no AVX-512";
  const RandomStream stream(3, Purpose::kTest, 0);
  std::vector<float> a(64 * 64), b(64 * 128);
  for (std::size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(stream.normal(0, i));
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(stream.normal(1, i));
  for (const std::int64_t columns : {16, 32, 48, 64, 112}) {
    for (const std::int64_t rows : {1, 3, 5, 6, 13, 24, 29}) {
      for (const bool turned : {false, true}) {
        for (const bool adds : {false, true}) {
          std::vector<float> plain(29 * 128, 0.5F), vectors(29 * 128, 0.5F);
          SmallProduct product = {a.data(),
                                  turned ? 1 : 64,
                                  turned ? 64 : 1,
                                  b.data(),
                                  128,
                                  plain.data(),
                                  128,
                                  rows,
                                  columns,
                                  37,
                                  adds};
          small_product_plain(product);
          product.c = vectors.data();
          small_product_vectors(product);
          for (std::size_t i = 0; i < plain.size(); ++i)
            ASSERT_NEAR(plain[i], vectors[i], 1e-4) << rows << " x " << columns;
        }
      }
    }
  }
}

TEST(Gradients, TwoPassesEqualOne) {
  TrainableSpec spec = small_spec("bd3lm");
  spec.dropout = 0.1;
  const TrainBatch batch = {random_ids(spec, 3), 7};
  const auto one = fresh_gradients(*random_network(spec), batch);
  spec.pass_form = PassForm::kTwoPass;
  EXPECT_LT(largest_difference(fresh_gradients(*random_network(spec), batch), one), 1e-5);
}

TEST(Gradients, HeadInChunksEqualsTheWhole) {
  for (const std::string objective : {"ar", "sedd", "bd3lm"}) {
    TrainableSpec spec = small_spec(objective);
    const TrainBatch batch = {random_ids(spec, 3), 7};
    spec.head_rows = 1000;
    const auto whole = fresh_gradients(*random_network(spec), batch);
    spec.head_rows = 7;
    EXPECT_LT(largest_difference(fresh_gradients(*random_network(spec), batch), whole), 1e-5);
  }
}

TEST(Gradients, DoNotDependOnTheThreadCount) {
  TrainableSpec spec = small_spec("bd3lm");
  spec.dropout = 0.1;
  const TrainBatch batch = {random_ids(spec, 3), 7};
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = fresh_gradients(*random_network(spec), batch);
  at::set_num_threads(2);
  const auto two = fresh_gradients(*random_network(spec), batch);
  at::set_num_threads(before);
  EXPECT_LT(largest_difference(two, one), 1e-6);
}

// Noise and dropout are each example's own: a batch is the sum of its rows.
TEST(Gradients, OfABatchAreTheSumOfThoseOfItsRows) {
  for (const NoiseDraw draw :
       {NoiseDraw::kIndependent, NoiseDraw::kPermuted, NoiseDraw::kMaskCounts}) {
    TrainableSpec spec = small_spec("bd3lm");
    spec.dropout = 0.1;
    spec.noise_draw = draw;
    const at::Tensor ids = random_ids(spec, 4);
    const auto together = fresh_gradients(*random_network(spec), {ids, 30});
    const auto network = random_network(spec);
    testing::clear_gradients(*network);
    for (std::int64_t row = 0; row < 4; ++row) {
      network->accumulate_gradients({ids.narrow(0, row, 1), 30 + static_cast<std::uint64_t>(row)},
                                    0.25);
    }
    EXPECT_LT(largest_difference(testing::gradients_of(*network), together), 1e-5);
  }
}

// With dropout: the slope of the loss along a random direction.
TEST(Gradients, WithDropoutAreTheSlopeOfTheLoss) {
  for (const std::string objective : {"ar", "mdlm", "sedd", "bd3lm"}) {
    TrainableSpec spec = small_spec(objective);
    spec.dropout = 0.2;
    const auto network = random_network(spec);
    const TrainBatch batch = {random_ids(spec, 4), 11};
    const auto gradients = fresh_gradients(*network, batch);
    std::map<std::string, at::Tensor> direction;
    double slope = 0;
    const auto other = random_network([&] {
      TrainableSpec changed = spec;
      changed.seed = 99;
      return changed;
    }());
    for (const Parameter& parameter : other->parameters()) {
      direction[parameter.name] = parameter.value - parameter.value.mean();
      slope += (direction[parameter.name] * gradients.at(parameter.name)).sum().item().toDouble();
    }
    const auto loss_at = [&](double step) {
      for (const Parameter& parameter : network->parameters())
        parameter.value.add_(direction[parameter.name], step);
      const BatchLoss loss = network->accumulate_gradients(batch, 0);
      for (const Parameter& parameter : network->parameters())
        parameter.value.add_(direction[parameter.name], -step);
      return loss.sum / loss.tokens;
    };
    const double step = 1e-3;
    const double measured = (loss_at(step) - loss_at(-step)) / (2 * step);
    EXPECT_NEAR(measured, slope, 5e-3 * std::abs(slope) + 1e-3) << objective;
  }
}

TEST(Gradients, InBf16AreNearThoseInF32) {
  TrainableSpec spec = small_spec("bd3lm");
  spec.width = 64;
  spec.dropout = 0.1;
  const TrainBatch batch = {random_ids(spec, 4), 11};
  const auto wide = fresh_gradients(*random_network(spec, 0.1), batch);
  spec.dtype = "bf16";
  const auto narrow = fresh_gradients(*random_network(spec, 0.1), batch);
  double product = 0, first = 0, second = 0;
  for (const auto& [name, value] : wide) {
    product += (value * narrow.at(name)).sum().item().toDouble();
    first += (value * value).sum().item().toDouble();
    second += (narrow.at(name) * narrow.at(name)).sum().item().toDouble();
  }
  EXPECT_GT(product / std::sqrt(first * second), 0.999);
  EXPECT_NEAR(std::sqrt(second / first), 1, 0.02);
}

}  // namespace
}  // namespace dlm
