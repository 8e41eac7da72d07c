// The diffusion transformer written plainly, in f64, as the papers give it: dense attention with a
// boolean mask, nothing folded, nothing kept; libtorch can differentiate it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace dlm::testing {

// f64, by the parameters' names without "backbone.".
using NamedTensors = std::map<std::string, at::Tensor>;

class NaiveNetwork {
 public:
  // May query row q see key row k?
  using Sees = std::function<bool(std::int64_t q, std::int64_t k)>;

  // `weights` must outlive it.
  NaiveNetwork(const NamedTensors& weights, std::int64_t heads)
      : weights_(weights), heads_(heads) {}

  // Logits (length, V) of the first `length` rows of `ids`; row r has position r mod length.
  at::Tensor logits(const std::vector<std::int64_t>& ids, std::int64_t length, double sigma,
                    const Sees& sees);

 private:
  struct Parts {
    at::Tensor shift, scale, gate;
  };

  bool has(const std::string& name) const { return weights_.contains(name); }

  at::Tensor weight(const std::string& name) const { return weights_.at(name); }

  at::Tensor make_condition(double sigma) const;
  Parts modulation(const std::string& name, std::int64_t first) const;
  at::Tensor rotated(const at::Tensor& x) const;
  at::Tensor attention(const at::Tensor& qkv) const;
  at::Tensor block(const at::Tensor& x, const std::string& name) const;

  const NamedTensors& weights_;
  std::int64_t heads_;
  std::int64_t length_ = 0;
  at::Tensor condition_;  // where there is modulation
  at::Tensor hidden_;     // (rows, rows) bool
};

}  // namespace dlm::testing
