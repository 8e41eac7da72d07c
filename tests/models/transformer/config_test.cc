// What a checkpoint folder is refused for.
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "models/factory.h"
#include "tests/support/data.h"
#include "tests/support/random_checkpoint.h"

namespace dlm::testing {
namespace {

// The error that a changed config.json is refused with; null values of `changes` delete.
template <class ErrorType>
std::string refusal(const RandomModel& model, const Json& changes,
                    const ModelOptions& options = {}) {
  const TemporaryFolder folder;
  Json config = random_config(model);
  config.merge_patch(changes);
  write_random_checkpoint(folder.path(), model, config);
  try {
    load_network(folder.path(), options);
  } catch (const ErrorType& error) {
    return error.what();
  }
  return "accepted";
}

void expect_text(const std::string& error, const std::string& text) {
  EXPECT_NE(error.find(text), std::string::npos) << error;
}

const RandomModel kGpt2{};
const RandomModel kLlama{.family = "llama"};
const RandomModel kQwen2{.family = "qwen2"};

TEST(Config, UnsupportedValuesAreRefusedByName) {
  expect_text(refusal<ConfigError>(kGpt2, {{"activation_function", "relu"}}),
              "activation_function");
  expect_text(refusal<ConfigError>(kGpt2, {{"add_cross_attention", true}}), "add_cross_attention");
  expect_text(refusal<ConfigError>(kLlama, {{"hidden_act", "gelu"}}), "hidden_act");
  expect_text(refusal<ConfigError>(kLlama, {{"partial_rotary_factor", 0.5}}),
              "partial_rotary_factor");
  expect_text(refusal<ConfigError>(kQwen2, {{"use_sliding_window", true}}), "use_sliding_window");
  const Json yarn = {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 2.0}}}};
  expect_text(refusal<ConfigError>(kLlama, yarn), "rope_scaling.rope_type");
  expect_text(refusal<ConfigError>(kLlama, yarn), "default, linear or llama3");
}

TEST(Config, UnknownModelTypeNamesTheNearest) {
  const std::string error = refusal<ConfigError>(kGpt2, {{"model_type", "gpt3"}});
  expect_text(error, "model_type");
  expect_text(error, "gpt2");
}

TEST(Config, MalformedValuesNameTheKey) {
  expect_text(refusal<DataError>(kGpt2, {{"n_embd", nullptr}}), "n_embd");
  expect_text(refusal<DataError>(kGpt2, {{"n_head", 5}}), "'n_embd' divisible by 'n_head'");
  expect_text(refusal<DataError>(kGpt2, {{"n_layer", -1}}), "n_layer");
  expect_text(refusal<DataError>(kGpt2, {{"eos_token_id", "x"}}), "eos_token_id");
  expect_text(refusal<DataError>(kGpt2, {{"layer_norm_epsilon", -1.0}}), "layer_norm_epsilon");
  expect_text(refusal<DataError>(kLlama, {{"num_key_value_heads", 3}}), "num_key_value_heads");
  expect_text(refusal<DataError>(kLlama, {{"head_dim", 5}}), "even");
  expect_text(refusal<DataError>(kLlama, {{"rope_scaling", "linear"}}), "rope_scaling");
  expect_text(refusal<DataError>(kLlama, {{"rope_scaling", {{"type", "linear"}}}}), "factor");
  expect_text(refusal<DataError>(kLlama, {{"model_type", nullptr}}), "model_type");
}

TEST(Config, TensorsThatDoNotFitAreRefusedByName) {
  expect_text(refusal<DataError>(kGpt2, {{"n_layer", 3}}), "h.2.ln_1.weight");
  expect_text(refusal<DataError>(kGpt2, {{"n_layer", 1}}), "h.1.");
  expect_text(refusal<DataError>(kGpt2, {{"vocab_size", 32}}), "wte.weight");
  expect_text(refusal<DataError>(kLlama, {{"tie_word_embeddings", false}}), "lm_head.weight");
  expect_text(refusal<DataError>(kLlama, {{"attention_bias", true}}), "q_proj.bias");
  expect_text(refusal<DataError>(kQwen2, {{"model_type", "llama"}}), "q_proj.bias");
}

TEST(Config, OptionsOutsideTheirRangeAreRefused) {
  expect_text(refusal<ConfigError>(kGpt2, Json::object(), {.dtype = "f64"}), "dtype");
  expect_text(refusal<ConfigError>(kGpt2, Json::object(), {.device = "gpu"}), "device");
  expect_text(refusal<ConfigError>(kGpt2, Json::object(), {.device = "cuda:x"}), "cuda:N");
  expect_text(refusal<ConfigError>(kGpt2, Json::object(), {.device = "cuda:120"}), "CUDA devices");
  expect_text(refusal<ConfigError>(kGpt2, Json::object(), {.linear_backend = "mkl"}),
              "linear_backend");
}

TEST(Config, KnownModelTypes) {
  EXPECT_EQ(known_model_types(), (std::vector<std::string>{"Dream", "bd3lm", "gpt2", "llada",
                                                           "llama", "mdlm", "qwen2", "sedd"}));
}

}  // namespace
}  // namespace dlm::testing
