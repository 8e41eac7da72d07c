// The ADJUST layer's one pass against its formula in f64, and its file.
#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/tensor.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "models/factory.h"
#include "models/runtime.h"
#include "tests/models/adjust/random_adjust.h"
#include "tests/models/dit/random_dit.h"
#include "tests/support/data.h"

namespace dlm::testing {
namespace {

using Tensors = std::map<std::string, at::Tensor>;

at::Tensor rms(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return x / (x.square().mean(1, true) + eps).sqrt() * weight;
}

// x (S, heads, d): element i is paired with element i + d/2.
at::Tensor turned(const at::Tensor& x, double theta) {
  const std::int64_t half = x.size(2) / 2;
  at::Tensor out = x.clone();
  for (std::int64_t s = 0; s < x.size(0); ++s) {
    for (std::int64_t i = 0; i < half; ++i) {
      const double angle =
          static_cast<double>(s) *
          std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(2 * half));
      const at::Tensor a = x.select(0, s).select(1, i), b = x.select(0, s).select(1, i + half);
      out.select(0, s).select(1, i).copy_(a * std::cos(angle) - b * std::sin(angle));
      out.select(0, s).select(1, i + half).copy_(b * std::cos(angle) + a * std::sin(angle));
    }
  }
  return out;
}

// h (S, D) and embeddings e (S, D) f64 -> h', as the paper's code has it: one row, no mask.
at::Tensor naive_pass(const AdjustConfig& config, const Tensors& f32, const at::Tensor& h,
                      const at::Tensor& e) {
  Tensors of;
  for (const auto& [name, tensor] : f32) of[name] = tensor.to(at::kDouble);
  const auto linear = [&](const std::string& name, const at::Tensor& x) {
    const at::Tensor y = x.matmul(of.at(name + ".weight").t());
    return of.contains(name + ".bias") ? y + of.at(name + ".bias") : y;
  };
  const DecoderShape& shape = config.block.shape;
  const double eps = config.block.eps;
  const std::string layer = "layers.0.0.";
  at::Tensor z = linear("down_project.0", at::cat({rms(e, of.at("norm_embed.0.weight"), eps),
                                                   rms(h, of.at("norm_hidden.0.weight"), eps)},
                                                  1));
  const at::Tensor x = rms(z, of.at(layer + "input_layernorm.weight"), eps);
  const double theta = config.block.rotary.theta;
  const auto heads = [&](const char* name, std::int64_t count) {
    return linear(layer + "self_attn." + name, x).view({x.size(0), count, shape.head_dim});
  };
  const at::Tensor q = turned(heads("q_proj", shape.heads), theta);
  const at::Tensor k = turned(heads("k_proj", shape.kv_heads), theta);
  const at::Tensor v = heads("v_proj", shape.kv_heads);
  std::vector<at::Tensor> mixed;
  for (std::int64_t head = 0; head < shape.heads; ++head) {
    const std::int64_t of_keys = head * shape.kv_heads / shape.heads;
    const at::Tensor scores = q.select(1, head).matmul(k.select(1, of_keys).t()) /
                              std::sqrt(static_cast<double>(shape.head_dim));
    mixed.push_back(scores.softmax(1).matmul(v.select(1, of_keys)));
  }
  z = z + linear(layer + "self_attn.o_proj", at::cat(mixed, 1));
  const at::Tensor y = rms(z, of.at(layer + "post_attention_layernorm.weight"), eps);
  z = z + linear(layer + "mlp.down_proj",
                 at::silu(linear(layer + "mlp.gate_proj", y)) * linear(layer + "mlp.up_proj", y));
  return rms(z, of.at("norm_postattn.0.weight"), eps) + h;
}

class AdjustNetworkTest : public ::testing::Test {
 protected:
  AdjustNetworkTest() {
    set_threads(1);
    const TemporaryFolder folder;
    write_random_dit(folder.path(), {});
    base_ = load_denoiser(folder.path(), {});
  }

  const HiddenModel& hidden() const { return hidden_model_of(*base_); }

