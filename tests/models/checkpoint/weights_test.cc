#include "models/checkpoint/weights.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "tests/models/checkpoint/files.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

using testing::data_error;
using testing::data_path;
using testing::raw_file;
using testing::TemporaryFolder;

// A checkpoint of "m.a" F32 [2, 3], "m.b" BF16 [4] and "m.mask" U8 [2].
class SmallCheckpoint {
 public:
  SmallCheckpoint() {
    write_file_atomically(folder_.file("config.json"), "{}");
    const at::Tensor a = at::arange(6, at::kFloat).reshape({2, 3});
    const at::Tensor b = at::ones({4}, at::kBFloat16);
    const at::Tensor mask = at::ones({2}, at::kByte);
    write_safetensors(path(), {{"m.a", as_tensor_to_write(a)},
                               {"m.b", as_tensor_to_write(b)},
                               {"m.mask", as_tensor_to_write(mask)}});
    checkpoint_ = Checkpoint::open(folder_.path());
  }

  const Checkpoint& get() const { return checkpoint_; }

  std::string path() const { return folder_.file("model.safetensors"); }

 private:
  TemporaryFolder folder_;
  Checkpoint checkpoint_;
};

TEST(Weights, TakesTensorsUnderThePrefix) {
  const SmallCheckpoint small;
  Weights weights(small.get(), "m.");
  EXPECT_TRUE(weights.has("a"));
  EXPECT_FALSE(weights.has("m.a"));
  const at::Tensor a = weights.take("a", {2, -1});
  EXPECT_EQ(a.scalar_type(), at::kFloat);
  EXPECT_EQ(a[1][2].item<float>(), 5.0F);
  EXPECT_EQ(weights.take("b", {4}).scalar_type(), at::kBFloat16);
  weights.ignore([](std::string_view name) { return name.ends_with(".mask"); });
  EXPECT_NO_THROW(weights.finish());
}

TEST(Weights, RefusesMissingTensorsWithTheNearestName) {
  const SmallCheckpoint small;
  Weights weights(small.get(), "m.");
  EXPECT_EQ(data_error([&] { weights.take("msk", {2}); }),
            small.get().folder +
                ": expected tensor 'm.msk', found no such tensor among 3; the "
                "nearest is 'm.mask'");
  EXPECT_EQ(
      data_error([&] { weights.take("lm_head.weight", {2}); }),
      small.get().folder + ": expected tensor 'm.lm_head.weight', found no such tensor among 3");
}

TEST(Weights, RefusesOtherShapesAndTypes) {
  const SmallCheckpoint small;
  Weights weights(small.get(), "m.");
  const std::int64_t offset = small.get().tensors.at("m.a").file_offset();
  EXPECT_EQ(data_error([&] {
              weights.take("a", {3, -1});
            }),
            fmt::format("{}: at byte {}: expected tensor 'm.a' of shape [3, any], found [2, 3]",
                        small.path(), offset));
  EXPECT_THROW(weights.take("a", {2}), DataError);
  EXPECT_THROW(weights.take("a", {2, 3, 1}), DataError);
  EXPECT_THROW(weights.take("a", {}), DataError);
  EXPECT_NE(data_error([&] {
              weights.take("mask", {2});
            }).find("expected tensor 'm.mask' of a floating type, found U8"),
            std::string::npos);
}

TEST(Weights, RefusesTensorsThatNobodyTook) {
  const SmallCheckpoint small;
  Weights weights(small.get(), "m.");
  weights.take("b", {4});
  EXPECT_EQ(data_error([&] { weights.finish(); }),
            small.get().folder +
                ": expected only tensors that the model uses, found 2 more: 'm.a', 'm.mask'");
}

TEST(Weights, NamesFiveOfManyExtraTensors) {
  const TemporaryFolder folder;
  write_file_atomically(folder.file("config.json"), "{}");
  const at::Tensor one = at::ones({1});
  std::map<std::string, TensorToWrite> tensors;
  for (int i = 0; i < 7; ++i) tensors[fmt::format("w{}", i)] = as_tensor_to_write(one);
  write_safetensors(folder.file("model.safetensors"), tensors);
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  EXPECT_NE(data_error([&] {
              Weights(checkpoint, "").finish();
            }).find("found 7 more: 'w0', 'w1', 'w2', 'w3', 'w4', ..."),
            std::string::npos);
}

TEST(AsTensor, SharesTheMapAndKeepsItAlive) {
  at::Tensor kept;
  {
    const SmallCheckpoint small;
    const TensorView& view = small.get().tensors.at("m.a");
    kept = as_tensor(view);
    EXPECT_EQ(kept.const_data_ptr(), view.bytes.data());
    EXPECT_EQ(mapped_file(kept.t()), view.file.get());
  }
  EXPECT_TRUE(at::equal(kept, at::arange(6, at::kFloat).reshape({2, 3})));
  EXPECT_EQ(mapped_file(at::ones({2})), nullptr);
}

