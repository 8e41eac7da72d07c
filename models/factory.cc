#include "models/factory.h"

#include <array>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "models/checkpoint/checkpoint.h"
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
    NetworkEntry{"gpt2", load_gpt2},
    NetworkEntry{"llama", load_llama},
    NetworkEntry{"qwen2", load_qwen2},
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

// The last part of a path, whatever slashes follow it.
std::string folder_name(const std::string& folder) {
  const auto path = std::filesystem::absolute(folder).lexically_normal();
  return path.has_filename() ? path.filename().string() : path.parent_path().filename().string();
}

}  // namespace

LoadedModel load_model(const std::string& spec, const ModelOptions& options) {
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
  return network_of(Checkpoint::open(folder), options);
}

std::vector<std::string> known_model_types() {
  std::vector<std::string> types;
  for (const NetworkEntry& entry : kNetworks) types.emplace_back(entry.model_type);
  return types;
}

}  // namespace dlm
