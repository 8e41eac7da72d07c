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

  // Opens the folder (or one .safetensors file with config.json beside it). model.safetensors is
  // taken where there is an index too. Reads headers only, no tensor byte. Throws DataError: no
  // config.json, no weights (or only pytorch_model.bin, which must be converted), a shard that the
  // index names but is missing or outside the folder, a tensor that the index does not list or
  // places elsewhere, a listed tensor that its shard lacks.
  static Checkpoint open(const std::string& path);

  // The identity of the weights in the run key, as lower-case hexadecimal: SHA-256 of one line per
  // tensor in name order, each the compact JSON [name, dtype, shape, [SHA-256 of each 16 MiB of its
  // bytes, the last piece shorter]] and a line feed. So it depends neither on sharding nor on the
  // order within files, and the pieces are hashed in parallel. Reads every byte once.
  std::string weights_sha256() const;
};

}  // namespace dlm
