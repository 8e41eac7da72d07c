#include "models/checkpoint/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "tests/models/checkpoint/files.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

using testing::data_error;
using testing::data_path;
using testing::TemporaryFolder;
using testing::tensor_of;
using testing::text_of;

const std::vector<float>& three() {
  static const std::vector<float> values{1, 2, 3};
  return values;
}

// A folder with config.json and, where given, an index.
class ModelFolder {
 public:
  ModelFolder() { write("config.json", R"({"model_type": "gpt2"})"); }

  void write(const std::string& name, const std::string& text) const {
    write_file_atomically(folder_.file(name), text);
  }

  // A file of F32 tensors with these names and the same three values.
  void write_shard(const std::string& name, const std::vector<std::string>& tensors) const {
    std::map<std::string, TensorToWrite> content;
    for (const auto& tensor : tensors) content[tensor] = tensor_of(Dtype::kF32, {3}, three());
    write_safetensors(folder_.file(name), content);
  }

  void write_index(const std::string& weight_map) const {
    write("model.safetensors.index.json",
          R"({"metadata":{"total_size":24},"weight_map":)" + weight_map + "}");
  }

  Checkpoint open() const { return Checkpoint::open(folder_.path()); }

  std::string refusal() const {
    return data_error([&] { open(); });
  }

  const std::string& path() const { return folder_.path(); }

 private:
  TemporaryFolder folder_;
};

TEST(Checkpoint, OpensAFolderWithOneFile) {
  const ModelFolder folder;
  folder.write_shard("model.safetensors", {"a", "b"});
  const Checkpoint checkpoint = folder.open();
  EXPECT_EQ(checkpoint.folder, folder.path());
  EXPECT_EQ(checkpoint.config_json, R"({"model_type": "gpt2"})");
  ASSERT_EQ(checkpoint.tensors.size(), 2U);
  EXPECT_EQ(checkpoint.tensors.at("b").name, "b");
  EXPECT_EQ(checkpoint.tensors.at("b").elements(), 3);
}

TEST(Checkpoint, OpensOneFileByItsPath) {
  const ModelFolder folder;
  folder.write_shard("other.safetensors", {"a"});
  const Checkpoint checkpoint = Checkpoint::open(folder.path() + "/other.safetensors");
  EXPECT_EQ(checkpoint.folder, folder.path());
  EXPECT_EQ(checkpoint.tensors.size(), 1U);
}

TEST(Checkpoint, OpensShards) {
  const ModelFolder folder;
  folder.write_shard("model-1.safetensors", {"a"});
  folder.write_shard("model-2.safetensors", {"b", "c"});
  folder.write_index(
      R"({"a":"model-1.safetensors","b":"model-2.safetensors","c":"model-2.safetensors"})");
  EXPECT_EQ(folder.open().tensors.size(), 3U);
}

TEST(Checkpoint, RefusesFoldersWithoutWhatItNeeds) {
  const ModelFolder folder;
  EXPECT_EQ(folder.refusal(),
            folder.path() +
                ": expected model.safetensors or model.safetensors.index.json, found "
                "neither");
  folder.write("pytorch_model.bin", "");
  EXPECT_EQ(folder.refusal(),
            folder.path() +
                ": expected weights as model.safetensors, found pytorch_model.bin, a "
                "Python pickle, which is never loaded; convert it to safetensors");
  folder.write_shard("model.safetensors", {"a"});
  std::filesystem::remove(folder.path() + "/config.json");
  EXPECT_EQ(folder.refusal(), folder.path() + ": expected config.json, found no such file");
  EXPECT_EQ(data_error([] { Checkpoint::open("/no/such/model"); }),
            "/no/such/model: expected a model folder or a .safetensors file, found no such path");
}

