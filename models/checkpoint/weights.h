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
  // "transformer." or "").
  Weights(const Checkpoint& checkpoint, std::string prefix);

  bool has(const std::string& name) const;

  // A read-only tensor over the mapped bytes, in the checkpoint's dtype, with no copy; shape -1 is
  // free. Throws DataError naming the tensor where it is missing or misshaped, or not a floating
  // type.
  at::Tensor take(const std::string& name, std::initializer_list<std::int64_t> shape);

  // Marks tensors that the model does not use and that are known to be harmless (causal-mask
  // buffers, tied heads).
  void ignore(const std::function<bool(std::string_view name)>& harmless);

  // Throws DataError naming the first tensors that nobody took or ignored.
  void finish() const;

 private:
  const Checkpoint& checkpoint_;
  std::string prefix_;
  std::set<std::string> used_;
};

// An owning copy in `dtype`, contiguous; throws DataError naming `name` and the first offending
// index where a value is NaN or infinite. The one place where weights are read from disk, in
// parallel.
at::Tensor materialise(const at::Tensor& mapped, at::ScalarType dtype, const std::string& name);

// The mapped view as an at::Tensor without copy (any dtype), and the reverse for writing.
at::Tensor as_tensor(const TensorView& view);
TensorToWrite as_tensor_to_write(const at::Tensor& contiguous_cpu);
at::ScalarType scalar_type(Dtype dtype);

}  // namespace dlm
