#include "tests/models/dit/naive_dit.h"

#include <ATen/ops/log_softmax.h>

#include "models/checkpoint/weights.h"
#include "tests/models/dit/naive_network.h"

namespace dlm::testing {
namespace {

NamedTensors weights_of(const std::string& folder) {
  const Checkpoint checkpoint = Checkpoint::open(folder);
  const std::string prefix = "backbone.";
  NamedTensors weights;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    const std::string bare = name.starts_with(prefix) ? name.substr(prefix.size()) : name;
    weights[bare] = as_tensor(tensor).to(at::kDouble);
  }
  return weights;
}

}  // namespace

bool two_stream_allowed(std::int64_t q, std::int64_t k, std::int64_t length,
                        std::int64_t block_size) {
  const bool clean_q = q >= length;
  const bool clean_k = k >= length;
  const std::int64_t block_q = (q % length) / block_size;
  const std::int64_t block_k = (k % length) / block_size;
  const bool own = clean_q == clean_k && block_q == block_k;
  const bool earlier = !clean_q && clean_k && block_q > block_k;
  const bool causal = clean_q && clean_k && block_q >= block_k;
  return own || earlier || causal;
}

at::Tensor naive_dit_logits(const std::string& folder, const NaiveInput& input) {
  const NamedTensors weights = weights_of(folder);
  const auto length = std::ssize(input.x_t);
  std::vector<std::int64_t> ids = input.x_t;
  ids.insert(ids.end(), input.x_0.begin(), input.x_0.end());
  return NaiveNetwork(weights, input.heads)
      .logits(ids, length, input.sigma, [&](std::int64_t q, std::int64_t k) {
        return input.x_0.empty() || two_stream_allowed(q, k, length, input.block_size);
      });
}

double naive_subs_term(const at::Tensor& logits, std::int64_t row, std::int64_t target) {
  const at::Tensor kept = logits.select(0, row).narrow(0, 0, logits.size(1) - 1);
  return -at::log_softmax(kept, 0).select(0, target).item().toDouble();
}

}  // namespace dlm::testing
