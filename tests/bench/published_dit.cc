#include "tests/bench/published_dit.h"

#include <utility>

#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

#include "models/transformer/inference_scope.h"

namespace dlm::testing {
namespace {

constexpr std::int64_t kWidth = 768;
constexpr std::int64_t kHeads = 12;
constexpr std::int64_t kLayers = 12;

Linear random_linear(std::int64_t inputs, std::int64_t outputs, const Compute& compute) {
  const at::Tensor weight = at::randn({outputs, inputs}).mul_(0.02).to(compute.dtype);
  return make_linear(weight, at::zeros({outputs}, compute.dtype), compute.backend);
}

// Folded conditioning gives every norm a bias.
Norm unit_norm(const Compute& compute) {
  return {NormKind::kLayer, at::ones({kWidth}, compute.dtype), at::zeros({kWidth}, compute.dtype),
          1e-5};
}

}  // namespace

std::unique_ptr<DitModel> published_dit(std::int64_t block_size, const std::string& dtype) {
  const InferenceScope scope;
  ModelOptions options;
  options.dtype = dtype;
  Dit dit;
  dit.config.shape = {kPublishedVocabulary, kWidth,     kLayers,         kHeads, kHeads,
                      kWidth / kHeads,      4 * kWidth, kPublishedLength};
  dit.config.block_size = block_size;
  dit.config.mask_id = kPublishedVocabulary - 1;
  Decoder& decoder = dit.decoder;
  decoder.compute = resolve_compute(options);
  decoder.shape = dit.config.shape;
  const Compute& compute = decoder.compute;
  decoder.rotary = std::make_unique<RotaryTable>(RotaryConfig{.head_dim = kWidth / kHeads},
                                                 compute.dtype, compute.device);
  decoder.token_embedding = at::randn({kPublishedVocabulary, kWidth}).mul_(0.02).to(compute.dtype);
  for (std::int64_t layer = 0; layer < kLayers; ++layer) {
    DecoderBlock block;
    block.attention_norm = unit_norm(compute);
    block.qkv = random_linear(kWidth, 3 * kWidth, compute);
    block.attention_out = random_linear(kWidth, kWidth, compute);
    block.mlp_norm = unit_norm(compute);
    block.mlp.up = random_linear(kWidth, 4 * kWidth, compute);
    block.mlp.down = random_linear(4 * kWidth, kWidth, compute);
    decoder.blocks.push_back(std::move(block));
  }
  dit.last_keys = random_linear(kWidth, 2 * kWidth, compute);
  decoder.final_norm = unit_norm(compute);
  dit.head = split_head(at::randn({kPublishedVocabulary, kWidth}).mul_(0.02),
                        at::zeros({kPublishedVocabulary}), compute);
  ModelInfo info;
  info.family = "bd3lm";
  info.vocab_size = kPublishedVocabulary;
  info.max_length = kPublishedLength;
  return std::make_unique<DitModel>(std::move(dit), std::move(info), BlockSizes::kTrained);
}

}  // namespace dlm::testing