  void expect_refused(const std::function<void(Json&)>& change, const std::string& part) {
    const AdjustConfig config = random_adjust_config(*base_, sha_);
    const std::string path = folder_.file("refused");
    write_adjust_folder(path, config, random_adjust_tensors(config, 1));
    Json json = adjust_config_json(config);
    change(json);
    write_file_atomically(path + "/config.json", json.dump());
    try {
      (void)load_adjust_layer(path, *base_, sha_);
      ADD_FAILURE() << "not refused: " << part;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  }

  const std::string sha_ = std::string(64, '7');
  TemporaryFolder folder_;
  std::unique_ptr<BlockDenoiser> base_;
};

TEST_F(AdjustNetworkTest, PassIsItsFormulaRowByRow) {
  const AdjustConfig config = random_adjust_config(*base_, sha_);
  const Tensors tensors = random_adjust_tensors(config, 0.7);
  const AdjustNetwork network = make_adjust_network(config, tensors, hidden().network_compute());
  const std::vector<std::int64_t> lengths = {5, 3};
  const at::Tensor ids = at::tensor({1, 2, 3, 12, 12, 4, 12, 7, 0, 0}, at::kLong).view({2, 5});
  PackedRows packed = pack_rows(ids, lengths, {}, base_->info().vocab_size);
  see_both_ways(packed, {});
  // Any states will do: those of the embeddings of other tokens, made large.
  const at::Tensor other = at::tensor({3, 1, 4, 1, 5, 9, 2, 6}, at::kLong);
  const at::Tensor h = hidden().embedded(other) * 3;
  const at::Tensor next = adjust_pass(network, hidden(), packed, h);
  const at::Tensor e = hidden().embedded(packed.ids).to(at::kDouble);
  for (const PackedRow& row : packed.rows) {
    const auto part = [&](const at::Tensor& x) { return x.narrow(0, row.offset, row.length); };
    const at::Tensor expected = naive_pass(config, tensors, part(h).to(at::kDouble), part(e));
    const at::Tensor error = (part(next).to(at::kDouble) - expected).abs().max();
    EXPECT_LT(error.item().toDouble(), 2e-5) << row.row;
    EXPECT_GT((expected - part(h)).abs().max().item().toDouble(), 0.5)
        << "a pass that does nothing";
  }
}

TEST_F(AdjustNetworkTest, FileAndMemoryGiveTheSameLayer) {
  AdjustConfig config = random_adjust_config(*base_, sha_);
  config.trained_passes = 3;
  const Tensors tensors = random_adjust_tensors(config, 1);
  write_adjust_folder(folder_.file("layer"), config, tensors);
  const AdjustNetwork loaded = load_adjust_network(folder_.file("layer"), hidden(), sha_);
  const AdjustNetwork made = make_adjust_network(config, tensors, hidden().network_compute());
  EXPECT_EQ(loaded.config.trained_passes, 3);
  EXPECT_EQ(loaded.config.block.rotary.theta, 1e4);
  EXPECT_EQ(loaded.layer.parameters, made.layer.parameters);
  const std::vector<std::int64_t> lengths = {4};
  PackedRows packed =
      pack_rows(at::tensor({1, 12, 12, 4}, at::kLong).view({1, 4}), lengths, {}, 13);
  see_both_ways(packed, {});
  const at::Tensor h = hidden().embedded(packed.ids);
  EXPECT_TRUE(
      adjust_pass(loaded, hidden(), packed, h).equal(adjust_pass(made, hidden(), packed, h)));
}

TEST_F(AdjustNetworkTest, RefusesConfigurationsThatDoNotFit) {
  expect_refused([](Json& json) { json["model_type"] = "bd3lm"; }, "model_type");
  expect_refused([](Json& json) { json["base_weights_sha256"] = std::string(64, 'a'); },
                 "weights aaaaaaaaaaaaaaaa");
  expect_refused([](Json& json) { json["base_weights_sha256"] = "../../etc"; }, "64 hex digits");
  expect_refused([](Json& json) { json.erase("base_weights_sha256"); }, "base_weights_sha256");
  expect_refused([](Json& json) { json["hidden_size"] = 48; }, "hidden_size");
  expect_refused([](Json& json) { json["num_attention_heads"] = 5; }, "num_attention_heads");
  expect_refused([](Json& json) { json["num_attention_heads"] = 24; }, "an even size of a head");
  expect_refused([](Json& json) { json["num_key_value_heads"] = 0; }, "num_key_value_heads");
  expect_refused([](Json& json) { json["intermediate_size"] = 1 << 30; }, "mlp.gate_proj");
  expect_refused([](Json& json) { json["rope_theta"] = -1; }, "rope_theta");
  expect_refused([](Json& json) { json["rms_norm_eps"] = "small"; }, "rms_norm_eps");
  expect_refused([](Json& json) { json["trained_passes"] = 0; }, "trained_passes");
}

TEST_F(AdjustNetworkTest, RefusesTensorsThatDoNotFit) {
  const AdjustConfig config = random_adjust_config(*base_, sha_);
  Tensors tensors = random_adjust_tensors(config, 1);
  tensors.erase("down_project.0.bias");
  EXPECT_THROW((void)make_adjust_network(config, tensors, {}), DataError);
  tensors = random_adjust_tensors(config, 1);
  tensors.at("norm_hidden.0.weight") = tensors.at("norm_hidden.0.weight").narrow(0, 0, 4);
  EXPECT_THROW((void)make_adjust_network(config, tensors, {}), DataError);
  tensors = random_adjust_tensors(config, 1);
  tensors.at("norm_postattn.0.weight").fill_(std::nan(""));
  write_adjust_folder(folder_.file("nan"), config, tensors);
  EXPECT_THROW((void)load_adjust_layer(folder_.file("nan"), *base_, sha_), DataError);
  tensors = random_adjust_tensors(config, 1);
  tensors["layers.1.0.mlp.up_proj.weight"] = tensors.at("down_project.0.bias");
  write_adjust_folder(folder_.file("extra"), config, tensors);
  EXPECT_THROW((void)load_adjust_layer(folder_.file("extra"), *base_, sha_), DataError);
}

TEST_F(AdjustNetworkTest, RefusesModelsWithoutHiddenStates) {
  const auto world = load_denoiser("exact:tabular?v=4&l=4", {});
  EXPECT_THROW((void)hidden_model_of(*world), ConfigError);
  const TemporaryFolder folder;
  RandomDit scores{
      .length = 16, .block_size = 16, .cross_attention = false, .time_conditioning = true};
  write_random_dit(folder.path(), scores);
  ModelOptions options;
  options.parameterization = "sedd";
  EXPECT_THROW((void)hidden_model_of(*load_denoiser(folder.path(), options)), ConfigError);
}

}  // namespace
}  // namespace dlm::testing