TEST(AsTensor, CopiesWhatItsFileDoesNotAlign) {
  const TemporaryFolder folder;
  const std::string path = folder.file("x.safetensors");
  const float value = 2.5F;
  const std::string_view bytes(reinterpret_cast<const char*>(&value), sizeof value);
  for (int padding = 0; padding < 4; ++padding) {
    write_file_atomically(path,
                          raw_file(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})" +
                                       std::string(static_cast<std::size_t>(padding), ' '),
                                   bytes));
    const TensorView view = open_safetensors(path)[0];
    const at::Tensor tensor = as_tensor(view);
    EXPECT_EQ(tensor.item<float>(), value);
    EXPECT_EQ(mapped_file(tensor) != nullptr, view.file_offset() % 4 == 0);
  }
}

TEST(AsTensor, HandsOutTensorsWithoutElements) {
  const TemporaryFolder folder;
  const std::string path = folder.file("x.safetensors");
  const at::Tensor none = at::zeros({3, 0, 2}, at::kHalf);
  write_safetensors(path, {{"w", as_tensor_to_write(none)}});
  const at::Tensor read = as_tensor(open_safetensors(path)[0]);
  EXPECT_EQ(read.sizes(), none.sizes());
  EXPECT_EQ(read.scalar_type(), at::kHalf);
  EXPECT_EQ(materialise(read, at::kFloat, "w").sizes(), none.sizes());
}

TEST(AsTensor, RefusesBooleansThatAreNone) {
  const TemporaryFolder folder;
  const std::string path = folder.file("x.safetensors");
  const std::string header = R"({"w":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}})";
  write_file_atomically(path, raw_file(header, std::string_view("\1\0\1", 3)));
  EXPECT_EQ(as_tensor(open_safetensors(path)[0]).sum().item<std::int64_t>(), 2);
  write_file_atomically(path, raw_file(header, std::string_view("\1\0\2", 3)));
  EXPECT_EQ(data_error([&] { as_tensor(open_safetensors(path)[0]); }),
            fmt::format("{}: at byte {}: expected tensor 'w' to hold booleans, 0 or 1, found 2",
                        path, 8 + header.size() + 2));
}

TEST(AsTensorToWrite, RoundTripsEveryDtype) {
  std::map<std::string, at::Tensor> tensors;
  for (int i = 0; i <= static_cast<int>(Dtype::kF8E5M2Fnuz); ++i) {
    const auto dtype = static_cast<Dtype>(i);
    EXPECT_EQ(dtype_of(scalar_type(dtype)), dtype);
    EXPECT_EQ(c10::elementSize(scalar_type(dtype)), dtype_size(dtype)) << dtype_name(dtype);
    tensors[dtype_name(dtype)] = at::arange(1, 4, at::kFloat).to(scalar_type(dtype));
  }
  std::map<std::string, TensorToWrite> written;
  for (const auto& [name, tensor] : tensors) written[name] = as_tensor_to_write(tensor);
  const TemporaryFolder folder;
  write_safetensors(folder.file("x"), written);
  for (const TensorView& view : open_safetensors(folder.file("x"))) {
    const at::Tensor read = as_tensor(view);
    const at::Tensor& source = tensors.at(view.name);
    EXPECT_EQ(read.scalar_type(), source.scalar_type()) << view.name;
    EXPECT_TRUE(at::equal(read.view(at::kByte), source.view(at::kByte))) << view.name;
  }
}

TEST(AsTensorToWrite, RefusesWhatHasNoPlaceInAFile) {
  EXPECT_THROW(as_tensor_to_write(at::ones({2, 3}).t()), InternalError);
  EXPECT_THROW(as_tensor_to_write(at::ones({2}, at::kComplexDouble)), InternalError);
}

// Sum taken with torch 2.13.0 in float64.
TEST(WeightsGolden, ReadsStories260KAsPythonDoes) {
  DLM_REQUIRE_DATA("data/checkpoints/stories260K/hf");
  const Checkpoint checkpoint = Checkpoint::open(data_path("data/checkpoints/stories260K/hf"));
  Weights weights(checkpoint, "model.");
  const at::Tensor down = weights.take("layers.4.mlp.down_proj.weight", {64, 172});
  EXPECT_EQ(down[10][20].item<float>(), 0.11751855909824371F);
  EXPECT_NEAR(down.to(at::kDouble).sum().item<double>(), 19.543787761240765, 1e-9);
  EXPECT_TRUE(at::equal(materialise(down, at::kFloat, "down"), down));
}

}  // namespace
}  // namespace dlm
