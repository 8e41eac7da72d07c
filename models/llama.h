// Llama checkpoints, and the decoder that Qwen2, Dream and LLaDA share with them: what differs from
// the shared decoder, and the tensor names.
#pragma once

#include <memory>
#include <string>

#include "harness/base/json.h"
#include "models/checkpoint/checkpoint.h"
#include "models/language_model.h"
#include "models/model_options.h"
#include "models/transformer/decoder.h"
#include "models/transformer/weight_loader.h"

namespace dlm {

struct LlamaConfig {
  DecoderShape shape;
  RotaryConfig rotary;
  double eps = 1e-6;
  BiasKind qkv_bias = BiasKind::kAbsent;
  BiasKind out_bias = BiasKind::kAbsent;
  BiasKind mlp_bias = BiasKind::kAbsent;
  bool tied = false;
};

// What the tensors are called, ".weight" and ".bias" left off. `layers` is followed by a number and
// a dot, then by the names of a layer's parts.
struct LlamaNames {
  std::string embedding = "model.embed_tokens";
  std::string final_norm = "model.norm";
  std::string head = "lm_head";
  std::string layers = "model.layers.";
  std::string attention_norm = "input_layernorm";
  std::string q = "self_attn.q_proj";
  std::string k = "self_attn.k_proj";
  std::string v = "self_attn.v_proj";
  std::string attention_out = "self_attn.o_proj";
  std::string mlp_norm = "post_attention_layernorm";
  std::string gate = "mlp.gate_proj";
  std::string up = "mlp.up_proj";
  std::string down = "mlp.down_proj";
};

// Where the families that use Llama's layout differ. config.json decides what is not fixed here.
struct LlamaDialect {
  std::string family;
  bool always_biases_qkv = false;  // Qwen2; otherwise attention_bias decides for q, k, v and o
  std::int64_t default_max_length = 2048;
};

// From a config.json (named by `where`) with the keys of transformers. Throws ConfigError for what
// is not supported, DataError for fields of another kind.
LlamaConfig parse_llama_config(const Json& config, const LlamaDialect& dialect,
                               const std::string& where);

// Takes the tensors of one layer.
DecoderBlock load_llama_block(WeightLoader& loader, const LlamaConfig& config,
                              const LlamaNames& names, std::int64_t layer);

// Takes every tensor of the checkpoint. Throws DataError for tensors that do not fit `config`.
Decoder load_llama_decoder(const Checkpoint& checkpoint, const LlamaConfig& config,
                           const LlamaNames& names, const Compute& compute);

// Names as the checkpoint has them, with or without "model." before them.
LlamaNames llama_names(const Checkpoint& checkpoint);

// Rotary positions (rope types default, linear and llama3), RMS norm, grouped key heads, gated SiLU
// MLP. Names with or without "model." before them. Throws ConfigError for a config.json that asks
// for what is not supported and DataError for tensors that do not fit it. Source: transformers
// modeling_llama.py, modeling_qwen2.py.
std::unique_ptr<AutoregressiveModel> load_llama_dialect(const Checkpoint& checkpoint,
                                                        const ModelOptions& options,
                                                        const LlamaDialect& dialect);

std::unique_ptr<AutoregressiveModel> load_llama(const Checkpoint& checkpoint,
                                                const ModelOptions& options);

}  // namespace dlm
