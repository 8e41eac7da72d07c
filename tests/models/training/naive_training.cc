#include "tests/models/training/naive_training.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/zeros.h>

#include "tests/models/dit/naive_dit.h"

namespace dlm::testing {
namespace {

constexpr std::string_view kPrefix = "backbone.";

bool sees(const NaiveCase& of, std::int64_t length, std::int64_t q, std::int64_t k) {
  if (of.objective == "ar")
    return k <= q;
  return of.objective != "bd3lm" || two_stream_allowed(q, k, length, of.block_size);
}

struct Term {
  std::int64_t row = 0;
  std::int64_t target = 0;
  double weight = 1;
  double t = 1;
};

double sigma_of(double t) {
  return std::min(-std::log1p(-t), -std::log(1e-3));
}

at::Tensor naive_term(const NaiveCase& of, const at::Tensor& logits, const Term& term) {
  const at::Tensor row = logits.select(0, term.row);
  const std::int64_t after = row.size(0) - of.mask_id - 1;
  const at::Tensor others =
      at::cat({row.narrow(0, 0, of.mask_id), row.narrow(0, of.mask_id + 1, after)}, 0);
  const at::Tensor own = row.select(0, term.target);
  if (of.objective != "sedd")
    return at::logsumexp(others, 0) - own;
  const double growth = std::expm1(sigma_of(term.t));
  const double offset = std::log(growth) + std::log(static_cast<double>(row.size(0) - 1));
  const double constant = (std::log(1 / growth) - 1) / growth;
  return growth / term.t * ((others - offset).exp().sum() - (own - offset) / growth + constant);
}

}  // namespace

at::Tensor naive_loss(const NamedTensors& weights, const NaiveCase& of, const at::Tensor& ids,
                      const std::vector<BlockNoise>& noise) {
  const std::int64_t length = ids.size(1) - (of.objective == "ar" ? 1 : 0);
  NamedTensors bare;
  for (const auto& [name, weight] : weights) bare[name.substr(kPrefix.size())] = weight;
  NaiveNetwork network(bare, of.heads);
  at::Tensor total = at::zeros({}, at::kDouble);
  for (std::int64_t b = 0; b < ids.size(0); ++b) {
    const auto* from = ids.const_data_ptr<std::int64_t>() + b * ids.size(1);
    std::vector<std::int64_t> input(from, from + length);
    std::vector<Term> terms;
    double t_of = 0;
    for (std::int64_t i = 0; of.objective == "ar" && i < length; ++i)
      terms.push_back({i, from[i + 1], 1, 1});
    for (const BlockNoise& block : noise) {
      for (std::size_t i = 0; block.row == b && i < block.masked.size(); ++i) {
        const std::int64_t row = block.block * of.block_size + block.masked[i];
        terms.push_back({row, from[row], block.weight, block.t});
        input[static_cast<std::size_t>(row)] = of.mask_id;
        t_of = block.t;
      }
    }
    if (of.objective == "bd3lm")
      input.insert(input.end(), from, from + length);
    const double sigma = of.objective == "sedd" && t_of > 0 ? sigma_of(t_of) : 0;
    const at::Tensor logits = network.logits(
        input, length, sigma, [&](auto q, auto k) { return sees(of, length, q, k); });
    for (const Term& term : terms) total = total + term.weight * naive_term(of, logits, term);
  }
  return total;
}

}  // namespace dlm::testing