TEST(Checkpoint, RefusesAnIndexThatDisagreesWithItsShards) {
  const ModelFolder folder;
  const std::string index = folder.path() + "/model.safetensors.index.json";
  folder.write_shard("one", {"a"});
  folder.write_shard("two", {"b"});
  folder.write_index(R"({"a":"one","b":"three"})");
  EXPECT_EQ(folder.refusal(), index + ": expected shard 'three' in the folder, found no such file");
  folder.write_index(R"({"a":"one","b":"two","c":"two"})");
  EXPECT_EQ(folder.refusal(), folder.path() +
                                  "/two: expected tensor 'c', which the index places there, found "
                                  "nothing");
  folder.write_index(R"({"a":"one","c":"two"})");
  EXPECT_EQ(folder.refusal(), folder.path() +
                                  "/two: at byte 64: expected only tensors that the "
                                  "index lists, found tensor 'b'");
  folder.write_index(R"({"a":"two","b":"one"})");
  EXPECT_EQ(folder.refusal(), folder.path() +
                                  "/one: at byte 64: expected tensor 'a' in 'two', as "
                                  "the index says, found it here");
  folder.write_shard("two", {"a", "b"});
  folder.write_index(R"({"a":"one","b":"two"})");
  EXPECT_EQ(folder.refusal(), folder.path() +
                                  "/two: at byte 128: expected tensor 'a' in 'one', as "
                                  "the index says, found it here");
}

TEST(Checkpoint, RefusesAnIndexThatIsNoMapOfNames) {
  const ModelFolder folder;
  const std::string index = folder.path() + "/model.safetensors.index.json";
  for (const char* text : {"[]", "{}", R"({"weight_map":[]})", R"({"weight_map":{}})"}) {
    folder.write("model.safetensors.index.json", text);
    EXPECT_EQ(folder.refusal(), index +
                                    ": expected an object with a 'weight_map' of tensors, found "
                                    "none");
  }
  folder.write_index(R"({"a":1})");
  EXPECT_EQ(folder.refusal(), index + ": expected a shard name for tensor 'a', found 1");
}

TEST(Checkpoint, RefusesShardsOutsideTheFolder) {
  const ModelFolder folder;
  const ModelFolder other;
  other.write_shard("model.safetensors", {"a"});
  const std::string index = folder.path() + "/model.safetensors.index.json";
  for (const std::string& shard :
       {"../" + std::filesystem::path(other.path()).filename().string() + "/model.safetensors",
        other.path() + "/model.safetensors", std::string("sub/../../x"), std::string("..")}) {
    folder.write_index("{\"a\":\"" + shard + "\"}");
    EXPECT_EQ(folder.refusal(),
              index + ": expected shard names inside the folder, found \"" + shard + "\"");
  }
  folder.write_index(R"({"a":"one\u0000two"})");
  EXPECT_EQ(folder.refusal(),
            index + ": expected shard names inside the folder, found \"one\\u0000two\"");
  folder.write_index(R"({"a":""})");
  EXPECT_EQ(folder.refusal(), index + ": expected shard names inside the folder, found \"\"");
}

TEST(WeightsSha256, IsTheHashThatTheHeaderDescribes) {
  const ModelFolder folder;
  folder.write_shard("model.safetensors", {"a"});
  const std::string bytes = sha256_hex(std::as_bytes(std::span(three())));
  EXPECT_EQ(folder.open().weights_sha256(),
            sha256_hex("[\"a\",\"F32\",[3],[\"" + bytes + "\"]]\n"));
}

TEST(WeightsSha256, DependsOnTensorsButNotOnHowTheyAreStored) {
  const ModelFolder whole;
  whole.write_shard("model.safetensors", {"a", "b", "c"});
  const ModelFolder sharded;
  sharded.write_shard("x", {"c"});
  sharded.write_shard("y", {"a", "b"});
  sharded.write_index(R"({"a":"y","b":"y","c":"x"})");
  const std::string hash = whole.open().weights_sha256();
  EXPECT_EQ(sharded.open().weights_sha256(), hash);
  whole.write_shard("model.safetensors", {"a", "b", "d"});
  EXPECT_NE(whole.open().weights_sha256(), hash);
}

