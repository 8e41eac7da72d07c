// How many tokens a mask holds when the noise level is uniform on an interval: what `stratified`
// draws from and `enumerate` sums over.
#pragma once

#include <cstdint>
#include <vector>

namespace dlm {

// Whether a masked token's -log p is weighed by 1 / t, or by 1 as the published code does where the
// interval's lower end is above 0.5.
enum class LossWeight { kInverseLevel, kOne };

LossWeight published_weight(double t_min);

// A block's expected loss is sum_k probability[k-1] weight[k-1] mean over masks S of k of its n
// tokens of sum_{l in S} -log p(x_l | the rest), k = 1 .. n.
struct MaskCountLaw {
  std::vector<double> probability;  // sums to 1; proportional to k times that of k tokens masked
  std::vector<double> weight;
};

// The law for t ~ U[t_min, t_max] (t = t_min where they are equal) and independent masking of n >=
// 1 tokens with probability t. For [0, 1] every count is equally likely and weighs n / k: the
// NELBO. With weight 1 / t the weight stays n / k and the probability of k is (I_b(k, n-k+1) -
// I_a(k, n-k+1)) / (n (b - a)), [a, b] the interval and I the incomplete beta function.
MaskCountLaw mask_count_law(std::int64_t n, double t_min, double t_max);

// The count at quantile u in [0, 1) of the law: systematic u give stratified counts.
std::int64_t mask_count_at(const MaskCountLaw& law, double u);

// ln of the number of k-subsets of n things.
double log_choose(std::int64_t n, std::int64_t k);

}  // namespace dlm
