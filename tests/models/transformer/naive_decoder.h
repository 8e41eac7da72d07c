// GPT-2, Llama and Qwen2 as plain loops in double over a checkpoint folder: slow, short, and
// written from the papers and the tensor names alone. The oracle of the tests here; F32 checkpoints
// only.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "harness/base/json.h"

namespace dlm::testing {

using Vector = std::vector<double>;
using Matrix = std::vector<Vector>;

class NaiveDecoder {
 public:
  explicit NaiveDecoder(const std::string& folder);

  // After the final norm, one row per id.
  Matrix hidden(const std::vector<std::int64_t>& ids) const;

  Matrix logits(const std::vector<std::int64_t>& ids) const;

  // -log p(ids[i] | ids[0..i)) for i = 1 ...
  Vector nll(const std::vector<std::int64_t>& ids) const;

 private:
  const Vector& tensor(const std::string& name) const;

  bool has(const std::string& name) const { return tensors_.contains(name); }

  // x W^T + b; GPT-2 stores W transposed. No bias tensor, no bias.
  Vector linear(const std::string& name, const Vector& x) const;
  Vector norm(const std::string& name, const Vector& x) const;
  Vector mlp(const std::string& block, const Vector& x) const;
  Matrix attention(const std::string& block, const Matrix& x, std::int64_t layer) const;
  Vector rotated(const Vector& head, std::size_t position) const;
  double frequency(std::size_t pair) const;

  bool gpt2_ = false;
  std::size_t heads_ = 0, kv_heads_ = 0, head_dim_ = 0, vocab_size_ = 0;
  std::int64_t layers_ = 0;
  double eps_ = 0;
  std::string config_text_;
  std::map<std::string, Vector> tensors_;
};

}  // namespace dlm::testing
