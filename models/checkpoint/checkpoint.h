// A Hugging Face model folder: config.json and its tensors, from model.safetensors or from the
// shards that model.safetensors.index.json lists. Torch-free; weights.h turns tensors into
// at::Tensor.
#pragma once

#include <map>
#include <string>

#include "harness/base/json.h"
#include "models/checkpoint/safetensors.h"

namespace dlm {

struct Checkpoint {
  std::string folder;
  std::string config_json;                    // text of config.json
  std::map<std::string, TensorView> tensors;  // by name, all shards together

  // Opens the folder (or one .safetensors file with config.json beside it). Throws DataError: no
  // config.json, no weights, a shard that the index names but is missing, a tensor that the index
  // places elsewhere, a tensor in two shards.
  static Checkpoint open(const std::string& path);

  // SHA-256 over the tensors' names, dtypes, shapes and bytes in name order (so independent of
  // sharding); reads every byte once, shards of work in parallel. The identity of the weights in
  // the run key.
  std::string weights_sha256() const;
};

}  // namespace dlm
