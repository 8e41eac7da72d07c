// load_dit and load_dit_autoregressive.
#include <memory>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "models/dit.h"
#include "models/transformer/decoder_model.h"
#include "models/transformer/inference_scope.h"

namespace dlm {
namespace {

ModelInfo dit_info(const Dit& dit, const Json& config, const std::string& where,
                   const ModelOptions& options) {
  ModelInfo info = decoder_info(dit.decoder, config, where);
  info.family = dit_model_type(config, where);
  info.hidden_size = dit.config.shape.width;
  info.dtype = options.dtype;
  return info;
}

}  // namespace

std::unique_ptr<DitModel> load_dit(const Checkpoint& checkpoint, const ModelOptions& options) {
  const InferenceScope scope;
  const std::string where = checkpoint.folder + "/config.json";
  const Json json = parse_json(checkpoint.config_json, where);
  const DitConfig config = parse_dit_config(json, options, where);
  if (config.causal)
    throw ConfigError(where + ": causal", "true", "false; this is an autoregressive model");
  Dit dit = load_dit_network(checkpoint, config, resolve_compute(options));
  ModelInfo info = dit_info(dit, json, where, options);
  info.is_bound = true;
  return std::make_unique<DitModel>(
      std::move(dit), std::move(info),
      options.any_block_size ? BlockSizes::kAny : BlockSizes::kTrained);
}

std::unique_ptr<AutoregressiveModel> load_dit_autoregressive(const Checkpoint& checkpoint,
                                                             const ModelOptions& options) {
  const InferenceScope scope;
  const std::string where = checkpoint.folder + "/config.json";
  const Json json = parse_json(checkpoint.config_json, where);
  const DitConfig config = parse_dit_config(json, options, where);
  if (!config.causal)
    throw ConfigError(where + ": causal", "false", "true; this is a denoiser");
  Dit dit = load_dit_network(checkpoint, config, resolve_compute(options));
  ModelInfo info = dit_info(dit, json, where, options);
  return std::make_unique<DecoderModel>(std::move(dit.decoder), std::move(info));
}

}  // namespace dlm
