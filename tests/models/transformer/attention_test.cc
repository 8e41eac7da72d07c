#include "models/transformer/attention.h"

#include <cmath>
#include <limits>

#include <ATen/ops/empty.h>

#include <gtest/gtest.h>

#include "harness/base/random.h"
#include "models/transformer/norm.h"
#include "models/transformer/packed_attention.h"
#include "tests/support/tensors.h"

namespace dlm::testing {
namespace {

at::Tensor random_heads(std::int64_t heads, std::int64_t length, std::uint64_t example) {
  const RandomStream stream(3, Purpose::kTest, example);
  at::Tensor out = at::empty({2, heads, length, 8});
  for (std::int64_t i = 0; i < out.numel(); ++i) {
    out.mutable_data_ptr<float>()[i] =
        static_cast<float>(stream.normal(0, static_cast<std::uint64_t>(i)));
  }
  return out;
}

// softmax(q k^T / 2 + hidden) v by loops in double; visible(query, key) says what is seen.
template <class Visible>
at::Tensor naive_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           Visible&& visible) {
  at::Tensor out = at::empty({q.size(0), q.size(2), q.size(1) * 8}, at::kDouble);
  const auto qa = q.accessor<float, 4>();
  const auto ka = k.accessor<float, 4>();
  const auto va = v.accessor<float, 4>();
  auto oa = out.accessor<double, 3>();
  for (std::int64_t b = 0; b < q.size(0); ++b) {
    for (std::int64_t index = 0; index < q.size(1) * q.size(2); ++index) {
      const std::int64_t h = index / q.size(2), t = index % q.size(2);
      const std::int64_t g = h / (q.size(1) / k.size(1));
      double total = 0;
      std::vector<double> sum(8, 0.0);
      for (std::int64_t s = 0; s < k.size(2); ++s) {
        if (!visible(t, s))
          continue;
        double score = 0;
        for (std::int64_t i = 0; i < 8; ++i)
          score += double{qa[b][h][t][i]} * double{ka[b][g][s][i]};
        const double weight = std::exp(score / 2);
        total += weight;
        for (std::int64_t i = 0; i < 8; ++i)
          sum[static_cast<std::size_t>(i)] += weight * double{va[b][g][s][i]};
      }
      for (std::int64_t i = 0; i < 8; ++i)
        oa[b][t][h * 8 + i] = sum[static_cast<std::size_t>(i)] / total;
    }
  }
  return out;
}

TEST(Attention, EveryModeAgreesWithLoopsInDouble) {
  for (const std::int64_t kv_heads : {6, 2, 1}) {
    const at::Tensor q = random_heads(6, 5, 1);
    const at::Tensor k = random_heads(kv_heads, 5, 2);
    const at::Tensor v = random_heads(kv_heads, 5, 3);
    expect_close(attend(q, k, v, {AttentionMode::kCausal, {}}, 0.5),
                 naive_attention(q, k, v, [](std::int64_t t, std::int64_t s) { return s <= t; }),
                 1e-5, "causal");
    expect_close(attend(q, k, v, {AttentionMode::kFull, {}}, 0.5),
                 naive_attention(q, k, v, [](std::int64_t, std::int64_t) { return true; }), 1e-5,
                 "full");
    const at::Tensor late = q.narrow(2, 3, 2);
    expect_close(
        attend(late, k, v, {AttentionMode::kBias, causal_bias(3, 2, late.options())}, 0.5),
        naive_attention(late, k, v, [](std::int64_t t, std::int64_t s) { return s <= t + 3; }),
        1e-5, "bias");
  }
}

TEST(Attention, StridedViewsOfOneProjectionGiveTheSame) {
  const at::Tensor fused = random_heads(3, 20, 4).view({2, 5, 3, 4, 8});
  const auto part = [&](std::int64_t i) { return fused.select(2, i).transpose(1, 2); };
  const AttentionMask causal{AttentionMode::kCausal, {}};
  const at::Tensor views = attend(part(0), part(1), part(2), causal, 0.5);
  const at::Tensor copies =
      attend(part(0).contiguous(), part(1).contiguous(), part(2).contiguous(), causal, 0.5);
  expect_close(views, copies, 1e-6);
  EXPECT_TRUE(views.is_contiguous());
}

TEST(AttentionPlan, ChoosesOneCallWhereRowsAgree) {
  const auto plan_of = [](std::vector<std::int64_t> lengths, std::vector<std::int64_t> starts) {
    const at::Tensor ids = ids_tensor({{1, 1, 1}, {1, 1, 1}});
    // A dtype that cached_attention.h has no loops for.
    return plan_attention(pack_rows(ids, lengths, starts, 4), at::TensorOptions(at::kDouble));
  };
  const AttentionPlan prompt = plan_of({3, 3}, {0, 0});
  EXPECT_TRUE(prompt.one_call);
  EXPECT_FALSE(prompt.from_cache);
  EXPECT_EQ(prompt.masks[0].mode, AttentionMode::kCausal);
  const AttentionPlan step = plan_of({1, 1}, {5, 5});
  EXPECT_TRUE(step.one_call);
  EXPECT_TRUE(step.from_cache);
  EXPECT_EQ(step.masks[0].mode, AttentionMode::kFull);
  const AttentionPlan ragged = plan_of({1, 1}, {5, 2});
  EXPECT_TRUE(ragged.one_call);
  EXPECT_EQ(ragged.masks[0].mode, AttentionMode::kBias);
  EXPECT_EQ(ragged.masks[0].bias.isinf().sum().item().toLong(), 3);
  EXPECT_FALSE(plan_of({3, 2}, {0, 0}).one_call);
  EXPECT_FALSE(plan_of({0, 1}, {5, 5}).one_call);
}

TEST(AttentionPlan, AFewTokensBehindCachedOnesGoByTheCachesLoops) {
  if (!cached_attention_works(at::kCPU, at::kFloat))
    GTEST_SKIP() << "this processor lacks the loops' instructions";
  const at::Tensor ids = ids_tensor({{1, 1, 1}, {1, 1, 1}});
  const auto plan_of = [&](std::vector<std::int64_t> lengths, std::vector<std::int64_t> starts) {
    return plan_attention(pack_rows(ids, lengths, starts, 4), at::TensorOptions(at::kFloat));
  };
  EXPECT_TRUE(plan_of({3, 3}, {0, 0}).cached.empty());
  const AttentionPlan mixed = plan_of({2, 3}, {5, 0});
  EXPECT_FALSE(mixed.one_call);
  ASSERT_EQ(mixed.cached.size(), 1U);
  EXPECT_EQ(mixed.cached[0].row, 0);
  EXPECT_EQ(mixed.cached[0].visible, (std::vector<std::int32_t>{6, 7}));
  EXPECT_EQ(mixed.masks[1].mode, AttentionMode::kCausal);
}

TEST(AttentionPlan, CountsTheQueryKeyPairsThatCausalityLeaves) {
  const at::Tensor ids = ids_tensor({{1, 1, 1}, {1, 1, 1}});
  EXPECT_EQ(visible_pairs(pack_rows(ids, std::vector<std::int64_t>{3, 2}, {}, 4)), 6 + 3);
  EXPECT_EQ(visible_pairs(pack_rows(ids, std::vector<std::int64_t>{1, 2},
                                    std::vector<std::int64_t>{4, 10}, 4)),
            5 + 11 + 12);
}

TEST(Norm, MatchesItsFormulas) {
  Norm norm;
  norm.weight = float_tensor({1, 2}).to(at::kFloat);
  norm.bias = float_tensor({0.5, -1}).to(at::kFloat);
  norm.eps = 1;
  const at::Tensor x = float_tensor({3, -1}).to(at::kFloat).view({1, 2});
  const double layer = 2 / std::sqrt(4.0 + 1);
  expect_close(normalise(norm, x), float_tensor({layer + 0.5, -2 * layer - 1}).view({1, 2}), 1e-6);
  norm.kind = NormKind::kRms;
  const double rms = std::sqrt(5.0 + 1);
  expect_close(normalise(norm, x), float_tensor({3 / rms, -2 / rms}).view({1, 2}), 1e-6);
}

}  // namespace
}  // namespace dlm::testing
