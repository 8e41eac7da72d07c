#include "models/training/adamw.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/zeros.h>

#include <gtest/gtest.h>
#include <omp.h>

#include "harness/base/error.h"
#include "harness/base/random.h"
#include "models/training/paged_memory.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

// A parameter larger than a piece, and a small one: value and gradients are functions of `seed`.
std::vector<Parameter> make_parameters(std::int64_t large = 40'000) {
  std::vector<Parameter> parameters;
  const RandomStream random(7, Purpose::kTest, 0);
  for (const std::int64_t size : {large, std::int64_t{17}}) {
    Parameter parameter{"p" + std::to_string(size), at::empty({size}), at::zeros({size})};
    auto* value = parameter.value.mutable_data_ptr<float>();
    for (std::int64_t i = 0; i < size; ++i)
      value[i] = static_cast<float>(random.normal(0, static_cast<std::uint64_t>(size + i)));
    parameters.push_back(parameter);
  }
  return parameters;
}

void set_gradients(std::vector<Parameter>& parameters, std::uint64_t step) {
  const RandomStream random(8, Purpose::kTest, step);
  for (Parameter& parameter : parameters) {
    auto* gradient = parameter.gradient.mutable_data_ptr<float>();
    for (std::int64_t i = 0; i < parameter.gradient.numel(); ++i)
      gradient[i] = static_cast<float>(
          random.normal(1, static_cast<std::uint64_t>(parameter.gradient.numel() + i)));
  }
}

// One weight in double, by the textbook.
struct NaiveWeight {
  double value, average, first = 0, second = 0;

  void step(double gradient, double rate, const AdamWSettings& s, int n) {
    value -= rate * s.weight_decay * value;
    first = s.beta1 * first + (1 - s.beta1) * gradient;
    second = s.beta2 * second + (1 - s.beta2) * gradient * gradient;
    const double corrected1 = first / (1 - std::pow(s.beta1, n));
    const double corrected2 = second / (1 - std::pow(s.beta2, n));
    value -= rate * corrected1 / (std::sqrt(corrected2) + s.epsilon);
    const double decay = std::min(s.ema_decay, (1.0 + n) / (10.0 + n));
    average = decay * average + (1 - decay) * value;
  }
};

TEST(AdamW, FollowsTheDefinition) {
  auto parameters = make_parameters();
  const AdamWSettings settings{0.9, 0.99, 1e-8, 0.1, 0.3};
  std::vector<NaiveWeight> naive;
  const auto* start = parameters[0].value.const_data_ptr<float>();
  for (int i = 0; i < 100; ++i) naive.push_back({start[i], start[i]});
  AdamW optimizer(parameters, settings);
  for (int n = 1; n <= 20; ++n) {
    set_gradients(parameters, static_cast<std::uint64_t>(n));
    const auto* gradient = parameters[0].gradient.const_data_ptr<float>();
    for (std::size_t i = 0; i < naive.size(); ++i)
      naive[i].step(0.5 * double{gradient[i]}, 0.01 * n, settings, n);
    optimizer.step({0.01 * n, 0.5});
  }
  EXPECT_EQ(optimizer.steps(), 20);
  const auto* value = parameters[0].value.const_data_ptr<float>();
  const auto* average = optimizer.published(0).const_data_ptr<float>();
  for (std::size_t i = 0; i < naive.size(); ++i) {
    EXPECT_NEAR(value[i], naive[i].value, 2e-5);
    EXPECT_NEAR(average[i], naive[i].average, 2e-5);
  }
}

TEST(AdamW, LeavesGradientsAtZero) {
  auto parameters = make_parameters();
  AdamW optimizer(parameters, {});
  set_gradients(parameters, 1);
  optimizer.step({1e-3, 1});
  for (const Parameter& parameter : parameters)
    EXPECT_TRUE(at::equal(parameter.gradient, at::zeros(parameter.gradient.sizes())));
}

TEST(AdamW, ThreadsChangeNothing) {
  const int threads = omp_get_max_threads();
  std::vector<std::vector<Parameter>> results;
  std::vector<double> norms;
  for (const int n : {1, 2}) {
    omp_set_num_threads(n);
    auto parameters = make_parameters();
    AdamW optimizer(parameters, {});
    for (std::uint64_t step = 0; step < 3; ++step) {
      set_gradients(parameters, step);
      norms.push_back(optimizer.gradient_norm());
      optimizer.step({1e-2, 1});
    }
    results.push_back(parameters);
  }
  omp_set_num_threads(threads);
  for (std::size_t p = 0; p < 2; ++p)
    EXPECT_TRUE(at::equal(results[0][p].value, results[1][p].value));
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(norms[i], norms[i + 3]);
}

