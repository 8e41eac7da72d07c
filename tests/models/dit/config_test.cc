// Everything about a diffusion transformer that the user can get wrong, by name.
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "models/checkpoint/safetensors.h"
#include "models/dit.h"
#include "models/factory.h"
#include "tests/models/dit/random_dit.h"
#include "tests/support/data.h"
#include "tests/support/tensors.h"

namespace dlm::testing {
namespace {

using Texts = std::vector<std::vector<std::int64_t>>;

template <class E>
void expect_error(const std::function<void()>& action, const std::string& text) {
  try {
    action();
    ADD_FAILURE() << "no error: " << text;
  } catch (const E& error) {
    EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
  }
}

class DitErrors : public ::testing::Test {
 protected:
  DitErrors() { write_random_dit(folder_.path(), {}); }

  void change_config(const Json& fields) {
    const std::string path = folder_.file("config.json");
    Json config = parse_json(MappedFile::open(path)->text(), path);
    config.update(fields);
    write_file_atomically(path, config.dump());
  }

  std::unique_ptr<Denoiser> load(const ModelOptions& options = {}) const {
    return load_denoiser(folder_.path(), options);
  }

  TemporaryFolder folder_;
};

TEST_F(DitErrors, Sequences) {
  const auto model = load();
  const auto encode = [&](const Texts& text, std::int64_t size) {
    return [&model, text, size] { model->encode(text, size); };
  };
  const std::vector<std::int64_t> eight(8, 1);
  expect_error<ConfigError>(encode({}, 4), "sequences");
  expect_error<ConfigError>(encode({{}}, 4), "sequence");
  expect_error<ConfigError>(encode({{1, 2, 3, 13}}, 4), "token id of sequence 0 at position 3");
  expect_error<ConfigError>(encode({{1, -1, 3, 4}}, 4), "position 1");
  expect_error<ConfigError>(encode({eight, {1, 2, 3, 4, 5, 12, 7, 8}}, 4),
                            "token id of sequence 1 at position 5");
  expect_error<ConfigError>(encode({{1, 2, 3, 12}}, 4), "other than the mask");
  expect_error<ConfigError>(encode({{1, 2, 3, 4, 5}}, 4), "a divisor of the sequence length, 5");
  expect_error<ConfigError>(encode({eight, {1, 2, 3, 4}}, 4), "length of sequence 1");
  expect_error<ConfigError>(encode({std::vector<std::int64_t>(52, 1)}, 4), "at most 48");
  expect_error<ConfigError>(encode({eight}, 0), "block_size");
}

TEST_F(DitErrors, OtherBlockSizesNeedTheFlag) {
  const Texts text = {std::vector<std::int64_t>(8, 1)};
  const auto model = load();
  expect_error<ConfigError>([&] { model->encode(text, 8); }, "4, as the model was trained");
  const auto any = load({.any_block_size = true});
  EXPECT_EQ(any->encode(text, 8)->block_size(), 8);
}

// Its weights have no keys of clean context, whatever size is allowed.
TEST_F(DitErrors, WithoutCleanContextASequenceIsOneBlock) {
  change_config({{"cross_attn", false}, {"block_size", 48}});
  const Texts text = {std::vector<std::int64_t>(8, 1)};
  for (const bool any_size : {false, true}) {
    const auto model = load({.any_block_size = any_size});
    EXPECT_EQ(model->encode(text, 8)->block_size(), 8);
    expect_error<ConfigError>([&] { model->encode(text, 4); },
                              "block_size = '4': 8, the sequence's length");
  }
}

TEST_F(DitErrors, Queries) {
  const auto model = load();
  const auto context = model->encode(Texts{{1, 2, 3, 4, 5, 6, 7, 8}}, 4);
  const auto ask = [&](const MaskQuery& query) {
    return [&model, &context, query] {
      model->token_terms(*context, std::vector<MaskQuery>{{0, 0, {1}, 1}, query});
    };
  };
  expect_error<ConfigError>(ask({1, 0, {0}, 1}), "query 1: sequence");
  expect_error<ConfigError>(ask({0, 2, {0}, 1}), "query 1: block");
  expect_error<ConfigError>(ask({0, -1, {0}, 1}), "query 1: block");
  expect_error<ConfigError>(ask({0, 1, {}, 1}), "query 1: masked");
  expect_error<ConfigError>(ask({0, 1, {4}, 1}), "0 to 3");
  expect_error<ConfigError>(ask({0, 1, {2, 1}, 1}), "ascending");
  EXPECT_TRUE(model->token_terms(*context, std::vector<MaskQuery>{}).empty());
}

TEST_F(DitErrors, NoiseLevels) {
  change_config({{"time_conditioning", true}});
  const auto model = load();
  const auto context = model->encode(Texts{{1, 2, 3, 4}}, 4);
  for (const double t : {0.0, -0.5, 1.5}) {
    expect_error<ConfigError>(
        [&] {
          model->token_terms(*context, std::vector<MaskQuery>{{0, 0, {0}, t}});
        },
        "query 0: t");
  }
}

TEST_F(DitErrors, ValuesThatAreNotFinite) {
  write_random_dit(folder_.path(), {.scale = 1e20});
  const auto model = load();
  const auto context = model->encode(Texts{{1, 2, 3, 4, 5, 6, 7, 8}}, 4);
  expect_error<InternalError>(
      [&] {
        model->token_terms(*context, std::vector<MaskQuery>{{0, 1, {2}, 1}});
      },
      "bd3lm: the term of sequence 0, position 6 is");
}

// The embedding stays in the file; it is checked there.
TEST_F(DitErrors, AnEmbeddingThatIsNotFinite) {
  const std::string path = folder_.path() + "/model.safetensors";
  std::string bytes(MappedFile::open(path)->text());
  for (const TensorView& view : open_safetensors(path)) {
    if (view.name == "backbone.vocab_embed.embedding") {
      const float infinity = std::numeric_limits<float>::infinity();
      std::memcpy(bytes.data() + view.file_offset() + 40, &infinity, sizeof infinity);
    }
  }
  write_file_atomically(path, bytes);
  expect_error<DataError>([&] { load(); }, "embedding' to hold finite numbers only");
}

TEST_F(DitErrors, RawForward) {
  const auto model = load_dit(Checkpoint::open(folder_.path()), {});
  const at::Tensor ids = ids_tensor({{1, 2, 3, 12}});
  expect_error<ConfigError>([&] { model->logits({ids, ids_tensor({{1, 2}}), 4, {}}); }, "x_0");
  expect_error<ConfigError>(
      [&] {
        model->logits({ids_tensor({{1, 2, 3, 13}}), {}, 4, {}});
      },
      "outside the vocabulary");
  expect_error<ConfigError>([&] { model->logits({ids, {}, 2, {}}); }, "block_size");
  expect_error<ConfigError>([&] { model->logits({ids, {}, 4, {0.1, 0.2}}); }, "sigma");
}

TEST_F(DitErrors, Configurations) {
  const auto change = [&](const Json& fields) {
    return [this, fields] {
      write_random_dit(folder_.path(), {});
      change_config(fields);
      load();
    };
  };
  expect_error<DataError>(change({{"n_heads", 5}}), "'hidden width' divisible by 'n_heads'");
  expect_error<DataError>(change({{"n_heads", 8}}), "an even head width");
  expect_error<DataError>(change({{"vocab_size", 14}}), "vocab_embed.embedding");
  expect_error<DataError>(change({{"cond_dim", 6}}), "sigma_map.mlp.0.weight");
  expect_error<DataError>(change({{"adaln", false}}), "adaLN_modulation");
  expect_error<DataError>(change({{"block_size", 7}}), "multiple of 'block_size'");
  expect_error<DataError>(change({{"mask_token_id", 13}}), "mask_token_id");
  expect_error<DataError>(change({{"n_blocks", 4}}), "blocks.3.");
  expect_error<ConfigError>(change({{"causal", true}}), "causal");
  expect_error<ConfigError>(change({{"model_type", "mdml"}}), "mdlm");
}

TEST_F(DitErrors, Options) {
  expect_error<ConfigError>([&] { load({.parameterization = "subz"}); }, "parameterization");
  expect_error<ConfigError>([&] { load({.noise = "cliped"}); }, "clipped");
  expect_error<ConfigError>([&] { load_network(folder_.path(), {}); }, "this is a denoiser");
}

TEST_F(DitErrors, HydraConfigurations) {
  const Json hydra = {
      {"tokens", 12},
      {"graph", {{"type", "uniform"}}},
      {"model",
       {{"hidden_size", 24}, {"n_blocks", 3}, {"n_heads", 4}, {"cond_dim", 5}, {"length", 48}}}};
  write_file_atomically(folder_.file("config.json"), hydra.dump());
  expect_error<ConfigError>([&] { load(); }, "absorb");
}

}  // namespace
}  // namespace dlm::testing
