#include "models/factory.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "models/checkpoint/checkpoint.h"
#include "models/diffusion_transformer/dit_config.h"
#include "models/dit.h"
#include "models/dream.h"
#include "models/exact/exact_denoiser.h"
#include "models/exact/exact_world.h"
#include "models/gpt2.h"
#include "models/llada.h"
#include "models/llama.h"
#include "models/qwen2.h"
#include "models/shape_model.h"

namespace dlm {
namespace {

using NetworkLoader = std::unique_ptr<AutoregressiveModel> (*)(const Checkpoint&,
                                                               const ModelOptions&);

struct NetworkEntry {
  const char* model_type;
  NetworkLoader load;
};

constexpr std::array kNetworks = {
    NetworkEntry{"bd3lm", load_dit_autoregressive},
    NetworkEntry{"gpt2", load_gpt2},
    NetworkEntry{"llama", load_llama},
    NetworkEntry{"qwen2", load_qwen2},
};

struct DenoiserEntry {
  const char* model_type;
  std::unique_ptr<BlockDenoiser> (*load)(const Checkpoint&, const ModelOptions&);
};

template <auto kLoad>
std::unique_ptr<BlockDenoiser> as_denoiser(const Checkpoint& checkpoint,
                                           const ModelOptions& options) {
  return kLoad(checkpoint, options);
}

constexpr std::array kDenoisers = {
    DenoiserEntry{"Dream", as_denoiser<load_dream>}, DenoiserEntry{"bd3lm", as_denoiser<load_dit>},
    DenoiserEntry{"llada", as_denoiser<load_llada>}, DenoiserEntry{"mdlm", as_denoiser<load_dit>},
    DenoiserEntry{"sedd", as_denoiser<load_dit>},
};

// What config.json says of the model.
struct Kind {
  std::string type;
  bool causal = false;  // of a diffusion transformer: its autoregressive form
  std::string where;
};

Kind kind_of(const Checkpoint& checkpoint) {
  Kind kind;
  kind.where = checkpoint.folder + "/config.json";
  const Json config = parse_json(checkpoint.config_json, kind.where);
  kind.type = dit_model_type(config, kind.where);
  kind.causal = config.contains("causal") && config["causal"].is_boolean() && config["causal"];
  return kind;
}

const DenoiserEntry* denoiser_entry(const Kind& kind) {
  for (const DenoiserEntry& entry : kDenoisers) {
    if (kind.type == entry.model_type && !kind.causal)
      return &entry;
  }
  return nullptr;
}

std::unique_ptr<AutoregressiveModel> network_of(const Checkpoint& checkpoint,
                                                const ModelOptions& options) {
  const Kind kind = kind_of(checkpoint);
  for (const NetworkEntry& entry : kNetworks) {
    if (kind.type == entry.model_type)
      return entry.load(checkpoint, options);
  }
  throw unknown_name(kind.where + ": model_type", kind.type, known_model_types());
}

std::unique_ptr<BlockDenoiser> denoiser_of(const Checkpoint& checkpoint,
                                           const ModelOptions& options) {
  const Kind kind = kind_of(checkpoint);
  if (const DenoiserEntry* entry = denoiser_entry(kind))
    return entry->load(checkpoint, options);
  std::vector<std::string> known;
  for (const DenoiserEntry& entry : kDenoisers) known.emplace_back(entry.model_type);
  if (kind.causal && std::find(known.begin(), known.end(), kind.type) != known.end())
    throw ConfigError(kind.where + ": causal", "true", "false; this is an autoregressive model");
  throw unknown_name(kind.where + ": model_type of a diffusion model", kind.type, known);
}

// The last part of a path, whatever slashes follow it; with its parent where it says nothing
// ("stories260K/hf").
std::string folder_name(const std::string& folder) {
  auto path = std::filesystem::absolute(folder).lexically_normal();
  if (!path.has_filename())
    path = path.parent_path();
  const std::string name = path.filename().string();
  const bool says_nothing =
      name == "hf" || name == "model" || name == "checkpoint" || name == "main";
  return says_nothing ? path.parent_path().filename().string() + "/" + name : name;
}

bool is_exact(std::string_view spec) {
  return spec.starts_with("exact:");
}

// An exact world is its spec: the name and, hashed, its weights.
LoadedModel load_exact(const std::string& spec) {
  auto world = make_exact_world(spec);
  LoadedModel loaded;
  loaded.name = world->spec();
  loaded.weights_sha256 = sha256_hex(world->spec());
  loaded.config_json = canonical_json({{"world", world->spec()}});
  loaded.model = std::move(world);
  loaded.denoiser = make_exact_denoiser(spec);
  return loaded;
}

}  // namespace

LoadedModel load_model(const std::string& spec, const ModelOptions& options) {
  if (is_exact(spec))
    return load_exact(spec);
  if (is_shape(spec))
    return make_shape_model(spec, options);
  const Checkpoint checkpoint = Checkpoint::open(spec);
  LoadedModel loaded;
  loaded.name = folder_name(spec);
  loaded.config_json = checkpoint.config_json;
  const std::string& tokenizer = options.tokenizer.empty() ? spec : options.tokenizer;
  if (!options.tokenizer.empty() || has_tokenizer_files(spec))
    loaded.tokenizer = load_tokenizer(tokenizer);
  if (options.hash_weights)
    loaded.weights_sha256 = checkpoint.weights_sha256();
  if (denoiser_entry(kind_of(checkpoint)) != nullptr)
    loaded.denoiser = denoiser_of(checkpoint, options);
  else
    loaded.model = network_of(checkpoint, options);
  return loaded;
}

std::unique_ptr<AutoregressiveModel> load_network(const std::string& folder,
                                                  const ModelOptions& options) {
  if (is_exact(folder))
    return make_exact_world(folder);
  return network_of(Checkpoint::open(folder), options);
}

std::unique_ptr<BlockDenoiser> load_denoiser(const std::string& spec, const ModelOptions& options) {
  if (is_exact(spec))
    return make_exact_denoiser(spec);
  return denoiser_of(Checkpoint::open(spec), options);
}

bool is_denoiser_folder(const std::string& folder) {
  return !is_exact(folder) && denoiser_entry(kind_of(Checkpoint::open(folder))) != nullptr;
}

std::vector<std::string> known_model_types() {
  std::vector<std::string> types;
  for (const NetworkEntry& entry : kNetworks) types.emplace_back(entry.model_type);
  for (const DenoiserEntry& entry : kDenoisers) types.emplace_back(entry.model_type);
  std::sort(types.begin(), types.end());
  types.erase(std::unique(types.begin(), types.end()), types.end());
  return types;
}

}  // namespace dlm
