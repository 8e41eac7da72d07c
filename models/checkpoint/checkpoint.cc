#include "models/checkpoint/checkpoint.h"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <set>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"

namespace dlm {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPieceBytes = std::size_t{16} << 20U;
constexpr const char* kIndexName = "model.safetensors.index.json";

// What an index says: the shard of every tensor.
struct ShardIndex {
  std::string path;
  std::string folder;
  std::map<std::string, std::string> shard_of;
};

// A shard is a file below the folder: a downloaded index must not be able to name any other file.
void check_shard_name(const std::string& shard, const std::string& index_path) {
  const fs::path path(shard);
  const bool leaves = path.is_absolute() || std::any_of(path.begin(), path.end(),
                                                        [](const auto& p) { return p == ".."; });
  if (shard.empty() || leaves || shard.find('\0') != std::string::npos) {
    throw DataError(index_path, -1, "shard names inside the folder",
                    canonical_json(shard).substr(0, 200));
  }
}

ShardIndex read_index(const std::string& folder) {
  ShardIndex index{folder + "/" + kIndexName, folder, {}};
  const Json document = parse_json(MappedFile::open(index.path)->text(), index.path);
  const auto map = document.find("weight_map");
  if (!document.is_object() || map == document.end() || !map->is_object() || map->empty())
    throw DataError(index.path, -1, "an object with a 'weight_map' of tensors", "none");
  for (const auto& [name, shard] : map->items()) {
    if (!shard.is_string()) {
      throw DataError(index.path, -1, fmt::format("a shard name for tensor '{}'", name),
                      canonical_json(shard).substr(0, 80));
    }
    check_shard_name(shard.get<std::string>(), index.path);
    index.shard_of.emplace(name, shard.get<std::string>());
  }
  return index;
}

void add_shard(const ShardIndex& index, const std::string& shard,
               std::map<std::string, TensorView>& tensors) {
  const std::string path = index.folder + "/" + shard;
  if (!file_exists(path))
    throw DataError(index.path, -1, fmt::format("shard '{}' in the folder", shard), "no such file");
  for (TensorView& tensor : open_safetensors(path)) {
    const auto listed = index.shard_of.find(tensor.name);
    if (listed == index.shard_of.end()) {
      throw DataError(path, tensor.file_offset(), "only tensors that the index lists",
                      fmt::format("tensor '{}'", tensor.name));
    }
    if (listed->second != shard) {
      throw DataError(
          path, tensor.file_offset(),
          fmt::format("tensor '{}' in '{}', as the index says", tensor.name, listed->second),
          "it here");
    }
    std::string name = tensor.name;
    tensors.emplace(std::move(name), std::move(tensor));
  }
}

std::map<std::string, TensorView> open_shards(const std::string& folder) {
  const ShardIndex index = read_index(folder);
  std::set<std::string> shards;
  for (const auto& [name, shard] : index.shard_of) shards.insert(shard);
  std::map<std::string, TensorView> tensors;
  for (const std::string& shard : shards) add_shard(index, shard, tensors);
  for (const auto& [name, shard] : index.shard_of) {
    if (!tensors.contains(name)) {
      throw DataError(folder + "/" + shard, -1,
                      fmt::format("tensor '{}', which the index places there", name), "nothing");
    }
  }
  return tensors;
}

std::map<std::string, TensorView> open_one(const std::string& path) {
  std::map<std::string, TensorView> tensors;
  for (TensorView& tensor : open_safetensors(path)) {
    std::string name = tensor.name;
    tensors.emplace(std::move(name), std::move(tensor));
  }
  return tensors;
}

std::map<std::string, TensorView> open_folder(const std::string& folder) {
  if (file_exists(folder + "/model.safetensors"))
    return open_one(folder + "/model.safetensors");
  if (file_exists(folder + "/" + kIndexName))
    return open_shards(folder);
  for (const char* pickle : {"pytorch_model.bin", "pytorch_model.bin.index.json"}) {
    if (file_exists(folder + "/" + pickle)) {
      throw DataError(folder, -1, "weights as model.safetensors",
                      fmt::format("{}, a Python pickle, which is never loaded; convert it to "
                                  "safetensors",
                                  pickle));
    }
  }
  throw DataError(folder, -1, fmt::format("model.safetensors or {}", kIndexName), "neither");
}

// One stretch of a tensor's bytes and where its hash goes.
struct Piece {
  const TensorView* tensor;
  std::span<const std::byte> bytes;
  std::string sha256;
};

std::vector<Piece> cut_pieces(const std::map<std::string, TensorView>& tensors) {
  std::vector<Piece> pieces;
  for (const auto& [name, tensor] : tensors) {
    for (std::size_t at = 0; at < tensor.bytes.size(); at += kPieceBytes) {
      const std::size_t size = std::min(kPieceBytes, tensor.bytes.size() - at);
      pieces.push_back({&tensor, tensor.bytes.subspan(at, size), {}});
    }
  }
  return pieces;
}

}  // namespace

Checkpoint Checkpoint::open(const std::string& path) {
  std::error_code unreadable;
  const bool is_folder = fs::is_directory(path, unreadable);
  if (!is_folder && !file_exists(path))
    throw DataError(path, -1, "a model folder or a .safetensors file", "no such path");
  const std::string parent = is_folder ? path : fs::path(path).parent_path().string();
  Checkpoint checkpoint;
  checkpoint.folder = parent.empty() ? "." : parent;
  const std::string config_path = checkpoint.folder + "/config.json";
  if (!file_exists(config_path))
    throw DataError(checkpoint.folder, -1, "config.json", "no such file");
  checkpoint.config_json = MappedFile::open(config_path)->text();
  checkpoint.tensors = is_folder ? open_folder(checkpoint.folder) : open_one(path);
  return checkpoint;
}

std::string Checkpoint::weights_sha256() const {
  std::vector<Piece> pieces = cut_pieces(tensors);
#pragma omp parallel for schedule(dynamic, 1)
  for (Piece& piece : pieces) {
    piece.sha256 = sha256_hex(piece.bytes);
    piece.tensor->file->release_pages(piece.bytes);
  }
  std::string lines;
  auto piece = pieces.begin();
  for (const auto& [name, tensor] : tensors) {
    Json hashes = Json::array();
    for (; piece != pieces.end() && piece->tensor == &tensor; ++piece)
      hashes.push_back(std::move(piece->sha256));
    lines += canonical_json({name, dtype_name(tensor.dtype), tensor.shape, std::move(hashes)});
    lines += '\n';
  }
  return sha256_hex(lines);
}

}  // namespace dlm
