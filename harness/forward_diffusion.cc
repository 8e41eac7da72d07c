#include "harness/forward_diffusion.h"

#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/ones_like.h>

#include "harness/base/error.h"
#include "models/diffusion_transformer/dit_head.h"
#include "models/diffusion_transformer/noise.h"

namespace dlm {
namespace {

bool is_sedd(const DitModel& model) {
  return model.loss() == DenoiserLoss::kScoreEntropy;
}

bool is_hydra(const DitModel& model) {
  return model.info().family == "sedd";
}

// What the network is told, one value per sequence.
std::vector<double> told_sigma(const DitModel& model, const ForwardInputs& inputs,
                               std::int64_t batch) {
  if (inputs.has("sigma"))
    return inputs.per_sequence("sigma", batch);
  if (!inputs.has("t"))
    return std::vector<double>(static_cast<std::size_t>(batch), 0.0);
  std::vector<double> sigma = inputs.per_sequence("t", batch);
  for (double& value : sigma) value = noise_level(model.config().noise, value).sigma;
  return sigma;
}

// d sigma / d t and sigma of every token, (B, L) f64 each.
struct TokenLevels {
  at::Tensor rate, sigma;
};

TokenLevels token_levels(const DitModel& model, const ForwardInputs& inputs, const at::Tensor& xt) {
  at::Tensor sigma = inputs.per_token("t", xt);
  at::Tensor rate = sigma.clone();
  auto* s = sigma.mutable_data_ptr<double>();
  auto* r = rate.mutable_data_ptr<double>();
  for (std::int64_t i = 0; i < sigma.numel(); ++i) {
    if (!(s[i] > 0 && s[i] <= 1))
      throw DataError(inputs.path(), -1, "'t' above 0, at most 1", fmt::format("{}", s[i]));
    const NoiseLevel level = noise_level(model.config().noise, s[i]);
    s[i] = level.sigma;
    r[i] = level.rate;
  }
  return {rate, sigma};
}

// sum over y != mask of s_y - r ln s_x + r (ln r - 1), (B, L) f64.
at::Tensor score_entropy(const at::Tensor& log_score, const at::Tensor& x0,
                         const at::Tensor& sigma) {
  const at::Tensor scores = log_score.to(at::kDouble);
  // The entry of the mask, which a hidden position holds, is 0: e^0 = 1 is taken off again.
  const at::Tensor sum = scores.exp().sum(2).sub(1);
  const at::Tensor own = scores.gather(2, x0.unsqueeze(2)).squeeze(2);
  const at::Tensor ratio = sigma.expm1().reciprocal();
  return sum - ratio * own + ratio * (ratio.log() - 1);
}

// From per-token terms to the published loss.
void add_losses(const DitModel& model, const ForwardInputs& inputs, const at::Tensor& terms,
                NamedTensors& out) {
  if (is_hydra(model)) {
    out["loss"] = terms.sum(1);
    return;
  }
  at::Tensor mask = (inputs.has("attention_mask") ? inputs.ids_like("attention_mask", terms)
                                                  : at::ones_like(terms))
                        .to(at::kDouble)
                        .clone();
  mask.select(1, 0).zero_();
  out["nlls"] = terms * mask;
  out["loss"] = (out["nlls"].sum() / mask.sum()).view({1});
}

}  // namespace

NamedTensors forward_diffusion(const DitModel& model, const ForwardInputs& inputs) {
  const at::Tensor xt = inputs.ids("xt");
  const bool has_clean = inputs.has("x0");
  const at::Tensor x0 = has_clean ? inputs.ids_like("x0", xt) : at::Tensor();
  const std::vector<double> sigma = told_sigma(model, inputs, xt.size(0));
  const bool whole = !model.config().cross_attention;
  const std::int64_t block_size = whole ? xt.size(1) : model.trained_block_size();
  NamedTensors out;
  const at::Tensor logits = model.logits({xt, x0, block_size, sigma});
  out["logits"] = logits;
  const bool sedd = is_sedd(model);
  at::Tensor& output = out[sedd ? "log_score" : "log_probs"];
  output = sedd ? sedd_log_scores(model.config(), logits, xt, sigma)
                : subs_log_probs(model.config(), logits, xt);
  if (has_clean && inputs.has("t")) {
    const TokenLevels levels = token_levels(model, inputs, xt);
    const at::Tensor hidden = xt.eq(model.mask_id());
    at::Tensor terms;
    if (sedd) {
      out["score_entropy"] = score_entropy(output, x0, levels.sigma).masked_fill(~hidden, 0);
      terms = out["loss_terms"] = levels.rate * out["score_entropy"];
    } else {
      const at::Tensor own = output.gather(2, x0.unsqueeze(2)).squeeze(2).to(at::kDouble);
      const at::Tensor weight = levels.rate / levels.sigma.expm1();
      terms = out["nelbo_terms"] = (own.neg() * weight).masked_fill(~hidden, 0);
    }
    add_losses(model, inputs, terms, out);
  }
  for (auto& [name, tensor] : out) tensor = tensor.to(at::kFloat);
  return out;
}

}  // namespace dlm
