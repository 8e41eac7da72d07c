// ADJUST layers with random weights for any base that shows its hidden states.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include <ATen/core/Tensor.h>

#include "models/adjust_layer.h"

namespace dlm::testing {

// For `base`: 2 heads, 1 key head, an inner width that is not the base's, biases of q, k, v.
AdjustConfig random_adjust_config(const BlockDenoiser& base, const std::string& base_sha256);

// Norms near 1, the post norm's weights `post_norm`, all else normal with deviation 0.3; f32.
std::map<std::string, at::Tensor> random_adjust_tensors(const AdjustConfig& config,
                                                        double post_norm);

std::unique_ptr<AdjustLayer> random_adjust_layer(const BlockDenoiser& base, double post_norm);

// folder/config.json and folder/model.safetensors.
void write_adjust_folder(const std::string& folder, const AdjustConfig& config,
                         const std::map<std::string, at::Tensor>& tensors);

}  // namespace dlm::testing