// What has no gradient stays, weight and average.
TEST(AdamW, RowsWithoutGradientAreNotWrittenTo) {
  std::vector<Parameter> parameters = {
      {"rows", at::empty({4096, 1024}), untouched_zeros({4096, 1024})}};
  parameters[0].value.fill_(0.5);
  AdamW optimizer(parameters, {});
  for (int step = 0; step < 3; ++step) {
    for (std::int64_t i = 0; i < 1024; ++i)
      parameters[0].gradient.mutable_data_ptr<float>()[7 * 1024 + i] = 1;
    optimizer.step({1e-2, 1});
  }
  const AdamWMoments& moments = optimizer.moments()[0];
  const auto* value = parameters[0].value.const_data_ptr<float>();
  const auto* average = moments.average.const_data_ptr<float>();
  for (std::int64_t row = 0; row < 4096; ++row) {
    EXPECT_EQ(value[row * 1024 + 5] == 0.5F, row != 7) << row;
    EXPECT_EQ(average[row * 1024 + 5] == 0.5F, row != 7) << row;
  }
}

// With decay every weight moves, and with what is left of an earlier gradient too.
TEST(AdamW, IdleMeansNoGradientNowNorBefore) {
  std::vector<Parameter> parameters = {{"a", at::empty({3000}), at::zeros({3000})}};
  parameters[0].value.fill_(1);
  AdamW decaying(parameters, {.weight_decay = 0.1});
  decaying.step({0.5, 1});
  EXPECT_FLOAT_EQ(parameters[0].value.const_data_ptr<float>()[2999], 0.95F);
  parameters[0].value.fill_(1);
  AdamW moving(parameters, {});
  parameters[0].gradient.fill_(1);
  moving.step({0.1, 1});
  moving.step({0.1, 1});
  // Bias-corrected: m / (1 - beta1^2) over the root of v / (1 - beta2^2).
  const double m = 0.9 * 0.1 / (1 - 0.81), v = 0.999 * 0.001 / (1 - 0.998001);
  EXPECT_NEAR(parameters[0].value.const_data_ptr<float>()[0], 0.9 - 0.1 * m / std::sqrt(v), 1e-6);
}

