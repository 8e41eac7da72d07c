// The networks against slow loops in double, and against each other where they must agree.
#include <string>
#include <vector>

#include <ATen/Parallel.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "models/factory.h"
#include "tests/models/transformer/naive_decoder.h"
#include "tests/support/data.h"
#include "tests/support/random_checkpoint.h"
#include "tests/support/tensors.h"

namespace dlm::testing {
namespace {

const std::vector<std::int64_t> kIds = {1, 5, 5, 30, 0, 17, 8, 2, 2, 29, 11};

at::Tensor as_matrix(const Matrix& rows) {
  std::vector<double> flat;
  for (const Vector& row : rows) flat.insert(flat.end(), row.begin(), row.end());
  return float_tensor(flat).view({static_cast<std::int64_t>(rows.size()), -1});
}

at::Tensor logits_of(const AutoregressiveModel& model, const std::vector<std::int64_t>& ids) {
  const std::vector<std::int64_t> length = {static_cast<std::int64_t>(ids.size())};
  return model.logits(ids_tensor({ids}), length).select(0, 0);
}

// A checkpoint of the model, compared with the loops at either back end.
void expect_agrees(const RandomModel& model, const Json& config, const std::string& what) {
  const TemporaryFolder folder;
  write_random_checkpoint(folder.path(), model, config);
  const NaiveDecoder naive(folder.path());
  const at::Tensor expected = as_matrix(naive.logits(kIds));
  const at::Tensor hidden = as_matrix(naive.hidden(kIds));
  EXPECT_GT(expected.abs().max().item().toDouble(), 1) << what << ": logits too flat to test";
  for (const std::string backend : {"auto", "aten"}) {
    const auto network = load_network(folder.path(), {.linear_backend = backend});
    expect_close(logits_of(*network, kIds), expected, 3e-5, what + ", " + backend);
    const std::vector<std::int64_t> length = {static_cast<std::int64_t>(kIds.size())};
    expect_close(network->hidden_states(ids_tensor({kIds}), length).select(0, 0), hidden, 3e-5,
                 what + ", hidden, " + backend);
  }
}

void expect_agrees(const RandomModel& model, const Json& changes = Json::object()) {
  Json config = random_config(model);
  config.update(changes);
  expect_agrees(model, config, model.family + " " + changes.dump());
}

TEST(Gpt2, AgreesWithLoopsInDouble) {
  expect_agrees({});
  expect_agrees({.tied = false});
  expect_agrees({}, {{"activation_function", "gelu"}});
  expect_agrees({}, {{"scale_attn_weights", false}});
  expect_agrees({.layers = 3}, {{"scale_attn_by_inverse_layer_idx", true}});
  expect_agrees({.inner = 96}, {{"n_inner", nullptr}});
}

TEST(Llama, AgreesWithLoopsInDouble) {
  expect_agrees({.family = "llama"});
  expect_agrees({.family = "llama", .tied = false});
  expect_agrees({.family = "llama", .kv_heads = 1, .head_dim = 10});
  expect_agrees({.family = "llama", .kv_heads = 4, .attention_bias = true, .mlp_bias = true});
}

TEST(Llama, RopeTypesAgreeWithLoopsInDouble) {
  const RandomModel model{.family = "llama"};
  expect_agrees(model, {{"rope_theta", 37.0}});
  expect_agrees(model, {{"rope_scaling", nullptr}});
  expect_agrees(model, {{"rope_scaling", {{"type", "linear"}, {"factor", 3.0}}}});
  expect_agrees(model, {{"rope_parameters", {{"rope_theta", 50.0}, {"rope_type", "default"}}}});
  expect_agrees(model, {{"rope_theta", 20.0},
                        {"rope_scaling",
                         {{"rope_type", "llama3"},
                          {"factor", 8.0},
                          {"low_freq_factor", 1.0},
                          {"high_freq_factor", 4.0},
                          {"original_max_position_embeddings", 12}}}});
}

TEST(Qwen2, AgreesWithLoopsInDouble) {
  expect_agrees({.family = "qwen2"});
  expect_agrees({.family = "qwen2", .kv_heads = 1, .tied = false}, {{"rope_theta", 1e6}});
}

TEST(Qwen2, WithZeroBiasesIsLlama) {
  const TemporaryFolder qwen, llama, biased;
  RandomModel model{.family = "qwen2"};
  write_random_checkpoint(biased.path(), model);
  model.zero_biases = true;
  write_random_checkpoint(qwen.path(), model);
  model.family = "llama";
  write_random_checkpoint(llama.path(), model);
  const at::Tensor expected = logits_of(*load_network(llama.path(), {}), kIds);
  expect_close(logits_of(*load_network(qwen.path(), {}), kIds), expected, 1e-6);
  EXPECT_GT(max_difference(logits_of(*load_network(biased.path(), {}), kIds), expected), 0.1);
}

TEST(Decoder, RowsOfABatchDoNotSeeEachOther) {
  for (const std::string family : {"gpt2", "llama"}) {
    const TemporaryFolder folder;
    write_random_checkpoint(folder.path(), {.family = family});
    const auto model = load_network(folder.path(), {});
    const std::vector<std::vector<std::int64_t>> rows = {kIds, {4, 4, 9}, {30}, {7, 1, 3, 3, 2}};
    const std::vector<std::int64_t> lengths = {11, 3, 1, 5};
    const at::Tensor together = model->logits(ids_tensor(rows), lengths);
    for (std::size_t b = 0; b < rows.size(); ++b) {
      const at::Tensor row = together.select(0, static_cast<std::int64_t>(b));
      expect_close(row.narrow(0, 0, lengths[b]), logits_of(*model, rows[b]), 1e-5, family);
      EXPECT_EQ(row.narrow(0, lengths[b], 11 - lengths[b]).abs().sum().item().toDouble(), 0);
    }
  }
}

TEST(Decoder, ThreadsDoNotChangeTheNumbers) {
  const TemporaryFolder folder;
  write_random_checkpoint(folder.path(), {.width = 64, .heads = 8, .inner = 200});
  const auto model = load_network(folder.path(), {});
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor one = logits_of(*model, kIds);
  at::set_num_threads(4);
  const at::Tensor four = logits_of(*model, kIds);
  at::set_num_threads(threads);
  expect_close(four, one, 1e-5);
}

TEST(Decoder, Bf16AndF16StayNearF32) {
  for (const std::string family : {"gpt2", "llama", "qwen2"}) {
    const TemporaryFolder folder;
    write_random_checkpoint(folder.path(), {.family = family, .scale = 0.15});
    const at::Tensor exact = logits_of(*load_network(folder.path(), {}), kIds);
    const double size = exact.square().mean().sqrt().item().toDouble();
    for (const auto& [dtype, share] : {std::pair{"bf16", 0.06}, std::pair{"f16", 0.01}}) {
      const auto model = load_network(folder.path(), {.dtype = dtype});
      EXPECT_EQ(model->info().dtype, dtype);
      const at::Tensor logits = logits_of(*model, kIds);
      EXPECT_EQ(logits.scalar_type(), at::kFloat);
      expect_close(logits, exact, share * size, family + " " + dtype);
      EXPECT_GT(max_difference(logits, exact), 1e-6) << "computed in f32?";
    }
  }
}

TEST(Decoder, SaysWhatItIs) {
  const TemporaryFolder folder;
  const RandomModel model{.family = "llama", .tied = false};
  Json config = random_config(model);
  config["eos_token_id"] = {9, 10};
  config["bos_token_id"] = nullptr;
  write_random_checkpoint(folder.path(), model, config);
  std::int64_t parameters = 0;
  for (const auto& [name, shape] : tensor_shapes(model)) {
    std::int64_t count = 1;
    for (const std::int64_t size : shape) count *= size;
    parameters += count;
  }
  const auto network = load_network(folder.path(), {});
  const ModelInfo& info = network->info();
  EXPECT_EQ(info.family, "llama");
  EXPECT_EQ(info.vocab_size, 31);
  EXPECT_EQ(info.max_length, 64);
  EXPECT_EQ(info.eos_id, 9);
  EXPECT_EQ(info.bos_id, -1);
  EXPECT_EQ(info.parameters, parameters);
  EXPECT_FALSE(info.scores_first_token);
  EXPECT_FALSE(info.is_bound);
}

}  // namespace
}  // namespace dlm::testing
