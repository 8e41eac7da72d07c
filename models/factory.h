// A model by name or folder: the one table of what can be loaded.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/block_decoder.h"
#include "models/language_model.h"
#include "models/model_options.h"
#include "models/tokenizer/tokenizer.h"

namespace dlm {

// A folder holds one of the two; an exact world is both.
struct LoadedModel {
  std::unique_ptr<AutoregressiveModel> model;  // scores token after token
  std::unique_ptr<BlockDenoiser> denoiser;     // fills in hidden tokens of a block
  std::unique_ptr<Tokenizer> tokenizer;        // null for exact worlds
  std::string name;                            // folder name, or the exact world's spec
  std::string weights_sha256;                  // for exact worlds: of the spec; empty if not asked
  std::string config_json;

  const ModelInfo& info() const { return model != nullptr ? model->info() : denoiser->info(); }
};

// `spec` is a Hugging Face folder whose config.json names a known model_type, or an exact world:
// "exact:tabular?v=4&l=6", "exact:markov?v=8" (models/exact/exact_world.h). Throws ConfigError or
// DataError.
LoadedModel load_model(const std::string& spec, const ModelOptions& options);

// The model only, without reading weights_sha256 or tokenizer (for `forward` and tests). Throws as
// load_model.
std::unique_ptr<AutoregressiveModel> load_network(const std::string& folder,
                                                  const ModelOptions& options);

// A model that fills in hidden tokens. `spec` is a Hugging Face folder of a diffusion model
// ("bd3lm", "mdlm", "Dream", "llada", or score entropy without a model_type), or an exact world.
// Throws as load_model.
std::unique_ptr<BlockDenoiser> load_denoiser(const std::string& spec, const ModelOptions& options);

// Whether the folder holds a model that fills in hidden tokens. Throws as load_model.
bool is_denoiser_folder(const std::string& folder);

// The values of config.json's model_type that load_model can load.
std::vector<std::string> known_model_types();

}  // namespace dlm
