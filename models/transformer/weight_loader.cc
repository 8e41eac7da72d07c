#include "models/transformer/weight_loader.h"

#include <vector>

#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>

#include <malloc.h>

#include "harness/base/log.h"

namespace dlm {

WeightLoader::WeightLoader(const Checkpoint& checkpoint, const Compute& compute)
    : checkpoint_(checkpoint), compute_(compute), weights_(checkpoint, "") {}

at::Tensor WeightLoader::tensor(const std::string& name,
                                std::initializer_list<std::int64_t> shape) {
  const at::Tensor mapped = weights_.take(name, shape);
  parameters_ += mapped.numel();
  if (compute_.backend == LinearBackend::kMapped && mapped.dim() == 2 &&
      mapped.scalar_type() == compute_.dtype)
    return mapped;
  return materialise(mapped, compute_.dtype, name).to(compute_.device);
}

at::Tensor WeightLoader::table(const std::string& name, std::initializer_list<std::int64_t> shape,
                               at::ScalarType dtype) {
  const at::Tensor mapped = weights_.take(name, shape);
  parameters_ += mapped.numel();
  if (compute_.device.is_cpu() && mapped.scalar_type() == dtype) {
    check_finite(mapped, name);
    return mapped;
  }
  return materialise(mapped, dtype, name).to(compute_.device);
}

Linear WeightLoader::linear(std::span<const LinearPart> parts, std::int64_t inputs, BiasKind bias) {
  std::vector<at::Tensor> weights;
  std::vector<at::Tensor> biases;
  for (const LinearPart& part : parts) {
    weights.push_back(tensor(part.name + ".weight", {part.outputs, inputs}));
    if (bias == BiasKind::kPresent)
      biases.push_back(tensor(part.name + ".bias", {part.outputs}));
  }
  const auto join = [](const std::vector<at::Tensor>& tensors) {
    return tensors.size() == 1 ? tensors.front() : at::cat(tensors, 0);
  };
  return make_linear(join(weights), biases.empty() ? at::Tensor() : join(biases), compute_.backend);
}

Linear WeightLoader::linear(const LinearPart& part, std::int64_t inputs, BiasKind bias) {
  return linear(std::span(&part, 1), inputs, bias);
}

Linear WeightLoader::conv1d(const std::string& name, std::int64_t inputs, std::int64_t outputs) {
  const at::Tensor weight = tensor(name + ".weight", {inputs, outputs});
  return make_linear(weight.t(), tensor(name + ".bias", {outputs}), compute_.backend);
}

Norm WeightLoader::norm(const std::string& name, std::int64_t width, NormKind kind, double eps) {
  Norm norm;
  norm.kind = kind;
  norm.eps = eps;
  norm.weight = tensor(name + ".weight", {width});
  if (kind == NormKind::kLayer)
    norm.bias = tensor(name + ".bias", {width});
  return norm;
}

Linear WeightLoader::head(const std::string& name, const std::string& embedding_name,
                          const at::Tensor& embedding, bool tied) {
  bool own = !tied;
  if (tied && weights_.has(name)) {
    const auto shape = {embedding.size(0), embedding.size(1)};
    own = !at::equal(weights_.take(name, shape), weights_.take(embedding_name, shape));
    if (own) {
      log_warning(fmt::format("{}: {} differs from {} though config.json ties them; it is used",
                              checkpoint_.folder, name, embedding_name));
    }
  }
  const at::Tensor weight = own ? tensor(name, {embedding.size(0), embedding.size(1)}) : embedding;
  return make_linear(weight, at::Tensor(), compute_.backend);
}

void WeightLoader::ignore(const std::function<bool(std::string_view name)>& harmless) {
  weights_.ignore(harmless);
}

void WeightLoader::end_block() const {
  malloc_trim(0);
}

}  // namespace dlm
