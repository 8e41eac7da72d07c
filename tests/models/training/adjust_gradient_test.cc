// The ADJUST layer's training against its formula in f64 with automatic differentiation, and
// against the layer that samplers run.
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <gtest/gtest.h>

#include "harness/base/random.h"
#include "models/training/adjust_unroll.h"
#include "tests/models/training/small_network.h"

namespace dlm {
namespace {

using Tensors = std::map<std::string, at::Tensor>;

constexpr std::int64_t kSequences = 2, kLength = 7, kWidth = 16, kVocab = 9, kMask = 4;

at::Tensor random_tensor(std::vector<std::int64_t> size, std::uint64_t seed, double scale) {
  const RandomStream stream(seed, Purpose::kTest, 0);
  at::Tensor out = at::empty(size, at::kFloat);
  for (std::int64_t i = 0; i < out.numel(); ++i)
    out.mutable_data_ptr<float>()[i] =
        static_cast<float>(scale * stream.normal(0, static_cast<std::uint64_t>(i)));
  return out;
}

AdjustConfig small_config() {
  AdjustConfig config;
  config.base_sha256 = std::string(64, '7');
  DecoderShape& shape = config.block.shape;
  shape.vocab_size = kVocab;
  shape.width = kWidth;
  shape.heads = 2;
  shape.kv_heads = 2;
  shape.head_dim = 8;
  shape.inner = 12;
  config.block.rotary.head_dim = 8;
  config.block.rotary.theta = 100;
  config.block.qkv_bias = BiasKind::kPresent;
  return config;
}

// Values far from where training begins.
void scatter(AdjustParameters& parameters) {
  std::uint64_t seed = 100;
  for (const Parameter& parameter : parameters.list()) {
    const bool norm = parameter.name.find("norm") != std::string::npos;
    const at::Tensor noise = random_tensor(parameter.value.sizes().vec(), seed++, 0.3);
    parameter.value.copy_(norm ? noise + 0.8 : noise);
  }
}

// A window's passes: some rows carry loss, in the second pass none.
class Window {
 public:
  Window() : config_(small_config()), parameters_(config_, 3) {
    scatter(parameters_);
    base_.embedding = random_tensor({kVocab, kWidth}, 1, 1);
    base_.head = {random_tensor({kVocab, kWidth}, 2, 0.5), random_tensor({kVocab}, 3, 0.5)};
    base_.mask_id = kMask;
    angles_ = rotary_angles(kLength, 8, 100);
  }

  AdjustUnroll unroll() const {
    AdjustUnroll out = {
        config_, base_, angles_, kSequences, random_tensor({kSequences * kLength, kWidth}, 4, 1.5),
        {},      3};
    for (std::uint64_t pass = 0; pass < 3; ++pass) out.targets.push_back(target(pass));
    return out;
  }

  AdjustParameters& parameters() { return parameters_; }

  const AdjustBase& base() const { return base_; }

 private:
  static AdjustTarget target(std::uint64_t pass) {
    AdjustTarget out;
    const RandomStream stream(9, Purpose::kTest, pass);
    out.ids = at::empty({kSequences * kLength}, at::kLong);
    std::vector<std::int64_t> rows;
    for (std::int64_t i = 0; i < out.ids.numel(); ++i) {
      const auto at = static_cast<std::uint64_t>(i);
      out.ids.mutable_data_ptr<std::int64_t>()[i] =
          static_cast<std::int64_t>(stream.below(kVocab, 0, at));
      if (pass != 1 && stream.uniform(1, at) < 0.6)
        rows.push_back(i);
    }
    out.rows = at::empty({std::ssize(rows)}, at::kLong);
    std::copy(rows.begin(), rows.end(), out.rows.mutable_data_ptr<std::int64_t>());
    out.laws = random_tensor({std::ssize(rows), kVocab}, 20 + pass, 1);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      out.negative_entropy.push_back(
          to_law({out.laws.mutable_data_ptr<float>() + static_cast<std::int64_t>(i) * kVocab,
                  kVocab, kMask}));
      out.weights.push_back(0.1 + stream.uniform(2, i));
    }
    return out;
  }

