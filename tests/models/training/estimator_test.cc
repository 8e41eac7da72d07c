// On a world of 4 tokens and blocks of at most 4 every mask can be written down: the gradient's
// exact mean is a finite sum, for score entropy an integral over t of such sums. Every way to draw
// noise must have it as its mean.
//
// The test: the mean of gradients of independent batches along fixed random directions over all
// parameters, against the exact one, in standard errors of that mean. Each estimator has 8
// directions, |z| < 4 in each: with 120 batches 8e-4 of correct estimators would fail, were the
// seed not fixed. Besides, no single coordinate's |z| exceeds 7.
#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/random.h"
#include "harness/base/stats.h"
#include "models/diffusion/mask_count.h"
#include "models/diffusion_transformer/noise.h"
#include "models/training/gradient_variance.h"
#include "models/training/network.h"
#include "tests/models/training/small_network.h"

namespace dlm {
namespace {

constexpr std::int64_t kRows = 4;
constexpr std::int64_t kBatches = 120;

TrainableSpec world_spec(const std::string& objective, std::int64_t length,
                         std::int64_t block_size) {
  TrainableSpec spec = testing::small_spec(objective);
  spec.layers = 2;
  spec.width = 8;
  spec.heads = 2;
  spec.vocab_size = 4;
  spec.length = length;
  spec.block_size = block_size;
  spec.strata_rows = kRows;
  return spec;
}

// The mean over t ~ U[a, b] of weight x the chance that exactly a given set of k of n is masked.
double set_weight(std::int64_t n, std::int64_t k, const NoiseInterval& t, LossWeight weight) {
  const auto size = static_cast<double>(n);
  const auto count = static_cast<double>(k);
  const double sets = std::exp(log_choose(n, k));
  const auto mass = [&](double p, double q) {
    return (incomplete_beta(p, q, t.high) - incomplete_beta(p, q, t.low)) / (t.high - t.low);
  };
  return weight == LossWeight::kInverseLevel
             ? mass(count, size - count + 1) / (count * sets)
             : mass(count + 1, size - count + 1) / ((size + 1) * sets);
}

// A block's non-empty masks, each as a noisy block of its own sequence.
class AllMasks {
 public:
  explicit AllMasks(const TrainableSpec& spec) : spec_(spec) {}

  std::int64_t size() const { return spec_.objective == "bd3lm" ? spec_.block_size : spec_.length; }

  // weight(n, k) of each set.
  template <class Weight>
  void add(std::int64_t block, double t, const Weight& weight) {
    const std::int64_t first = block == 0 && spec_.keeps_first_clean ? 1 : 0;
    const std::int64_t n = size() - first;
    for (std::int64_t bits = 1; bits < (std::int64_t{1} << n); ++bits) {
      BlockNoise noise;
      noise.row = std::ssize(noise_);
      noise.block = block;
      noise.t = t;
      for (std::int64_t i = 0; i < n; ++i) {
        if ((bits >> i & 1) != 0)
          noise.masked.push_back(first + i);
      }
      noise.weight = weight(n, std::ssize(noise.masked));
      noise_.push_back(noise);
    }
  }

  // The gradient of the weighted sum, over `positions`, at the network's weights.
  std::map<std::string, at::Tensor> gradients(Trainable& network, const at::Tensor& ids,
                                              double positions) const {
    const bool sedd = spec_.objective == "sedd";
    const TrainShape shape = {
        spec_.layers, spec_.width, spec_.heads, spec_.cond_dim, spec_.vocab_size,
        spec_.length, true,        sedd,        false};
    ParameterSet parameters(shape, 1);
    for (std::size_t i = 0; i < parameters.list().size(); ++i)
      parameters.list()[i].value.copy_(network.parameters()[i].value);
    const RotaryAngles angles = rotary_angles(spec_.length, shape.head_dim());
    const BatchPlan plan =
        denoising_plan(ids.expand({std::ssize(noise_), -1}).contiguous(), noise_,
                       {size(), spec_.vocab_size - 1, spec_.objective == "bd3lm"});
    NetworkRun run = {shape,
                      angles,
                      plan,
                      {0.0},
                      {plan.loss_rows, sedd ? LossKind::kScoreEntropy : LossKind::kCrossEntropy,
                       spec_.vocab_size - 1, 256},
                      {}};
    if (sedd) {
      run.sigma.clear();
      for (const BlockNoise& noise : noise_)
        run.sigma.push_back(noise_level(NoiseConvention::kClipped, noise.t).sigma);
    }
    network_backward(run, parameters.values(), 1 / positions, parameters.gradients());
    std::map<std::string, at::Tensor> out;
    for (const Parameter& parameter : parameters.list()) out[parameter.name] = parameter.gradient;
    return out;
  }

