#include "models/transformer/linear.h"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ops/empty.h>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/random.h"
#include "tests/support/tensors.h"

namespace dlm::testing {
namespace {

at::Tensor random_matrix(std::int64_t rows, std::int64_t columns, std::uint64_t example) {
  const RandomStream stream(7, Purpose::kTest, example);
  at::Tensor out = at::empty({rows, columns}, at::kDouble);
  for (std::int64_t i = 0; i < rows * columns; ++i)
    out.mutable_data_ptr<double>()[i] = stream.normal(0, static_cast<std::uint64_t>(i));
  return out;
}

struct Problem {
  at::Tensor x, weight, bias, other;

  Problem(std::int64_t rows, std::int64_t inputs, std::int64_t outputs, at::ScalarType dtype)
      : x(random_matrix(rows, inputs, 1).to(dtype)),
        weight(random_matrix(outputs, inputs, 2).to(dtype)),
        bias(random_matrix(1, outputs, 3).to(dtype).view({outputs})),
        other(random_matrix(rows, outputs, 4).to(dtype)) {}

  // W x + b of one element in double.
  double at(std::int64_t row, std::int64_t output) const {
    double sum = element(bias, output);
    for (std::int64_t i = 0; i < x.size(1); ++i)
      sum += element(x, row * x.size(1) + i) * element(weight, output * x.size(1) + i);
    return sum;
  }

  static double element(const at::Tensor& tensor, std::int64_t index) {
    return tensor.view({-1}).select(0, index).item().toDouble();
  }

  template <class Function>
  at::Tensor expected(Function&& function) const {
    at::Tensor out = at::empty({x.size(0), weight.size(0)}, at::kDouble);
    for (std::int64_t r = 0; r < out.size(0); ++r) {
      for (std::int64_t o = 0; o < out.size(1); ++o) {
        const std::int64_t index = r * out.size(1) + o;
        out.mutable_data_ptr<double>()[index] = function(at(r, o), element(other, index));
      }
    }
    return out;
  }
};

void check_all_forms(const Problem& problem, LinearBackend backend, double tolerance) {
  const Linear layer = make_linear(problem.weight, problem.bias, backend);
  const auto plain = [](double y, double) { return y; };
  const auto gelu = [](double y, double) { return 0.5 * y * (1 + std::erf(y / std::sqrt(2.0))); };
  const auto gelu_tanh = [](double y, double) {
    return 0.5 * y * (1 + std::tanh(std::sqrt(2 / M_PI) * (y + 0.044715 * y * y * y)));
  };
  const auto silu = [](double y, double) { return y / (1 + std::exp(-y)); };
  const auto plus = [](double y, double other) { return y + other; };
  const auto times = [](double y, double other) { return y * other; };
  expect_close(linear(layer, problem.x), problem.expected(plain), tolerance, "plain");
  expect_close(linear_activated(layer, problem.x, Activation::kGelu), problem.expected(gelu),
               tolerance, "gelu");
  expect_close(linear_activated(layer, problem.x, Activation::kGeluTanh),
               problem.expected(gelu_tanh), tolerance, "gelu tanh");
  expect_close(linear_activated(layer, problem.x, Activation::kSilu), problem.expected(silu),
               tolerance, "silu");
  expect_close(linear_plus(layer, problem.x, problem.other), problem.expected(plus), tolerance,
               "plus");
  expect_close(linear_times(layer, problem.x, problem.other), problem.expected(times),
               10 * tolerance, "times");
}

LinearBackend automatic(at::ScalarType dtype) {
  return resolve_linear_backend("auto", at::kCPU, dtype);
}

TEST(Linear, EveryFormAgreesWithLoopsInDouble) {
  for (const std::int64_t rows : {1, 5, 33}) {
    const Problem problem(rows, 20, 13, at::kFloat);
    check_all_forms(problem, LinearBackend::kAten, 2e-5);
    check_all_forms(problem, automatic(at::kFloat), 2e-5);
  }
}

TEST(Linear, Bf16AgreesWithLoopsToItsRounding) {
  // Sums reach 20, where neighbouring bf16 values are 0.125 apart; two roundings.
  const Problem problem(7, 20, 13, at::kBFloat16);
  check_all_forms(problem, LinearBackend::kAten, 0.13);
  check_all_forms(problem, automatic(at::kBFloat16), 0.13);
}

TEST(Linear, TakesTransposedWeightsAndNoBias) {
  const Problem problem(3, 6, 2, at::kFloat);
  const at::Tensor stored = problem.weight.t().contiguous();
  for (const LinearBackend backend : {LinearBackend::kAten, automatic(at::kFloat)}) {
    const Linear layer = make_linear(stored.t(), at::Tensor(), backend);
    const Linear plain = make_linear(problem.weight, at::Tensor(), LinearBackend::kAten);
    expect_close(linear(layer, problem.x), linear(plain, problem.x), 1e-6);
    EXPECT_EQ(layer.inputs, 6);
    EXPECT_EQ(layer.outputs, 2);
  }
}

// The back ends in the order in which "auto" prefers them.
TEST(Linear, AutomaticChoiceIsTheFirstThatCanBeAskedFor) {
  const std::vector<std::pair<std::string, LinearBackend>> order = {
      {"panels", LinearBackend::kPanels},
      {"onednn", LinearBackend::kOneDnn},
      {"aten", LinearBackend::kAten}};
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    std::vector<LinearBackend> available;
    for (const auto& [name, backend] : order) {
      try {
        available.push_back(resolve_linear_backend(name, at::kCPU, dtype));
        EXPECT_EQ(available.back(), backend) << name;
      } catch (const ConfigError& error) {
        EXPECT_NE(std::string(error.what()).find("auto"), std::string::npos) << error.what();
      }
    }
    ASSERT_FALSE(available.empty());
    EXPECT_EQ(automatic(dtype), available.front());
  }
  EXPECT_EQ(resolve_linear_backend("auto", at::Device(at::kCUDA, 0), at::kFloat),
            LinearBackend::kAten);
}

TEST(Linear, RefusesAnUnknownBackEndWithTheNearestName) {
  try {
    resolve_linear_backend("onednm", at::kCPU, at::kFloat);
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("onednn"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace dlm::testing
