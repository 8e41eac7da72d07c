// `forward`: what a network computes on given ids, as tensors; for parity checks and for other
// programs.
#include <cmath>
#include <map>
#include <string>

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros.h>

#include "harness/base/error.h"
#include "harness/base/log.h"
#include "harness/cli.h"
#include "harness/commands/command.h"
#include "harness/data_root.h"
#include "harness/forward_diffusion.h"
#include "harness/forward_inputs.h"
#include "harness/forward_whole_text.h"
#include "harness/model_loading.h"
#include "models/checkpoint/weights.h"
#include "models/dit.h"
#include "models/factory.h"
#include "models/runtime.h"

namespace dlm {
namespace {

constexpr const char* kText =
    "Reads tensors from a safetensors file and writes what the network computes on them. Others "
    "in the file are ignored.\n\n"
    "Autoregressive: input_ids (B, L) int64 and, where rows differ in length, attention_mask "
    "(B, L) with 1 = real token\n"
    "(right padding). Written:\n"
    "  logits       (B, L, V) f32   next-token logits; 0 at padding\n"
    "  nll          (B, L-1)  f32   nll[b,i] = -log p(ids[b,i+1] | ids[b,:i+1]) in nats; 0 at "
    "padding\n"
    "  last_hidden  (B, L, D) f32   after the final norm; only where the model has hidden "
    "states\n"
    "With x0 (B, L) instead of input_ids: logits, log_probs (B, L-1, V), nlls (B, L-1) and loss "
    "(1) of x0[:, 1:] given\n"
    "x0[:, :-1].\n\n"
    "Diffusion: xt (B, L) int64, noisy tokens; x0 (B, L), clean ones; t (B), (B, 1) or (B, L), "
    "noise levels; sigma (B),\n"
    "what the network is told; attention_mask. All but xt may be absent. Written:\n"
    "  logits       (B, L, V) f32   as published, mask column included\n"
    "  log_probs    (B, L, V) f32   after SUBS; for score entropy log_score instead\n"
    "  nelbo_terms  (B, L)    f32   -log p(x0) w(t) at hidden positions, nats; for score entropy "
    "score_entropy, loss_terms\n"
    "  nlls, loss                   the terms under the attention mask, token 0 cleared, and "
    "their mean\n\n"
    "Dream and LLaDA: input_ids (B, L), tokens with masks; attention_mask (B, L), 0 = padding on "
    "the "
    "left. Written:\n"
    "  logits, last_hidden          as above; Dream's logits at i are of token i + 1\n"
    "  logits_shifted (B, L, V) f32 Dream: logits[i - 1], what samplers use for token i\n"
    "or x0 (B, L), clean, and xt (B, L), with masks; p_mask (B), the chance of a mask; guidance "
    "(1)\n"
    "and prompt (1, P). Written:\n"
    "  nelbo_terms (B, L) f32       -log p(x0) / p_mask at hidden positions, nats\n"
    "  loss (1)                     mean over rows of their sums: minus the published "
    "log-likelihood\n\n"
    "  dlmbench forward --model gpt2/ --inputs ids.safetensors --outputs out.safetensors\n"
    "  dlmbench forward --model bd3lm-owt-block_size4/ --inputs noisy.safetensors --outputs "
    "out.safetensors";

// The length of each row of a 0/1 mask that must be ones followed by zeros.
std::vector<std::int64_t> row_lengths(const at::Tensor& mask, const std::string& path) {
  std::vector<std::int64_t> lengths;
  for (std::int64_t b = 0; b < mask.size(0); ++b) {
    const std::int64_t ones = mask[b].sum().item<std::int64_t>();
    if (ones < 1 || mask[b].narrow(0, 0, ones).min().item<std::int64_t>() != 1) {
      throw DataError(path, -1, "'attention_mask' rows of ones, then zeros",
                      fmt::format("another pattern in row {}", b));
    }
    lengths.push_back(ones);
  }
  return lengths;
}

struct Rows {
  at::Tensor ids;                     // (B, L) int64
  std::vector<std::int64_t> lengths;  // (B)
};

Rows read_rows(const ForwardInputs& inputs) {
  Rows rows;
  rows.ids = inputs.ids("input_ids");
  const at::Tensor mask = inputs.has("attention_mask") ? inputs.ids_like("attention_mask", rows.ids)
                                                       : at::ones_like(rows.ids);
  rows.lengths = row_lengths(mask, inputs.path());
  return rows;
}

// (B, L-1) from logits (B, L, V); 0 where the target is padding.
at::Tensor nll_of(const at::Tensor& logits, const Rows& inputs) {
  const std::int64_t length = inputs.ids.size(1);
  at::Tensor nll = at::zeros({inputs.ids.size(0), length - 1});
  for (std::int64_t b = 0; b < inputs.ids.size(0); ++b) {
    const std::int64_t targets = inputs.lengths[static_cast<std::size_t>(b)] - 1;
    if (targets < 1)
      continue;
    constexpr std::int64_t kNoReduction = 0;
    nll[b]
        .narrow(0, 0, targets)
        .copy_(at::cross_entropy_loss(logits[b].narrow(0, 0, targets),
                                      inputs.ids[b].narrow(0, 1, targets), {}, kNoReduction));
  }
  return nll;
}

NamedTensors forward_autoregressive(const AutoregressiveModel& model, const Rows& rows) {
  NamedTensors tensors;
  tensors["logits"] = model.logits(rows.ids, rows.lengths);
  tensors["nll"] = nll_of(tensors["logits"], rows);
  if (model.info().hidden_size > 0)
    tensors["last_hidden"] = model.hidden_states(rows.ids, rows.lengths);
  return tensors;
}

// x0 (B, L): the autoregressive baseline as the block diffusion repository computes it. Source:
// bd3lms diffusion.py _loss.
NamedTensors forward_baseline(const AutoregressiveModel& model, const ForwardInputs& inputs) {
  const at::Tensor x0 = inputs.ids("x0");
  const std::int64_t length = x0.size(1) - 1;
  if (length < 1)
    throw DataError(inputs.path(), -1, "'x0' with at least two tokens", "one");
  NamedTensors tensors;
  const std::vector<std::int64_t> lengths(static_cast<std::size_t>(x0.size(0)), length);
  tensors["logits"] = model.logits(x0.narrow(1, 0, length).contiguous(), lengths);
  tensors["log_probs"] = at::log_softmax(tensors["logits"], 2);
  const at::Tensor next = x0.narrow(1, 1, length);
  const at::Tensor mask = inputs.has("attention_mask")
                              ? inputs.ids_like("attention_mask", x0).narrow(1, 1, length)
                              : at::ones_like(next);
  const at::Tensor weight = mask.to(at::kDouble);
  const at::Tensor nlls =
      tensors["log_probs"].gather(2, next.unsqueeze(2)).squeeze(2).to(at::kDouble).neg() * weight;
  tensors["nlls"] = nlls.to(at::kFloat);
  tensors["loss"] = (nlls.sum() / weight.sum()).view({1}).to(at::kFloat);
  return tensors;
}

NamedTensors compute(const RunSpec& spec, const ForwardInputs& inputs) {
  const std::string folder = resolve_data_path(spec.model);
  const ModelOptions options = model_options(spec);
  if (is_denoiser_folder(folder)) {
    const auto denoiser = load_denoiser(folder, options);
    if (const auto* whole = dynamic_cast<const CanvasModel*>(denoiser.get()))
      return forward_whole_text(*whole, inputs);
    return forward_diffusion(dynamic_cast<const DitModel&>(*denoiser), inputs);
  }
  const auto model = load_network(folder, options);
  if (!inputs.has("input_ids") && inputs.has("x0"))
    return forward_baseline(*model, inputs);
  return forward_autoregressive(*model, read_rows(inputs));
}

void check_output(const at::Tensor& values, const std::string& name) {
  const double sum = values.to(at::kDouble).sum().item<double>();
  if (!std::isfinite(sum))
    throw ConfigError("model", name, "the network gave NaN or infinity");
}

}  // namespace

int forward_command(const Arguments& args) {
  CommandOptions cli("forward --model M --inputs A.safetensors --outputs B.safetensors", kText);
  cli.value("inputs", "safetensors file with the tensors above")
      .value("outputs", "safetensors file to write");
  cli.fields(SpecPart::kModel);
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  const RunSpec spec = spec_from(*options);
  for (const char* name : {"inputs", "outputs"}) {
    if (!options->has(name))
      throw ConfigError(name, "", "is needed: a safetensors file");
  }
  if (spec.model.empty())
    throw ConfigError("model", "", "is needed: a model folder or exact:WORLD");
  const std::string out_path = options->get("outputs", "");
  if (file_exists(out_path))
    throw ConfigError("outputs", out_path, "exists; name a new file");
  set_threads(spec.threads);
  NamedTensors tensors = compute(spec, ForwardInputs(options->get("inputs", "")));
  std::map<std::string, TensorToWrite> to_write;
  for (auto& [name, tensor] : tensors) {
    check_output(tensor, name);
    tensor = tensor.cpu().contiguous();
    to_write[name] = as_tensor_to_write(tensor);
  }
  write_safetensors(out_path, to_write);
  log_info("wrote {} tensors to {}", to_write.size(), out_path);
  return kExitOk;
}

}  // namespace dlm