 private:
  const TrainableSpec& spec_;
  std::vector<BlockNoise> noise_;
};

std::map<std::string, at::Tensor> exact_gradients(const TrainableSpec& spec, Trainable& network,
                                                  const at::Tensor& ids) {
  AllMasks masks(spec);
  const std::int64_t blocks = spec.length / masks.size();
  const auto cells = static_cast<double>(kRows * blocks);
  const auto interval_at = [&](double low, double high) {
    const NoiseInterval& whole = spec.interval;
    return NoiseInterval{whole.low + (whole.high - whole.low) * low,
                         whole.low + (whole.high - whole.low) * high};
  };
  for (std::int64_t block = 0; block < blocks; ++block) {
    if (spec.objective == "sedd") {
      constexpr std::int64_t kNodes = 400;
      for (std::int64_t i = 0; i < kNodes; ++i) {
        const double t = interval_at((static_cast<double>(i) + 0.5) / kNodes, 1).low;
        masks.add(block, t, [&](std::int64_t n, std::int64_t k) {
          return std::pow(t, k) * std::pow(1 - t, n - k) / kNodes;
        });
      }
    } else if (spec.noise_draw == NoiseDraw::kPublished) {
      for (std::int64_t row = 0; row < kRows; ++row) {
        const auto cell = static_cast<double>(row * blocks + block);
        const NoiseInterval t = interval_at(cell / cells, (cell + 1) / cells);
        masks.add(block, 1, [&](std::int64_t n, std::int64_t k) {
          return set_weight(n, k, t, LossWeight::kInverseLevel) / kRows;
        });
      }
    } else {
      const bool whole = spec.noise_draw == NoiseDraw::kMaskCounts && spec.interval.low == 1e-3;
      const NoiseInterval t = whole ? NoiseInterval{0, 1} : spec.interval;
      masks.add(block, 1, [&](std::int64_t n, std::int64_t k) {
        return set_weight(n, k, t, published_weight(t.low));
      });
    }
  }
  return masks.gradients(network, ids, static_cast<double>(spec.length));
}

// All tensors as one vector, each scaled by its largest exact value.
at::Tensor flat(const std::map<std::string, at::Tensor>& tensors,
                const std::map<std::string, at::Tensor>& exact) {
  std::vector<at::Tensor> parts;
  for (const auto& [name, value] : tensors)
    parts.push_back((value / exact.at(name).abs().max().add(1e-12)).flatten().to(at::kDouble));
  return at::cat(parts);
}

void expect_unbiased(const TrainableSpec& spec) {
  const auto network = testing::random_network(spec);
  const at::Tensor ids = testing::random_ids(spec, 1);
  const auto exact_parts = exact_gradients(spec, *network, ids);
  const at::Tensor exact = flat(exact_parts, exact_parts);
  std::vector<at::Tensor> drawn;
  const at::Tensor batch = ids.expand({kRows, -1}).contiguous();
  for (std::uint64_t i = 0; i < kBatches; ++i)
    drawn.push_back(flat(testing::fresh_gradients(*network, {batch, i * kRows}), exact_parts));
  const at::Tensor error = at::stack(drawn) - exact;
  const RandomStream stream(17, Purpose::kTest, 1);
  const double root = std::sqrt(static_cast<double>(kBatches));
  for (std::uint64_t direction = 0; direction < 8; ++direction) {
    at::Tensor signs = exact.clone();
    for (std::int64_t i = 0; i < signs.numel(); ++i) {
      signs.mutable_data_ptr<double>()[i] =
          stream.uniform(direction, static_cast<std::uint64_t>(i)) < 0.5 ? -1 : 1;
    }
    const at::Tensor along = error.matmul(signs);
    const double z = along.mean().item().toDouble() / along.std().item().toDouble() * root;
    EXPECT_LT(std::abs(z), 4) << spec.objective << " direction " << direction;
  }
  const at::Tensor spread = error.std(0) / root;
  const at::Tensor z = error.mean(0).abs() / spread.add(1e-7);
  EXPECT_LT(z.max().item().toDouble(), 7) << spec.objective;
}

TEST(GradientEstimators, OfBlockDiffusionAreUnbiased) {
  for (const NoiseDraw draw : {NoiseDraw::kPublished, NoiseDraw::kIndependent, NoiseDraw::kPermuted,
                               NoiseDraw::kMaskCounts}) {
    TrainableSpec spec = world_spec("bd3lm", 8, 4);
    spec.noise_draw = draw;
    SCOPED_TRACE(static_cast<int>(draw));
    expect_unbiased(spec);
  }
}

TEST(GradientEstimators, OfClippedIntervalsAreUnbiased) {
  for (const NoiseInterval interval : {NoiseInterval{0.3, 0.8}, NoiseInterval{0.6, 1}}) {
    for (const NoiseDraw draw : {NoiseDraw::kPermuted, NoiseDraw::kMaskCounts}) {
      TrainableSpec spec = world_spec("bd3lm", 6, 3);
      spec.noise_draw = draw;
      spec.interval = interval;
      SCOPED_TRACE(static_cast<int>(draw));
      expect_unbiased(spec);
    }
  }
}

TEST(GradientEstimators, OfSingleTokensAndTwoPassesAreUnbiased) {
  expect_unbiased(world_spec("bd3lm", 4, 1));
  TrainableSpec spec = world_spec("bd3lm", 8, 2);
  spec.pass_form = PassForm::kTwoPass;
  expect_unbiased(spec);
}

TEST(GradientEstimators, OfMaskedDiffusionAreUnbiased) {
  expect_unbiased(world_spec("mdlm", 4, 4));
}

TEST(GradientEstimators, OfScoreEntropyAreUnbiased) {
  expect_unbiased(world_spec("sedd", 4, 4));
}

// Eq. 10 on the same batches of different noise, all else equal.
TEST(GradientEstimators, CountsHaveTheLowestVariance) {
  std::vector<double> variances;
  for (const NoiseDraw draw :
       {NoiseDraw::kIndependent, NoiseDraw::kPermuted, NoiseDraw::kMaskCounts}) {
    TrainableSpec spec = world_spec("bd3lm", 16, 4);
    spec.noise_draw = draw;
    const auto network = testing::random_network(spec);
    const at::Tensor batch = testing::random_ids(spec, 1).expand({kRows, -1}).contiguous();
    std::vector<TrainBatch> batches;
    for (std::uint64_t i = 0; i < 100; ++i) batches.push_back({batch, i * kRows});
    variances.push_back(gradient_variance(*network, batches).variance);
  }
  EXPECT_LT(variances[2], 0.5 * variances[0]);
  EXPECT_LT(variances[2], 0.5 * variances[1]);
}

TEST(GradientVariance, IsThatOfTheGradients) {
  const TrainableSpec spec = world_spec("bd3lm", 8, 4);
  const auto network = testing::random_network(spec);
  std::vector<TrainBatch> batches;
  std::vector<at::Tensor> all;
  for (std::uint64_t i = 0; i < 5; ++i) {
    batches.push_back({testing::random_ids(spec, 2, i), i * 2});
    std::vector<at::Tensor> parts;
    for (const auto& [name, value] : testing::fresh_gradients(*network, batches.back()))
      parts.push_back(value.flatten().to(at::kDouble));
    all.push_back(at::cat(parts));
  }
  const at::Tensor stacked = at::stack(all);
  const double expected = (stacked - stacked.mean(0)).square().sum().item().toDouble() / 4;
  const GradientVariance measured = gradient_variance(*network, batches);
  EXPECT_NEAR(measured.variance, expected, 1e-5 * expected);
  EXPECT_EQ(measured.batches, 5);
  const double norm = stacked.mean(0).square().sum().item().toDouble();
  EXPECT_NEAR(measured.mean_square, norm, 1e-5 * norm);
  EXPECT_THROW(gradient_variance(*network, std::span(batches).first(1)), ConfigError);
}

}  // namespace
}  // namespace dlm
