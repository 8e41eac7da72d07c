// What a diffusion transformer is: config.json of the published forms, checked.
#pragma once

#include <cstdint>
#include <string>

#include "harness/base/json.h"
#include "models/model_options.h"
#include "models/transformer/decoder.h"

namespace dlm {

// What the network's output means. kSubs: logits of the clean token, the mask excluded. kSedd: log
// ratios of probabilities (score entropy).
enum class DitParameterization { kSubs, kSedd };

// sigma of a noise level t, which is also the chance of being masked (noise.h).
enum class NoiseConvention { kClipped, kSmoothed };

struct DitConfig {
  DecoderShape shape;  // V counts the mask
  std::int64_t cond_dim = 128;
  std::int64_t block_size = 0;     // L' of training; the model's length where the config has none
  bool causal = false;             // the autoregressive form: no conditioning, no mask
  bool cross_attention = true;     // blocks see the clean blocks before them
  bool adaln = true;               // shift, scale and gate from the noise level
  bool time_conditioning = false;  // else the noise level is replaced by 0, a constant
  std::int64_t mask_id = 0;
  DitParameterization parameterization = DitParameterization::kSubs;
  NoiseConvention noise = NoiseConvention::kClipped;
  bool scale_by_sigma = true;  // kSedd: log-score = output - ln(expm1 sigma) - ln(V - 1)
};

// Reads a BD3LMConfig ("bd3lm"), an MDLMConfig ("mdlm"), or the hydra configuration that the score
// entropy repository publishes (no model_type; tokens, graph, noise, model). Keys that are missing
// have the defaults of the published class, block_size that of the length, mask_token_id V - 1.
//
// No config.json says what the output means. With parameterization "auto" it is sedd for the hydra
// form and for a bd3lm that is time-conditioned without clean context and without var_min, as only
// algo/sedd.yaml has it; else subs. With noise "auto" it is smoothed for "mdlm" and the hydra form,
// else clipped. Source: bd3lms models/hf/configuration_bd3lm.py, configs/algo/*.yaml;
// Score-Entropy-Discrete-Diffusion configs/config.yaml.
//
// Throws DataError for a field that is missing or of the wrong kind, ConfigError for what is not
// supported and for unknown option names.
DitConfig parse_dit_config(const Json& config, const ModelOptions& options,
                           const std::string& where);

// The model_type of a config.json that load_denoiser knows by; "sedd" for the hydra form, which has
// none. Throws DataError where there is neither.
std::string dit_model_type(const Json& config, const std::string& where);

}  // namespace dlm
