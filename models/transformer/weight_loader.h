// Takes a checkpoint's tensors as a network wants them: checked, in the compute dtype, packed for
// the linear back end.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include <ATen/core/Tensor.h>

#include "models/checkpoint/checkpoint.h"
#include "models/checkpoint/weights.h"
#include "models/transformer/compute.h"
#include "models/transformer/linear.h"
#include "models/transformer/norm.h"

namespace dlm {

enum class BiasKind { kAbsent, kPresent };

// Some of the outputs of a linear layer: the tensors `name`.weight (outputs, inputs) and
// `name`.bias.
struct LinearPart {
  std::string name;
  std::int64_t outputs = 0;
};

// Loading holds at most one layer's weights twice, so the peak is the weights plus the largest
// tensor. Every function throws DataError naming the tensor where
// it is missing, misshaped or holds a value that is not finite.
class WeightLoader {
 public:
  WeightLoader(const Checkpoint& checkpoint, const Compute& compute);

  bool has(const std::string& name) const { return weights_.has(name); }

  // An owning, contiguous tensor; with LinearBackend::kMapped a matrix may lie in the file.
  at::Tensor tensor(const std::string& name, std::initializer_list<std::int64_t> shape);

  // A table whose rows are looked up. Where dtype and device allow, it stays in the mapped file, so
  // that rows nobody asks for take no memory; the file must not be rewritten in place while the
  // model lives (one that is replaced keeps its old content).
  at::Tensor table(const std::string& name, std::initializer_list<std::int64_t> shape,
                   at::ScalarType dtype);

  // One layer whose outputs are those of the parts, in order.
  Linear linear(std::span<const LinearPart> parts, std::int64_t inputs, BiasKind bias);
  Linear linear(const LinearPart& part, std::int64_t inputs, BiasKind bias);

  // GPT-2's layer, `name`.weight stored (inputs, outputs), always with a bias.
  Linear conv1d(const std::string& name, std::int64_t inputs, std::int64_t outputs);

  // `name`.weight, and for kLayer `name`.bias.
  Norm norm(const std::string& name, std::int64_t width, NormKind kind, double eps);

  // The head: tensor `name` where the checkpoint has one that differs from the embedding, else the
  // embedding. With `tied`, a missing tensor is no error and a different one is used with a
  // warning, as transformers 5 does.
  Linear head(const std::string& name, const std::string& embedding_name,
              const at::Tensor& embedding, bool tied);

  void ignore(const std::function<bool(std::string_view name)>& harmless);

  // To be called after each block: gives the plain copies that packing left behind back to the
  // system. Without it malloc keeps them as holes, in all two thirds of the weights' size again.
  void end_block() const;

  // Refuses tensors that nobody took.
  void finish() const { weights_.finish(); }

  std::int64_t parameters() const { return parameters_; }

 private:
  const Checkpoint& checkpoint_;
  Compute compute_;
  Weights weights_;
  std::int64_t parameters_ = 0;
};

}  // namespace dlm