  AdjustConfig config_;
  AdjustParameters parameters_;
  AdjustBase base_;
  RotaryAngles angles_;
};

at::Tensor naive_rms(const at::Tensor& x, const at::Tensor& weight) {
  return x / (x.square().mean(1, true) + 1e-6).sqrt() * weight;
}

// (S, d), element i paired with i + d / 2.
at::Tensor turned(const at::Tensor& x) {
  const std::int64_t half = x.size(1) / 2;
  at::Tensor cos = at::empty({x.size(0), half}, at::kDouble), sin = at::empty_like(cos);
  for (std::int64_t i = 0; i < cos.numel(); ++i) {
    const double angle =
        static_cast<double>(i / half) *
        std::pow(100.0, -static_cast<double>(i % half) / static_cast<double>(half));
    cos.mutable_data_ptr<double>()[i] = std::cos(angle);
    sin.mutable_data_ptr<double>()[i] = std::sin(angle);
  }
  const at::Tensor low = x.narrow(1, 0, half), high = x.narrow(1, half, half);
  return at::cat({low * cos - high * sin, high * cos + low * sin}, 1);
}

// One sequence, one pass.
at::Tensor naive_pass(const Tensors& of, const at::Tensor& h, const at::Tensor& e) {
  const auto linear = [&](const std::string& name, const at::Tensor& x) {
    const at::Tensor y = x.matmul(of.at(name + ".weight").t());
    return of.contains(name + ".bias") ? y + of.at(name + ".bias") : y;
  };
  const std::string layer = "layers.0.0.";
  at::Tensor z = linear("down_project.0", at::cat({naive_rms(e, of.at("norm_embed.0.weight")),
                                                   naive_rms(h, of.at("norm_hidden.0.weight"))},
                                                  1));
  const at::Tensor x = naive_rms(z, of.at(layer + "input_layernorm.weight"));
  const at::Tensor q = linear(layer + "self_attn.q_proj", x);
  const at::Tensor k = linear(layer + "self_attn.k_proj", x);
  const at::Tensor v = linear(layer + "self_attn.v_proj", x);
  std::vector<at::Tensor> mixed;
  for (std::int64_t head = 0; head < 2; ++head) {
    const auto part = [&](const at::Tensor& all) { return all.narrow(1, 8 * head, 8); };
    const at::Tensor scores = turned(part(q)).matmul(turned(part(k)).t()) / std::sqrt(8.0);
    mixed.push_back(scores.softmax(1).matmul(part(v)));
  }
  z = z + linear(layer + "self_attn.o_proj", at::cat(mixed, 1));
  const at::Tensor y = naive_rms(z, of.at(layer + "post_attention_layernorm.weight"));
  z = z + linear(layer + "mlp.down_proj",
                 at::silu(linear(layer + "mlp.gate_proj", y)) * linear(layer + "mlp.up_proj", y));
  return naive_rms(z, of.at("norm_postattn.0.weight")) + h;
}

// The sum of weight x divergence over all passes.
at::Tensor naive_loss(const Tensors& of, const AdjustUnroll& unroll) {
  const AdjustBase& base = unroll.base;
  at::Tensor loss = at::zeros({}, at::kDouble);
  at::Tensor h = unroll.states.to(at::kDouble);
  for (const AdjustTarget& target : unroll.targets) {
    const at::Tensor e = base.embedding.to(at::kDouble).index_select(0, target.ids);
    std::vector<at::Tensor> next;
    for (std::int64_t b = 0; b < kSequences; ++b)
      next.push_back(
          naive_pass(of, h.narrow(0, b * kLength, kLength), e.narrow(0, b * kLength, kLength)));
    h = at::cat(next, 0);
    at::Tensor logits = h.index_select(0, target.rows).matmul(base.head.weight.to(at::kDouble).t());
    logits = logits + base.head.bias.to(at::kDouble);
    const at::Tensor others =
        at::cat({logits.narrow(1, 0, kMask), logits.narrow(1, kMask + 1, kVocab - kMask - 1)}, 1);
    const at::Tensor law = target.laws.to(at::kDouble);
    const at::Tensor p =
        at::cat({law.narrow(1, 0, kMask), law.narrow(1, kMask + 1, kVocab - kMask - 1)}, 1);
    const at::Tensor rows = (p * (p.log() - at::log_softmax(others, 1))).sum(1);
    for (std::int64_t row = 0; row < rows.size(0); ++row)
      loss = loss + target.weights[static_cast<std::size_t>(row)] * rows.select(0, row);
  }
  return loss;
}

double loss_of(const AdjustUnroll& unroll, const std::vector<std::vector<RowDivergence>>& found) {
  double loss = 0;
  for (std::size_t pass = 0; pass < found.size(); ++pass) {
    for (std::size_t row = 0; row < found[pass].size(); ++row)
      loss += unroll.targets[pass].weights[row] * found[pass][row].nats;
  }
  return loss;
}

TEST(AdjustGradients, MatchAutogradThroughTheRecursion) {
  Window window;
  const AdjustUnroll unroll = window.unroll();
  AdjustParameters& parameters = window.parameters();
  const double loss =
      loss_of(unroll, unroll_backward(unroll, parameters.values(), 0.5, parameters.gradients()));
  Tensors exact;
  for (const Parameter& parameter : parameters.list()) {
    exact[parameter.name] = parameter.value.to(at::kDouble);
    exact[parameter.name].requires_grad_(true);
  }
  const at::Tensor naive = naive_loss(exact, unroll);
  naive.backward();
  EXPECT_NEAR(loss, naive.item().toDouble(), 1e-4 * naive.item().toDouble());
  for (const Parameter& parameter : parameters.list()) {
    const at::Tensor expected = exact.at(parameter.name).grad() * 0.5;
    const double scale = expected.abs().max().item().toDouble();
    EXPECT_GT(scale, 1e-4) << parameter.name;
    EXPECT_LT((parameter.gradient - expected).abs().max().item().toDouble(), 2e-4 * scale)
        << parameter.name;
  }
}

TEST(AdjustGradients, TheForwardAloneMeasuresTheSame) {
  Window window;
  const AdjustUnroll unroll = window.unroll();
  AdjustParameters& parameters = window.parameters();
  const auto alone = unroll_divergences(unroll, parameters.values());
  const auto both = unroll_backward(unroll, parameters.values(), 1, parameters.gradients());
  EXPECT_TRUE(both[1].empty());
  for (std::size_t pass = 0; pass < alone.size(); ++pass) {
    ASSERT_EQ(alone[pass].size(), both[pass].size());
    for (std::size_t row = 0; row < alone[pass].size(); ++row)
      EXPECT_EQ(alone[pass][row].nats, both[pass][row].nats);
  }
}

// Sums over rows are taken in an order of their own.
TEST(AdjustGradients, ThreadsChangeNothing) {
  std::vector<Tensors> of;
  for (const int threads : {1, 3}) {
    at::set_num_threads(threads);
    Window window;
    const AdjustUnroll unroll = window.unroll();
    AdjustParameters& parameters = window.parameters();
    unroll_backward(unroll, parameters.values(), 1, parameters.gradients());
    Tensors& gradients = of.emplace_back();
    for (const Parameter& one : parameters.list()) gradients[one.name] = one.gradient.clone();
  }
  at::set_num_threads(1);
  for (const auto& [name, gradient] : of[0])
    EXPECT_LT((of[1].at(name) - gradient).abs().max().item().toDouble(), 1e-5) << name;
}

TEST(Divergence, IsItsFormula) {
  std::vector<float> teacher = {0.3F, -1.2F, 7.0F, 2.0F, 0.5F};
  std::vector<float> student = {1.0F, 0.2F, -3.0F, 1.0F, 0.4F};
  double p_sum = 0, q_sum = 0;
  for (const std::size_t i : {0U, 1U, 3U, 4U}) {
    p_sum += std::exp(static_cast<double>(teacher[i]));
    q_sum += std::exp(static_cast<double>(student[i]));
  }
  double expected = 0;
  std::vector<double> gradient(5, 0);
  for (const std::size_t i : {0U, 1U, 3U, 4U}) {
    const double p = std::exp(static_cast<double>(teacher[i])) / p_sum;
    const double q = std::exp(static_cast<double>(student[i])) / q_sum;
    expected += p * std::log(p / q);
    gradient[i] = 2 * (q - p);
  }
  const double negative_entropy = to_law({teacher.data(), 5, 2});
  EXPECT_EQ(teacher[2], 0);
  const LawRow law = {teacher.data(), negative_entropy};
  const LogitRow row = {student.data(), 5, 2};
  const RowDivergence found = divergence(law, row);
  EXPECT_NEAR(found.nats, expected, 1e-6);
  EXPECT_FALSE(found.same_best);  // 3 against 0, the lowest of equals
  differentiate_divergence(law, row, found.log_sum, 2);
  for (std::size_t i = 0; i < gradient.size(); ++i) EXPECT_NEAR(student[i], gradient[i], 1e-6);
}

TEST(Divergence, OfALawFromItselfIsZero) {
  std::vector<float> logits(300), copy;
  const RandomStream stream(1, Purpose::kTest, 0);
  for (std::size_t i = 0; i < logits.size(); ++i)
    logits[i] = static_cast<float>(20 * stream.normal(0, i));
  copy = logits;
  const double negative_entropy = to_law({logits.data(), 300, 7});
  const RowDivergence found = divergence({logits.data(), negative_entropy}, {copy.data(), 300, 7});
  EXPECT_NEAR(found.nats, 0, 1e-5);
  EXPECT_TRUE(found.same_best);
}

}  // namespace
}  // namespace dlm
