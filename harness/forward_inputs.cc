#include "harness/forward_inputs.h"

#include "harness/base/error.h"
#include "models/checkpoint/weights.h"

namespace dlm {
namespace {

std::string shape_text(const at::Tensor& tensor) {
  return fmt::format("{} of shape ({})", c10::toString(tensor.scalar_type()),
                     fmt::join(tensor.sizes(), ", "));
}

bool is_whole(at::ScalarType type) {
  return type == at::kLong || type == at::kInt || type == at::kBool || type == at::kByte;
}

}  // namespace

ForwardInputs::ForwardInputs(const std::string& path) : path_(path) {
  for (const TensorView& view : open_safetensors(path)) tensors_[view.name] = as_tensor(view);
}

at::Tensor ForwardInputs::ids(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end())
    throw DataError(path_, -1, fmt::format("a tensor '{}'", name), "none");
  const at::Tensor& tensor = found->second;
  if (tensor.dim() != 2 || !is_whole(tensor.scalar_type()) || tensor.numel() == 0)
    throw DataError(path_, -1, fmt::format("'{}' as whole numbers of shape (B, L)", name),
                    shape_text(tensor));
  return tensor.to(at::kLong).contiguous();
}

at::Tensor ForwardInputs::ids_like(const std::string& name, const at::Tensor& like) const {
  const at::Tensor tensor = ids(name);
  if (tensor.sizes() != like.sizes())
    throw DataError(path_, -1, fmt::format("'{}' of {}", name, shape_text(like)),
                    shape_text(tensor));
  return tensor;
}

at::Tensor ForwardInputs::values(const std::string& name, std::int64_t batch) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end())
    throw DataError(path_, -1, fmt::format("a tensor '{}'", name), "none");
  const at::Tensor& tensor = found->second;
  const bool fits = (tensor.dim() == 1 || tensor.dim() == 2) && tensor.size(0) == batch &&
                    tensor.numel() > 0 && tensor.is_floating_point();
  if (!fits)
    throw DataError(path_, -1,
                    fmt::format("'{}' as numbers of shape ({}) or ({}, L)", name, batch, batch),
                    shape_text(tensor));
  return (tensor.dim() == 1 ? tensor.unsqueeze(1) : tensor).to(at::kDouble);
}

std::vector<double> ForwardInputs::per_sequence(const std::string& name, std::int64_t batch) const {
  const at::Tensor first = values(name, batch).select(1, 0).contiguous();
  const auto* data = first.const_data_ptr<double>();
  return {data, data + batch};
}

at::Tensor ForwardInputs::per_token(const std::string& name, const at::Tensor& like) const {
  const at::Tensor all = values(name, like.size(0));
  if (all.size(1) != 1 && all.size(1) != like.size(1))
    throw DataError(path_, -1, fmt::format("'{}' of length 1 or {}", name, like.size(1)),
                    shape_text(all));
  return all.expand(like.sizes()).contiguous();
}

}  // namespace dlm
