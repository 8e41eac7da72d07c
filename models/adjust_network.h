// The weights of an ADJUST layer, their file, and one pass. How a sampler uses it: adjust_layer.h.
//
// Shape legend: N packed positions, D the base's hidden width, V its vocabulary.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "harness/base/json.h"
#include "models/checkpoint/checkpoint.h"
#include "models/hidden_states.h"
#include "models/llama.h"
#include "models/transformer/decoder.h"
#include "models/transformer/linear.h"
#include "models/transformer/norm.h"
#include "models/transformer/packed_rows.h"

namespace dlm {

// config.json of a layer: "model_type": "adjust"; "base_weights_sha256" as
// Checkpoint::weights_sha256 of the base, 64 hex digits; "intermediate_size",
// "num_attention_heads" and "num_key_value_heads" where they are not the base's; "hidden_size", the
// base's, where given; "rms_norm_eps" (1e-6) and "rope_theta" (1e6) where given. "trained_passes":
// the passes K - 1 that one pass of the base was followed by in training, where given.
struct AdjustConfig {
  std::string base_sha256;
  LlamaConfig block;                // of one layer; its bias kinds are as the tensors say
  std::int64_t trained_passes = 0;  // 0 = the file does not say
};

// `base` is the shape of the network it is for. Throws ConfigError for another model_type,
// DataError for fields that are missing, of the wrong kind or do not fit the base.
AdjustConfig parse_adjust_config(const Json& config, const DecoderShape& base,
                                 const std::string& where);

// What parse_adjust_config reads back, every field said.
Json adjust_config_json(const AdjustConfig& config);

// Names and shapes of the tensors of model.safetensors: down_project.0.{weight (D, 2 D), bias},
// norm_embed.0.weight, norm_hidden.0.weight, norm_postattn.0.weight, and a layer's as Qwen2 names
// them below layers.0.0. (biases of q, k, v where config.block has them). Source: the layers that
// the authors of arXiv:2509.22738 publish.
std::map<std::string, std::vector<std::int64_t>> adjust_tensor_shapes(const AdjustConfig& config);

struct AdjustNetwork {
  AdjustConfig config;
  Decoder layer;  // one block; its embedding, final norm and head are not used
  Linear project;
  Norm norm_embed, norm_hidden, norm_postattn;
};

// Throws ConfigError where the layer was made for other weights than `base_sha256`, DataError for
// tensors that are missing, misshaped, not finite, or that nobody asked for.
AdjustNetwork load_adjust_network(const std::string& folder, const HiddenModel& base,
                                  const std::string& base_sha256);

// From tensors in memory, by their names; they are copied. Throws DataError naming one that is
// missing or misshaped.
AdjustNetwork make_adjust_network(const AdjustConfig& config,
                                  const std::map<std::string, at::Tensor>& tensors,
                                  const Compute& compute);

// One pass: states h (N, D) of the rows' positions -> the next ones,
//   z = block(project([norm_embed(e), norm_hidden(h)])), h' = norm_postattn(z) + h,
// e the base's embeddings of the rows' ids; each row attends to all of itself. h is not changed.
at::Tensor adjust_pass(const AdjustNetwork& network, const HiddenModel& base,
                       const PackedRows& rows, const at::Tensor& h);

// 2 x multiply-adds of such a pass, from shapes; the head is not part of it.
double adjust_flops(const AdjustNetwork& network, const PackedRows& rows);

}  // namespace dlm
