// The terms of the head, on laws whose least loss is known.
#include "models/training/head_loss.h"

#include <cmath>
#include <vector>

#include <ATen/ops/zeros.h>

#include <gtest/gtest.h>

namespace dlm {
namespace {

constexpr std::int64_t kTokens = 5;  // and the mask
constexpr double kLaw[kTokens] = {0.4, 0.05, 0.3, 0.05, 0.2};

double law_entropy() {
  double entropy = 0;
  for (const double p : kLaw) entropy -= p * std::log(p);
  return entropy;
}

struct MeanLoss {
  double value = 0;
  std::vector<double> gradient;  // in the logits
};

// Of a masked token that follows kLaw, at level t, where the head says `logits`: a bias alone.
MeanLoss mean_loss(LossKind kind, const std::vector<double>& logits, double t) {
  std::vector<LossRow> rows;
  for (std::int64_t token = 0; token < kTokens; ++token) {
    LossRow row;
    row.target = token;
    row.t = t;
    row.weight = kLaw[token];
    rows.push_back(row);
  }
  const at::Tensor x = at::zeros({kTokens, 8});
  const Affine head = {at::zeros({kTokens + 1, 8}), at::zeros({kTokens + 1})};
  for (std::size_t i = 0; i < logits.size(); ++i)
    head.bias.mutable_data_ptr<float>()[i] = static_cast<float>(logits[i]);
  const Affine sums = {at::zeros({kTokens + 1, 8}), at::zeros({kTokens + 1})};
  const HeadLoss loss = {rows, kind, kTokens, 3};
  const std::vector<double> terms =
      head_backward(loss, head, x, {1, sums, at::zeros({kTokens, 8})});
  MeanLoss mean;
  for (std::size_t i = 0; i < terms.size(); ++i) mean.value += rows[i].weight * terms[i];
  for (std::int64_t i = 0; i <= kTokens; ++i)
    mean.gradient.push_back(sums.bias.const_data_ptr<float>()[i]);
  return mean;
}

// log p + log V: what score entropy is least at; V counts the tokens, not the mask.
std::vector<double> logits_of_law() {
  std::vector<double> logits;
  for (const double p : kLaw) logits.push_back(std::log(p * kTokens));
  return logits;
}

// At the law of the data the mean is its entropy over t, the same bound that masked diffusion has,
// and nothing is to be learned; every other answer costs more. Source: Lou, Meng and Ermon,
// arXiv:2310.16834, section 3.1.
TEST(ScoreEntropy, IsLeastAtTheLawOfTheData) {
  for (const double t : {0.002, 0.3, 0.9}) {
    const MeanLoss least = mean_loss(LossKind::kScoreEntropy, logits_of_law(), t);
    EXPECT_NEAR(least.value * t, law_entropy(), 1e-5);
    for (const double d : least.gradient) EXPECT_NEAR(d * t, 0, 1e-6);
    for (std::size_t i = 0; i < kTokens; ++i) {
      for (const double change : {-0.3, 0.3}) {
        std::vector<double> logits = logits_of_law();
        logits[i] += change;
        EXPECT_GT(mean_loss(LossKind::kScoreEntropy, logits, t).value, least.value);
      }
    }
  }
}

// Cross-entropy does not see what all logits have in common. Score entropy does: e^c - c - 1 over
// t, which is what a network has to learn besides the law.
TEST(ScoreEntropy, PaysForWhatAllLogitsHaveInCommon) {
  for (const double c : {-1.0, 0.5, 2.0}) {
    std::vector<double> logits = logits_of_law();
    for (double& logit : logits) logit += c;
    const double t = 0.4;
    EXPECT_NEAR(mean_loss(LossKind::kScoreEntropy, logits, t).value * t,
                law_entropy() + std::exp(c) - c - 1, 1e-4);
    EXPECT_NEAR(mean_loss(LossKind::kCrossEntropy, logits, t).value, law_entropy(), 1e-5);
  }
}

}  // namespace
}  // namespace dlm
