// `forward`: what a network computes on given ids, as tensors; for parity checks and for other
// programs.
#include <cmath>
#include <map>
#include <string>

#include <ATen/core/Tensor.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros.h>

#include "harness/base/error.h"
#include "harness/base/log.h"
#include "harness/cli.h"
#include "harness/commands/command.h"
#include "harness/data_root.h"
#include "harness/model_loading.h"
#include "models/checkpoint/weights.h"
#include "models/runtime.h"

namespace dlm {
namespace {

constexpr const char* kText =
    "Reads `input_ids` (B, L) int64 and, where rows differ in length, `attention_mask` (B, L) with "
    "1 = real token\n"
    "(right padding) from a safetensors file; writes\n"
    "  logits       (B, L, V) f32   next-token logits; 0 at padding\n"
    "  nll          (B, L-1)  f32   nll[b,i] = -log p(ids[b,i+1] | ids[b,:i+1]) in nats; 0 at "
    "padding\n"
    "  last_hidden  (B, L, D) f32   after the final norm; only where the model has hidden "
    "states\n\n"
    "  dlmbench forward --model gpt2/ --inputs ids.safetensors --outputs out.safetensors";

struct Inputs {
  at::Tensor ids;                     // (B, L) int64
  std::vector<std::int64_t> lengths;  // (B)
};

at::Tensor two_dimensional(const at::Tensor& tensor, const std::string& path, const char* name) {
  const bool whole = tensor.scalar_type() == at::kLong || tensor.scalar_type() == at::kInt ||
                     tensor.scalar_type() == at::kBool || tensor.scalar_type() == at::kByte;
  if (tensor.dim() != 2 || !whole) {
    throw DataError(path, -1, fmt::format("'{}' as whole numbers of shape (B, L)", name),
                    fmt::format("{} dimensions", tensor.dim()));
  }
  return tensor.to(at::kLong);
}

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

Inputs read_inputs(const std::string& path) {
  std::map<std::string, TensorView> views;
  for (TensorView& view : open_safetensors(path)) views.emplace(view.name, view);
  if (!views.contains("input_ids"))
    throw DataError(path, -1, "a tensor 'input_ids'", "none");
  Inputs inputs;
  inputs.ids = two_dimensional(as_tensor(views.at("input_ids")), path, "input_ids");
  if (inputs.ids.numel() == 0)
    throw DataError(path, -1, "at least one id", "an empty 'input_ids'");
  const at::Tensor mask =
      views.contains("attention_mask")
          ? two_dimensional(as_tensor(views.at("attention_mask")), path, "attention_mask")
          : at::ones_like(inputs.ids);
  if (mask.sizes() != inputs.ids.sizes()) {
    throw DataError(path, -1, "'attention_mask' of the shape of 'input_ids'", "another shape");
  }
  inputs.lengths = row_lengths(mask, path);
  return inputs;
}

// (B, L-1) from logits (B, L, V); 0 where the target is padding.
at::Tensor nll_of(const at::Tensor& logits, const Inputs& inputs) {
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

void check_finite(const at::Tensor& values, const char* name) {
  const double sum = values.to(at::kDouble).sum().item<double>();
  if (!std::isfinite(sum))
    throw ConfigError("model", name, "the network gave NaN or infinity");
}

}  // namespace

int forward_command(const Arguments& args) {
  CommandOptions cli("forward --model M --inputs A.safetensors --outputs B.safetensors", kText);
  cli.value("inputs", "safetensors file with input_ids")
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
  const Inputs inputs = read_inputs(options->get("inputs", ""));
  const auto model = load_network(resolve_data_path(spec.model), model_options(spec));

  std::map<std::string, at::Tensor> tensors;
  tensors["logits"] = model->logits(inputs.ids, inputs.lengths);
  check_finite(tensors["logits"], "logits");
  tensors["nll"] = nll_of(tensors["logits"], inputs);
  if (model->info().hidden_size > 0) {
    tensors["last_hidden"] = model->hidden_states(inputs.ids, inputs.lengths);
  }
  std::map<std::string, TensorToWrite> to_write;
  for (auto& [name, tensor] : tensors) {
    tensor = tensor.contiguous();
    to_write[name] = as_tensor_to_write(tensor);
  }
  write_safetensors(out_path, to_write);
  log_info("wrote {} tensors to {}", to_write.size(), out_path);
  return kExitOk;
}

}  // namespace dlm
