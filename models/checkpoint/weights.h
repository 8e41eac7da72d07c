// Hands a checkpoint's tensors to a model by name, and refuses what does not fit.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>

#include <ATen/core/Tensor.h>

#include "models/checkpoint/checkpoint.h"

namespace dlm {

// Taking every tensor a model needs, then finish(), proves that the checkpoint and the model agree.
class Weights {
 public:
  // Names are looked up as `prefix` + name. The prefix may be detected by the model (e.g.
  // "transformer." or ""). Keeps a reference: the checkpoint must outlive this object (the tensors
  // taken need neither).
  Weights(const Checkpoint& checkpoint, std::string prefix);

  bool has(const std::string& name) const;

  // A read-only tensor over the mapped bytes, in the checkpoint's dtype, see as_tensor; shape -1 is
  // free. Throws DataError naming the tensor where it is missing (with the nearest name there is)
  // or misshaped, or not a floating type.
  at::Tensor take(const std::string& name, std::initializer_list<std::int64_t> shape);

  // Marks tensors that the model does not use and that are known to be harmless (causal-mask
  // buffers, tied heads). Asked with full names, prefix included.
  void ignore(const std::function<bool(std::string_view name)>& harmless);

  // Throws DataError naming the first five tensors that nobody took or ignored, and their count.
  void finish() const;

 private:
  const TensorView& find(const std::string& full_name) const;

  const Checkpoint& checkpoint_;
  std::string prefix_;
  std::set<std::string> used_;
};

// An owning copy in `dtype`, contiguous, rounded to nearest even. Throws DataError naming `name`
// and the first offending flat index where a value is NaN, infinite, or too large for `dtype`;
// InternalError where only one of the two dtypes is a floating type. The one place where weights
// are read from disk: in parallel, and pages of the map are given back as soon as they are copied,
// so that a model never stands in memory twice.
at::Tensor materialise(const at::Tensor& mapped, at::ScalarType dtype, const std::string& name);

// For a tensor that stays in the mapped file: throws DataError as materialise where a value is not
// finite, and gives the pages that it read back.
void check_finite(const at::Tensor& mapped, const std::string& name);

// The mapped view as a read-only at::Tensor without copy (writing to it is a segmentation fault);
// keeps the file mapped. Only a tensor that its file does not align to its element is copied.
// Throws DataError where a BOOL is neither 0 nor 1.
at::Tensor as_tensor(const TensorView& view);

// The file that a tensor of as_tensor, or a view of one, lies in; null where memory is its own.
const MappedFile* mapped_file(const at::Tensor& tensor);

// A tensor for write_safetensors, which must outlive the result. Throws InternalError where it is
// not contiguous, not on the CPU, or of a dtype that the format lacks.
TensorToWrite as_tensor_to_write(const at::Tensor& contiguous_cpu);

at::ScalarType scalar_type(Dtype dtype);
Dtype dtype_of(at::ScalarType type);  // the reverse; throws InternalError where there is none

}  // namespace dlm
