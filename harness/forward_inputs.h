// The tensors that `forward` is given, checked.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace dlm {

class ForwardInputs {
 public:
  // Throws DataError for what is not a safetensors file.
  explicit ForwardInputs(const std::string& path);

  bool has(const std::string& name) const { return tensors_.contains(name); }

  // (B, L) int64, not empty. Throws DataError where it is missing, or of another kind or shape.
  at::Tensor ids(const std::string& name) const;

  // ids(name), of the shape of `like`.
  at::Tensor ids_like(const std::string& name, const at::Tensor& like) const;

  // One value per sequence, from (B), (B, 1) or (B, L), of which the first column counts. Throws
  // DataError for another shape.
  std::vector<double> per_sequence(const std::string& name, std::int64_t batch) const;

  // (B, L) f64 from (B), (B, 1) or (B, L).
  at::Tensor per_token(const std::string& name, const at::Tensor& like) const;

  const std::string& path() const { return path_; }

 private:
  at::Tensor values(const std::string& name, std::int64_t batch) const;

  std::string path_;
  std::map<std::string, at::Tensor> tensors_;
};

using NamedTensors = std::map<std::string, at::Tensor>;

}  // namespace dlm
