#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include <ATen/TensorOperators.h>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "models/dit.h"
#include "models/training/noise_draws.h"
#include "tests/models/training/small_network.h"

namespace dlm {
namespace {

using testing::random_ids;
using testing::random_network;
using testing::small_spec;

std::string folder_of(const std::string& name) {
  return ::testing::TempDir() + "/trainable_" + name;
}

std::vector<std::vector<std::int64_t>> rows_of(const at::Tensor& ids) {
  std::vector<std::vector<std::int64_t>> rows;
  for (std::int64_t b = 0; b < ids.size(0); ++b) {
    const auto* from = ids.const_data_ptr<std::int64_t>() + b * ids.size(1);
    rows.emplace_back(from, from + ids.size(1));
  }
  return rows;
}

// What the saved network's own terms add up to at the masks that evaluate() draws.
double loaded_loss(const TrainableSpec& spec, const std::string& folder, const at::Tensor& ids) {
  const auto model = load_dit(Checkpoint::open(folder), {});
  const std::int64_t size = spec.objective == "bd3lm" ? spec.block_size : ids.size(1);
  const bool sedd = spec.objective == "sedd";
  const auto noise = draw_noise(
      {spec.noise_draw, spec.interval, spec.resamples, true, !sedd, spec.strata_rows, spec.seed},
      {5, ids.size(0), ids.size(1) / size, size});
  std::vector<MaskQuery> queries;
  std::vector<double> weights;
  for (const BlockNoise& block : noise) {
    if (block.masked.empty())
      continue;
    queries.push_back({block.row, block.block, block.masked, block.t});
    weights.push_back(block.weight);
  }
  const auto sequences = rows_of(ids);
  const auto context = model->encode(sequences, size);
  const auto terms = model->token_terms(*context, queries);
  double sum = 0;
  for (std::size_t q = 0; q < terms.size(); ++q) {
    for (const double term : terms[q]) sum += weights[q] * term;
  }
  return sum;
}

TEST(Trainable, SavedDenoisersAreReadBackWithTheSameTerms) {
  for (const std::string objective : {"mdlm", "sedd", "bd3lm"}) {
    TrainableSpec spec = small_spec(objective);
    spec.dropout = 0.1;
    const auto network = random_network(spec);
    const at::Tensor ids = random_ids(spec, 3);
    const BatchLoss loss = network->evaluate({ids, 5});
    const std::string folder = folder_of(objective);
    testing::save_network(*network, folder);
    const double loaded = loaded_loss(spec, folder, ids);
    EXPECT_NEAR(loss.sum, loaded, 1e-5 * std::abs(loaded)) << objective;
    EXPECT_EQ(loss.tokens, 3 * 47);
  }
}

TEST(Trainable, SavedAutoregressiveModelsAreReadBackWithTheSameNll) {
  const TrainableSpec spec = small_spec("ar");
  const auto network = random_network(spec);
  const at::Tensor ids = random_ids(spec, 3);
  const BatchLoss loss = network->evaluate({ids, 5});
  testing::save_network(*network, folder_of("ar"));
  const auto model = load_dit_autoregressive(Checkpoint::open(folder_of("ar")), {});
  std::vector<ScoringWindow> windows;
  for (const auto& row : rows_of(ids)) windows.push_back({row, 1});
  double sum = 0;
  for (const auto& row : model->token_nll(windows)) {
    for (const double value : row) sum += value;
  }
  EXPECT_NEAR(loss.sum, sum, 1e-5 * sum);
  EXPECT_EQ(loss.nelbo, loss.sum);
  EXPECT_EQ(loss.tokens, 3 * 47);
}

TEST(Trainable, BeginsFromAFolder) {
  TrainableSpec spec = small_spec("mdlm");
  const auto base = random_network(spec);
  testing::save_network(*base, folder_of("base"));
  spec.objective = "bd3lm";
  spec.seed = 3;
  spec.initial_weights = folder_of("base");
  const auto tuned = make_trainable(spec);
  for (std::size_t i = 0; i < base->parameters().size(); ++i)
    EXPECT_TRUE(base->parameters()[i].value.equal(tuned->parameters()[i].value));
  spec.adaln = false;
  EXPECT_THROW(make_trainable(spec), DataError);
}

TEST(Trainable, GoesOnFromAFolder) {
  for (const std::string objective : {"ar", "mdlm", "sedd", "bd3lm"}) {
    TrainableSpec spec = small_spec(objective);
    spec.mask_id = 3;
    const auto network = random_network(spec);
    testing::save_network(*network, folder_of("goes_on"));
    TrainableSpec found = spec_of_folder(folder_of("goes_on"));
    EXPECT_EQ(found.objective, objective);
    at::Tensor ids = random_ids(spec, 2);
    ids.masked_fill_(ids.eq(3), 12);
    EXPECT_EQ(make_trainable(found)->evaluate({ids, 1}).sum, network->evaluate({ids, 1}).sum);
  }
}

// With gates and head of 0 the network is uniform over all tokens but the mask.
TEST(Trainable, BeginsUniform) {
  for (const std::string objective : {"ar", "bd3lm"}) {
    TrainableSpec spec = small_spec(objective);
    spec.interval = {1, 1};
    spec.block_size = 1;
    const auto network = make_trainable(spec);
    const BatchLoss loss = network->evaluate({random_ids(spec, 2), 0});
    EXPECT_NEAR(loss.sum / loss.tokens, std::log(12.0), 1e-6);
    EXPECT_EQ(loss.nelbo, loss.sum);
  }
}

TEST(Trainable, InitialWeightsAreThePublishedLaws) {
  TrainableSpec spec = small_spec("bd3lm");
  spec.width = 64;
  const auto network = make_trainable(spec);
  const auto again = make_trainable(spec);
  for (std::size_t i = 0; i < network->parameters().size(); ++i) {
    const Parameter& parameter = network->parameters()[i];
    EXPECT_TRUE(parameter.value.equal(again->parameters()[i].value));
    const bool zero = parameter.name.find("adaLN") != std::string::npos ||
                      parameter.name.find("output_layer.linear") != std::string::npos;
    const bool norm = parameter.name.find("norm") != std::string::npos;
    const double largest = parameter.value.abs().max().item().toDouble();
    if (zero || norm) {
      EXPECT_EQ(parameter.value.min().item().toDouble(), norm ? 1 : 0) << parameter.name;
      EXPECT_EQ(largest, norm ? 1 : 0);
    } else if (parameter.value.dim() == 2) {
      const double bound = 1 / std::sqrt(static_cast<double>(parameter.value.size(1)));
      EXPECT_LT(largest, bound) << parameter.name;
      EXPECT_GT(largest, 0.95 * bound) << parameter.name;
      EXPECT_NEAR(parameter.value.square().mean().item().toDouble(), bound * bound / 3,
                  bound * bound / 10);
    }
  }
}

TEST(Trainable, CountsWhatItComputes) {
  TrainableSpec spec = small_spec("bd3lm");
  spec.interval = {1, 1};
  const auto network = make_trainable(spec);
  const BatchLoss loss = network->evaluate({random_ids(spec, 2), 0});
  EXPECT_EQ(loss.counts.passes, 1);
  EXPECT_EQ(loss.counts.positions, 2 * (48 + 44));
  EXPECT_EQ(loss.counts.head_rows, 2 * 47);
  EXPECT_GT(loss.counts.flops, 0);
}

// The same noise in both, and no dropout.
TEST(Trainable, TheBoundOfAStepIsThatOfAValidation) {
  for (const std::string objective : {"ar", "mdlm", "sedd", "bd3lm"}) {
    const TrainableSpec spec = small_spec(objective);
    const auto network = random_network(spec);
    const TrainBatch batch = {random_ids(spec, 3), 7};
    const BatchLoss trained = network->accumulate_gradients(batch, 1);
    const BatchLoss measured = network->evaluate(batch);
    EXPECT_NEAR(trained.nelbo / trained.tokens, measured.nelbo / measured.tokens,
                1e-6 * std::abs(measured.nelbo))
        << objective;
    EXPECT_NEAR(trained.sum, measured.sum, 1e-6 * std::abs(measured.sum)) << objective;
  }
}

TEST(Trainable, BeginsOnlyFromAFolderOfItsHeadsAndMask) {
  const TrainableSpec spec = small_spec("mdlm");
  testing::save_network(*random_network(spec), folder_of("heads"));
  const auto refusal = [&](auto change) -> std::string {
    TrainableSpec other = spec;
    other.initial_weights = folder_of("heads");
    change(other);
    try {
      (void)make_trainable(other);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(refusal([](TrainableSpec&) {}), "accepted");
  EXPECT_TRUE(refusal([](TrainableSpec& s) { s.heads = 2; }).starts_with("model.heads"));
  EXPECT_TRUE(refusal([](TrainableSpec& s) { s.mask_id = 1; }).starts_with("mask_id"));
}

TEST(Trainable, NoiseIntervalsChangeTheDraw) {
  TrainableSpec spec = small_spec("bd3lm");
  const auto network = random_network(spec);
  const TrainBatch batch = {random_ids(spec, 2), 0};
  const BatchLoss whole = network->evaluate(batch);
  network->set_noise_interval({0.5, 1});
  EXPECT_NE(network->evaluate(batch).sum, whole.sum);
  EXPECT_THROW(network->set_noise_interval({0, 1}), ConfigError);
  EXPECT_THROW(network->set_noise_interval({0.6, 0.5}), ConfigError);
}

template <class Change>
void expect_refused(const Change& change) {
  TrainableSpec spec = small_spec("bd3lm");
  change(spec);
  EXPECT_THROW(make_trainable(spec), ConfigError);
}

TEST(Trainable, RefusesSettingsThatDoNotFit) {
  expect_refused([](TrainableSpec& s) { s.objective = "bd3"; });
  expect_refused([](TrainableSpec& s) { s.block_size = 5; });
  expect_refused([](TrainableSpec& s) { s.heads = 5; });
  expect_refused([](TrainableSpec& s) { s.layers = 0; });
  expect_refused([](TrainableSpec& s) { s.dropout = 1; });
  expect_refused([](TrainableSpec& s) { s.dropout = std::nan(""); });
  expect_refused([](TrainableSpec& s) { s.dtype = "f16"; });
  expect_refused([](TrainableSpec& s) { s.mask_id = 13; });
  expect_refused([](TrainableSpec& s) { s.interval = {0.5, 1.05}; });
  expect_refused([](TrainableSpec& s) {
    s.objective = "sedd";
    s.noise_draw = NoiseDraw::kMaskCounts;
  });
  expect_refused([](TrainableSpec& s) {
    s.objective = "mdlm";
    s.pass_form = PassForm::kTwoPass;
  });
  EXPECT_THROW(parse_noise_draw("publishd"), ConfigError);
}

TEST(Trainable, RefusesBatchesThatDoNotFit) {
  const TrainableSpec spec = small_spec("bd3lm");
  const auto network = make_trainable(spec);
  at::Tensor ids = random_ids(spec, 2);
  EXPECT_THROW(network->evaluate({ids.narrow(1, 0, 46).contiguous(), 0}), ConfigError);
  ids.select(0, 1).select(0, 7).fill_(12);
  EXPECT_THROW(network->accumulate_gradients({ids, 0}, 1), ConfigError);
  ids.select(0, 1).select(0, 7).fill_(-1);
  EXPECT_THROW(network->evaluate({ids, 0}), ConfigError);
}

TEST(Trainable, RefusesALossThatIsNotFinite) {
  const TrainableSpec spec = small_spec("ar");
  const auto network = random_network(spec);
  network->parameters().back().value.fill_(std::numeric_limits<float>::quiet_NaN());
  EXPECT_THROW(network->accumulate_gradients({random_ids(spec, 2), 0}, 1), InternalError);
}

}  // namespace
}  // namespace dlm