TEST(AdamW, AnAverageOnDiskHasTheSameBits) {
  const testing::TemporaryFolder folder;
  std::vector<std::vector<at::Tensor>> averages;
  for (const std::string& where : {std::string(), folder.path()}) {
    auto parameters = make_parameters(300'000);
    AdamW optimizer(parameters, {.ema_decay = 0.9, .average_folder = where});
    for (std::uint64_t step = 0; step < 5; ++step) {
      if (step == 3)  // as a training that goes on from a checkpoint
        optimizer.moments()[0].average.fill_(0.25);
      set_gradients(parameters, step);
      optimizer.step({1e-2, 1});
    }
    averages.push_back({optimizer.published(0).clone(), optimizer.published(1).clone()});
  }
  EXPECT_TRUE(at::equal(averages[0][0], averages[1][0]));
  EXPECT_TRUE(at::equal(averages[0][1], averages[1][1]));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  auto parameters = make_parameters(300'000);
  EXPECT_THROW(AdamW(parameters, {.average_folder = folder.path() + "/missing"}), DataError);
}

double resident_megabytes() {
  std::ifstream file("/proc/self/statm");
  double all = 0, resident = 0;
  file >> all >> resident;
  return resident * 4096 / (1 << 20);
}

// An embedding of 16 MiB, a quarter of whose rows each step has a gradient for: the weights are
// those of a plain parameter, and its gradient takes no memory between steps.
TEST(AdamW, ASparseGradientHasTheSameBitsAndGivesItsMemoryBack) {
  std::vector<std::vector<at::Tensor>> results;
  std::vector<double> grown;
  for (const bool sparse : {false, true}) {
    Parameter rows{"rows", at::empty({4096, 1024}), untouched_zeros({4096, 1024}), sparse};
    rows.value.fill_(0.5);
    std::vector<Parameter> parameters{rows};
    AdamW optimizer(parameters, {.ema_decay = 0.9});
    auto* const gradient = parameters[0].gradient.mutable_data_ptr<float>();
    const double before = resident_megabytes();
    for (std::int64_t step = 0; step < 5; ++step) {
      for (std::int64_t row = step; row < 4096; row += 4) {
        for (std::int64_t i = 0; i < 1024; ++i)
          gradient[row * 1024 + i] = static_cast<float>((row + i) % 13 - 6);
      }
      EXPECT_GT(optimizer.gradient_norm(), 0);
      optimizer.step({1e-2, 1});
    }
    grown.push_back(resident_megabytes() - before);
    EXPECT_EQ(optimizer.gradient_norm(), 0);
    const AdamWMoments& moments = optimizer.moments()[0];
    results.push_back({parameters[0].value, moments.first, moments.second, moments.average});
  }
  EXPECT_NEAR(grown[0] - grown[1], 16, 6) << grown[0] << " MiB";
  for (std::size_t i = 0; i < 4; ++i) EXPECT_TRUE(at::equal(results[0][i], results[1][i])) << i;
}

TEST(DiskValues, AreReadAndWrittenInPartsAndSeenAsMemory) {
  const testing::TemporaryFolder folder;
  const DiskValues values({3, 5000}, folder.path());
  EXPECT_TRUE(at::equal(values.tensor(), at::zeros({3, 5000})));
  const std::vector<float> some(700, 2.5F);
  EXPECT_EQ(values.write(9'000, 700, some.data()), 0);
  EXPECT_EQ(values.tensor().const_data_ptr<float>()[9'699], 2.5F);
  EXPECT_EQ(values.tensor().const_data_ptr<float>()[9'700], 0);
  values.tensor().mutable_data_ptr<float>()[9'000] = -1;
  values.leave();
  std::vector<float> back(700);
  EXPECT_EQ(values.read(9'000, 700, back.data()), 0);
  EXPECT_EQ(back[0], -1);
  EXPECT_EQ(back[699], 2.5F);
  EXPECT_NE(values.read(14'500, 700, back.data()), 0) << "beyond their end";
}

TEST(AdamW, NormIsOfAllGradients) {
  std::vector<Parameter> parameters{{"a", at::zeros({2}), at::zeros({2})},
                                    {"b", at::zeros({1}), at::zeros({1})}};
  const AdamW optimizer(parameters, {});
  parameters[0].gradient.mutable_data_ptr<float>()[1] = 3;
  parameters[1].gradient.mutable_data_ptr<float>()[0] = -4;
  EXPECT_EQ(optimizer.gradient_norm(), 5);
  parameters[1].gradient.mutable_data_ptr<float>()[0] = std::numeric_limits<float>::infinity();
  EXPECT_TRUE(std::isinf(optimizer.gradient_norm()));
}

TEST(AdamW, WithoutAverageTheWeightsArePublished) {
  auto parameters = make_parameters();
  AdamW optimizer(parameters, {.ema_decay = 0});
  EXPECT_FALSE(optimizer.moments()[0].average.defined());
  EXPECT_TRUE(optimizer.published(0).is_same(parameters[0].value));
}

TEST(AdamW, RefusesSettingsOutOfRange) {
  auto parameters = make_parameters();
  EXPECT_THROW(AdamW(parameters, {.beta1 = 1}), ConfigError);
  EXPECT_THROW(AdamW(parameters, {.epsilon = 0}), ConfigError);
  EXPECT_THROW(AdamW(parameters, {.weight_decay = -1}), ConfigError);
  EXPECT_THROW(AdamW(parameters, {.ema_decay = 1.5}), ConfigError);
}

TEST(LearningRate, RisesThenStaysOrFallsAsACosine) {
  const LearningRate constant{2, 10};
  EXPECT_EQ(learning_rate(constant, 0), 0);
  EXPECT_DOUBLE_EQ(learning_rate(constant, 5), 1);
  EXPECT_EQ(learning_rate(constant, 10), 2);
  EXPECT_EQ(learning_rate(constant, 100000), 2);
  const LearningRate cosine{2, 10, LearningRate::After::kCosine, 110, 0.1};
  EXPECT_EQ(learning_rate(cosine, 10), 2);
  EXPECT_DOUBLE_EQ(learning_rate(cosine, 60), 2 * (0.1 + 0.9 * 0.5));
  EXPECT_DOUBLE_EQ(learning_rate(cosine, 110), 0.2);
  EXPECT_DOUBLE_EQ(learning_rate(cosine, 200), 0.2);
}

}  // namespace
}  // namespace dlm