TEST(WeightsSha256, SeesEveryPropertyOfATensor) {
  const std::vector<std::uint16_t> zeros{0, 0};
  const std::vector<std::uint16_t> ones{0, 1};
  std::set<std::string> hashes;
  for (const TensorToWrite& tensor :
       {tensor_of(Dtype::kF16, {2}, zeros), tensor_of(Dtype::kBf16, {2}, zeros),
        tensor_of(Dtype::kF16, {2, 1}, zeros), tensor_of(Dtype::kF16, {2}, ones),
        TensorToWrite{Dtype::kF16, {0}, {}}}) {
    const ModelFolder folder;
    write_safetensors(folder.path() + "/model.safetensors", {{"w", tensor}});
    hashes.insert(folder.open().weights_sha256());
  }
  EXPECT_EQ(hashes.size(), 5U);
}

// 40 MiB are three pieces; a change of the last byte, alone in its page, must be seen, and the
// pieces must come in order whatever thread hashed them.
TEST(WeightsSha256, CoversTensorsOfSeveralPieces) {
  std::vector<std::uint8_t> bytes((std::size_t{40} << 20U) + 1, 7);
  bytes.front() = 1;
  const ModelFolder folder;
  const std::string path = folder.path() + "/model.safetensors";
  const auto size = static_cast<std::int64_t>(bytes.size());
  write_safetensors(path, {{"w", tensor_of(Dtype::kU8, {size}, bytes)}});
  const std::string hash = folder.open().weights_sha256();
  for (int repeat = 0; repeat < 5; ++repeat) EXPECT_EQ(folder.open().weights_sha256(), hash);
  std::string pieces;
  for (std::size_t at = 0; at < bytes.size(); at += std::size_t{16} << 20U) {
    const auto span = std::as_bytes(std::span(bytes)).subspan(at);
    pieces += (pieces.empty() ? "\"" : ",\"") +
              sha256_hex(span.first(std::min(span.size(), std::size_t{16} << 20U))) + "\"";
  }
  EXPECT_EQ(hash, sha256_hex(fmt::format("[\"w\",\"U8\",[{}],[{}]]\n", size, pieces)));
  bytes.back() = 8;
  write_safetensors(path, {{"w", tensor_of(Dtype::kU8, {size}, bytes)}});
  EXPECT_NE(folder.open().weights_sha256(), hash);
}

TEST(CheckpointGolden, OpensEveryFixture) {
  DLM_REQUIRE_DATA("fixtures");
  int files = 0;
  for (const char* root : {"fixtures", "data/checkpoints"}) {
    for (const auto& item : std::filesystem::recursive_directory_iterator(data_path(root))) {
      if (item.path().extension() != ".safetensors")
        continue;
      ++files;
      EXPECT_FALSE(open_safetensors(item.path().string()).empty()) << item.path();
      if (item.path().filename() == "model.safetensors") {
        EXPECT_FALSE(Checkpoint::open(item.path().parent_path().string()).tensors.empty());
      }
    }
  }
  EXPECT_GE(files, 40);
}

// Values and hash read with the Python safetensors library 0.8.0, hashlib and json.
TEST(CheckpointGolden, ReadsStories260KAsPythonDoes) {
  DLM_REQUIRE_DATA("data/checkpoints/stories260K/hf");
  const Checkpoint checkpoint = Checkpoint::open(data_path("data/checkpoints/stories260K/hf"));
  ASSERT_EQ(checkpoint.tensors.size(), 47U);
  const TensorView& norm = checkpoint.tensors.at("model.norm.weight");
  EXPECT_EQ(norm.dtype, Dtype::kF32);
  EXPECT_EQ(norm.shape, (std::vector<std::int64_t>{64}));
  float last = 0;
  std::memcpy(&last, norm.bytes.data() + 63 * sizeof last, sizeof last);
  EXPECT_EQ(last, 1.7077769041061401F);
  const TensorView& down = checkpoint.tensors.at("model.layers.4.mlp.down_proj.weight");
  EXPECT_EQ(down.shape, (std::vector<std::int64_t>{64, 172}));
  std::memcpy(&last, down.bytes.data() + (64 * 172 - 1) * sizeof last, sizeof last);
  EXPECT_EQ(last, -0.0035068716388195753F);
  EXPECT_EQ(checkpoint.weights_sha256(),
            "10ab467e0858f799d8788f9163a6bca2fb5cb72d79f2019f3bba41c730bc258b");
}

}  // namespace
}  // namespace dlm
