#include "models/factory.h"

#include <array>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "models/checkpoint/checkpoint.h"
#include "models/diffusion_transformer/dit_config.h"
#include "models/dit.h"
#include "models/exact/exact_world.h"
#include "models/gpt2.h"
#include "models/llama.h"
#include "models/qwen2.h"

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
  std::unique_ptr<DitModel> (*load)(const Checkpoint&, const ModelOptions&);
};

constexpr std::array kDenoisers = {
    DenoiserEntry{"bd3lm", load_dit},
    DenoiserEntry{"mdlm", load_dit},
    DenoiserEntry{"sedd", load_dit},
};

std::unique_ptr<AutoregressiveModel> network_of(const Checkpoint& checkpoint,
                                                const ModelOptions& options) {
  const std::string where = checkpoint.folder + "/config.json";
  const std::string type =
      json_string(parse_json(checkpoint.config_json, where), "model_type", where);
  for (const NetworkEntry& entry : kNetworks) {
    if (type == entry.model_type)
      return entry.load(checkpoint, options);
  }
  throw unknown_name(where + ": model_type", type, known_model_types());
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
  return loaded;
}

}  // namespace

LoadedModel load_model(const std::string& spec, const ModelOptions& options) {
  if (is_exact(spec))
    return load_exact(spec);
  const Checkpoint checkpoint = Checkpoint::open(spec);
  LoadedModel loaded;
  loaded.name = folder_name(spec);
  loaded.config_json = checkpoint.config_json;
  loaded.tokenizer = load_tokenizer(spec);
  loaded.weights_sha256 = checkpoint.weights_sha256();
  loaded.model = network_of(checkpoint, options);
  return loaded;
}

std::unique_ptr<AutoregressiveModel> load_network(const std::string& folder,
                                                  const ModelOptions& options) {
  if (is_exact(folder))
    return make_exact_world(folder);
  return network_of(Checkpoint::open(folder), options);
}

std::unique_ptr<Denoiser> load_denoiser(const std::string& spec, const ModelOptions& options) {
  if (is_exact(spec))
    throw ConfigError("denoiser", spec, "a folder");
  const Checkpoint checkpoint = Checkpoint::open(spec);
  const std::string where = checkpoint.folder + "/config.json";
  const std::string type = dit_model_type(parse_json(checkpoint.config_json, where), where);
  std::vector<std::string> known;
  for (const DenoiserEntry& entry : kDenoisers) {
    if (type == entry.model_type)
      return entry.load(checkpoint, options);
    known.emplace_back(entry.model_type);
  }
  throw unknown_name(where + ": model_type", type, known);
}

std::vector<std::string> known_model_types() {
  std::vector<std::string> types;
  for (const NetworkEntry& entry : kNetworks) types.emplace_back(entry.model_type);
  return types;
}

}  // namespace dlm
