// What a base says of windows, what a layer learns from it, and what is refused.
#include "models/training/adjust_trainable.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/ops/empty.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/gzip.h"
#include "harness/base/json.h"
#include "harness/base/random.h"
#include "models/adjust_layer.h"
#include "models/checkpoint/checkpoint.h"
#include "models/checkpoint/safetensors.h"
#include "models/checkpoint/weights.h"
#include "models/factory.h"
#include "models/sampling/block_sampler.h"
#include "models/training/adjust_teacher.h"
#include "models/training/adjust_trainable.h"
#include "models/training/trajectories.h"
#include "models/transformer/inference_scope.h"
#include "tests/models/canvas/random_canvas.h"
#include "tests/models/dit/random_dit.h"
#include "tests/models/training/noting_denoiser.h"
#include "tests/models/training/small_network.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

using Rows = std::vector<std::vector<std::int64_t>>;

enum class Base { kMasked, kBlocks, kDream };

class AdjustTrainableTest : public ::testing::TestWithParam<Base> {
 protected:
  AdjustTrainableTest() {
    const std::string path = folder_.file("base");
    spec_.length = 16;
    spec_.prompt_tokens = 1;
    spec_.heads = 2;
    spec_.inner = 20;
    if (GetParam() == Base::kDream) {
      spec_.prompt_tokens = 4;
      testing::write_random_dream(path);
    } else {
      const bool blocks = GetParam() == Base::kBlocks;
      testing::write_random_dit(
          path, {.length = 16, .block_size = blocks ? 8 : 16, .cross_attention = blocks});
    }
    base_ = load_denoiser(path, {});
    spec_.base_sha256 = Checkpoint::open(path).weights_sha256();
  }

  Rows rows(std::int64_t count) const {
    TrajectorySpec spec;
    spec.base_sha256 = spec_.base_sha256;
    spec.length = spec_.length;
    spec.prompt_tokens = spec_.prompt_tokens;
    spec.block_size = adjust_block_size(*base_, spec_);
    spec.count = count;
    const Rows prompts = {{1, 2, 3, 1}, {3, 1, 2, 2}};
    const Trajectories set = make_trajectories(*base_, prompts, spec, folder_.file("trajectories"));
    Rows out;
    for (auto next = set.rows.begin(); next != set.rows.end(); next += set.row_length())
      out.emplace_back(next, next + set.row_length());
    return out;
  }

  static TrainBatch batch_of(const Rows& rows) {
    TrainBatch batch;
    const auto length = static_cast<std::int64_t>(rows.front().size());
    batch.ids = at::empty({std::ssize(rows), length}, at::kLong);
    auto* to = batch.ids.mutable_data_ptr<std::int64_t>();
    for (const auto& row : rows) to = std::copy(row.begin(), row.end(), to);
    return batch;
  }

  // Weights far from where training begins.
  static void scatter(Trainable& network) {
    for (const Parameter& parameter : network.parameters()) {
      const RandomStream stream(5, Purpose::kTest, std::hash<std::string>()(parameter.name));
      const double middle = parameter.name.find("norm") != std::string::npos ? 0.7 : 0;
      float* values = parameter.value.mutable_data_ptr<float>();
      for (std::int64_t i = 0; i < parameter.value.numel(); ++i)
        values[i] =
            static_cast<float>(middle + 0.2 * stream.normal(0, static_cast<std::uint64_t>(i)));
    }
  }

  // As the training folder publishes it.
  static void save(Trainable& network, const std::string& folder) {
    testing::save_network(network, folder);
  }

  testing::TemporaryFolder folder_;
  std::unique_ptr<BlockDenoiser> base_;
  AdjustTrainingSpec spec_;
};

std::string base_name(const ::testing::TestParamInfo<Base>& of) {
  const char* const names[] = {"Masked", "Blocks", "Dream"};
  return names[static_cast<std::size_t>(of.param)];
}

INSTANTIATE_TEST_SUITE_P(Bases, AdjustTrainableTest,
                         ::testing::Values(Base::kMasked, Base::kBlocks, Base::kDream), base_name);

WindowText window_of(const std::vector<std::int64_t>& row, const AdjustTrainingSpec& spec,
                     const TrajectoryWindow& window) {
  WindowText out;
  out.text.assign(row.begin(), row.begin() + spec.length);
  out.rank.assign(out.text.size(), -1);
  for (std::size_t i = out.text.size(); i < row.size(); ++i)
    out.rank[static_cast<std::size_t>(row[i])] = static_cast<std::int64_t>(i) - spec.length;
  out.window = window;
  return out;
}

// The teacher's laws against the terms that likelihood estimators ask the base for.
TEST_P(AdjustTrainableTest, TheTeacherIsTheBaseOnTheTextWithItsTokens) {
  const InferenceScope scope;
  const auto row = rows(1).front();
  const std::int64_t size = adjust_block_size(*base_, spec_);
  const bool whole = base_->sees_whole_text();
  const std::int64_t first = whole ? spec_.prompt_tokens : 0;
  const std::vector<std::int64_t> order(row.begin() + spec_.length, row.end());
  const auto windows = trajectory_windows(order, first, size, 3);
  std::vector<WindowText> texts = {window_of(row, spec_, windows.front()),
                                   window_of(row, spec_, windows.back())};
  AdjustTeacher teacher(*base_, spec_.length, size, 2);
  teacher.begin(texts);
  const at::Tensor states = teacher.states();
  EXPECT_EQ(states.size(0) % 2, 0);
  const std::vector<char> both = {1, 1};
  const AdjustTarget target = teacher.target(1, both);
  // Dream's canvas begins behind its prompt, as one block that is the rest.
  const Rows sequence = {texts[0].text};
  const std::int64_t query_block = whole ? spec_.length : size;
  const auto context = base_->encode(sequence, query_block);
  std::size_t next = 0;
  for (const WindowText& of : texts) {
    MaskQuery query;
    query.block = whole ? 0 : of.window.begin / size;
    const std::int64_t shift = whole ? of.window.begin : 0;
    for (const std::int64_t position : of.hidden(1, size)) query.masked.push_back(position + shift);
    const std::vector<double> terms = base_->token_terms(*context, {&query, 1}).front();
    for (std::size_t i = 0; i < terms.size(); ++i, ++next) {
      const std::int64_t place = of.window.begin + query.masked[i] - shift;
      const float p =
          target.laws
              .const_data_ptr<float>()[static_cast<std::int64_t>(next) * target.laws.size(1) +
                                       of.text[static_cast<std::size_t>(place)]];
      EXPECT_NEAR(std::exp(-terms[i]), static_cast<double>(p), 2e-5);
      EXPECT_NEAR(target.weights[next], 1 / static_cast<double>(terms.size()), 1e-12);
    }
  }
  EXPECT_EQ(next, target.weights.size());
}

// Refreshes of the published layer against the base's own laws: the sum that training reports.
TEST_P(AdjustTrainableTest, TrainsTheLayerThatSamplersRun) {
  spec_.depth = 3;
  const auto network = make_adjust_trainable(*base_, spec_);
  scatter(*network);
  const std::string path = folder_.file("layer");
  save(*network, path);
  const auto layer = load_adjust_layer(path, *base_, spec_.base_sha256);
  const Rows all = rows(4);
  const auto quality = network->validate(all);
  ASSERT_EQ(quality.size(), 3U);
  spec_.initial_weights = path;
  const auto again = make_adjust_trainable(*base_, spec_)->validate(all);
  for (std::size_t pass = 0; pass < 3; ++pass)
    EXPECT_EQ(again[pass].nats, quality[pass].nats) << pass;

  // Four tokens from one pass of the base, their places as drawn: the laws that the sampler draws
  // from are the layer's; summed up over places and tokens they are its divergence.
  class Spy final : public Refresh {
   public:
    Spy(Refresh& inner, const BlockDenoiser& base) : inner_(inner), base_(base) {}

    bool reads_hidden() const override { return inner_.reads_hidden(); }

    void begin(BlockDecoder& decoder, std::span<const std::int64_t> rows) override {
      inner_.begin(decoder, rows);
    }

    void refresh(std::span<RefreshRow> rows) override {
      inner_.refresh(rows);
      for (const RefreshRow& row : rows) {
        for (const auto logits : row.logits) seen.emplace_back(logits.begin(), logits.end());
      }
    }

    std::vector<std::vector<float>> seen;

   private:
    Refresh& inner_;
    const BlockDenoiser& base_;
  };

  Spy spy(*layer, *base_);
  BlockSampleOptions options;
  options.block_size = base_->sees_whole_text() ? 0 : adjust_block_size(*base_, spec_);
  options.max_new_tokens = spec_.length - spec_.prompt_tokens;
  options.reveal = {"entropy", 4};
  options.hooks.refresh = &spy;
  RecordedDraws draws(options.seed);
  options.hooks.draws = &draws;
  const Prompt prompt{{all.front().begin(), all.front().begin() + spec_.prompt_tokens}, 0, 0};
  const BlockSample text = sample_blocks(*base_, {&prompt, 1}, options).front();
  std::vector<std::int64_t> row = text.ids;
  const std::vector<std::int64_t>& order = draws.order(0);
  row.insert(row.end(), order.begin(), order.end());
  const InferenceScope scope;
  const std::int64_t size = adjust_block_size(*base_, spec_);
  const std::int64_t first = base_->sees_whole_text() ? spec_.prompt_tokens : 0;
  const std::vector<WindowText> windows = {
      window_of(row, spec_, trajectory_windows(order, first, size, 3).front())};
  AdjustTeacher teacher(*base_, spec_.length, size, 1);
  teacher.begin(windows);
  const at::Tensor states = teacher.states();
  const AdjustBase frozen = adjust_base(*base_);
  const Json json = parse_json(Checkpoint::open(path).config_json, "config");
  AdjustConfig config =
      parse_adjust_config(json, hidden_model_of(*base_).network_shape(), "config");
  config.block.qkv_bias = BiasKind::kPresent;
  AdjustParameters parameters(config, 1);
  parameters.load(path, hidden_model_of(*base_).network_shape());
  const RotaryAngles angles =
      rotary_angles(spec_.length, config.block.shape.head_dim, spec_.rope_theta);
  AdjustUnroll unroll = {config, frozen, angles, 1, states, {}};
  const std::vector<char> one = {1};
  for (std::int64_t pass = 1; pass <= 3; ++pass)
    unroll.targets.push_back(teacher.target(pass, one));
  const auto found = unroll_divergences(unroll, parameters.values());
  std::size_t next = 0;
  for (std::size_t pass = 0; pass < 3; ++pass) {
    const AdjustTarget& target = unroll.targets[pass];
    for (std::size_t i = 0; i < found[pass].size(); ++i, ++next) {
      ASSERT_LT(next, spy.seen.size());
      const LawRow law = {
          target.laws.const_data_ptr<float>() + static_cast<std::int64_t>(i) * target.laws.size(1),
          target.negative_entropy[i]};
      std::vector<float>& logits = spy.seen[next];
      const RowDivergence sampled =
          divergence(law, {logits.data(), std::ssize(logits), base_->mask_id()});
      EXPECT_NEAR(sampled.nats, found[pass][i].nats, 1e-4) << pass;
    }
  }
}

// States that are kept are those of passes anew, whatever was asked for first, and so are losses,
// gradients and laws.
TEST_P(AdjustTrainableTest, KeptStatesChangeNothing) {
  const Rows all = rows(5);
  const auto anew = make_adjust_trainable(*base_, spec_);
  spec_.keeps_states = true;
  const auto kept = make_adjust_trainable(*base_, spec_);
  const auto kept_in_turn = make_adjust_trainable(*base_, spec_);
  for (const auto* network : {&anew, &kept, &kept_in_turn}) scatter(**network);
  for (std::size_t i = all.size(); i-- > 0;) kept_in_turn->evaluate(batch_of({all[i]}));
  TrainBatch batch = batch_of(all);
  for (const std::uint64_t first : {3U, 90U}) {
    batch.first_example = first;
    const BatchLoss wanted = anew->accumulate_gradients(batch, 1);
    const BatchLoss found = kept->accumulate_gradients(batch, 1);
    EXPECT_NEAR(found.sum, wanted.sum, 1e-5 * wanted.sum);
    EXPECT_EQ(kept_in_turn->accumulate_gradients(batch, 1).sum, found.sum);
  }
  for (std::size_t i = 0; i < anew->parameters().size(); ++i) {
    const at::Tensor& wanted = anew->parameters()[i].gradient;
    const double largest = wanted.abs().max().item().toDouble();
    const at::Tensor off = kept->parameters()[i].gradient.sub(wanted).abs().max();
    EXPECT_LE(off.item().toDouble(), 1e-4 * largest) << anew->parameters()[i].name;
  }
}

// The share of the loss on what is revealed next: of the marginals, which a new layer gives, by
// hand.
TEST_P(AdjustTrainableTest, NextShareWeighsByTheOrderOfReveals) {
  spec_.depth = 1;
  const auto row = rows(1).front();
  const std::int64_t size = adjust_block_size(*base_, spec_);
  const std::int64_t first = base_->sees_whole_text() ? spec_.prompt_tokens : 0;
  const std::vector<std::int64_t> order(row.begin() + spec_.length, row.end());
  std::vector<double> uniform, halved;  // of every window
  {
    const InferenceScope scope;
    const AdjustBase frozen = adjust_base(*base_);
    AdjustTeacher teacher(*base_, spec_.length, size, 1);
    const std::vector<char> one = {1};
    for (const TrajectoryWindow& window : trajectory_windows(order, first, size, 1)) {
      const std::vector<WindowText> texts = {window_of(row, spec_, window)};
      teacher.begin(texts);
      teacher.states();
      const AdjustTarget target = teacher.target(1, one);
      const at::Tensor logits = teacher.first_logits(target, frozen);
      const std::int64_t width = logits.size(1);
      const std::vector<std::int64_t> hidden = texts[0].hidden(1, size);
      double alike = 0, next = 0, weights = 0;
      for (std::size_t i = 0; i < hidden.size(); ++i) {
        const auto at = static_cast<std::int64_t>(i) * width;
        const double nats =
            divergence({target.laws.const_data_ptr<float>() + at, target.negative_entropy[i]},
                       {logits.mutable_data_ptr<float>() + at, width, base_->mask_id()})
                .nats;
        const auto place = std::find(order.begin(), order.end(), window.begin + hidden[i]);
        const auto later = place - (order.begin() + window.start + 1);
        alike += nats / static_cast<double>(hidden.size());
        next += nats * std::pow(0.5, later);
        weights += std::pow(0.5, later);
      }
      uniform.push_back(alike);
      halved.push_back(next / weights);
    }
  }
  for (const double share : {0.0, 0.25, 1.0}) {
    spec_.next_share = share;
    const auto network = make_adjust_trainable(*base_, spec_);
    std::vector<char> seen(uniform.size(), 0);
    for (std::uint64_t example = 0; example < 40; ++example) {
      TrainBatch batch = batch_of({row});
      batch.first_example = example;
      const double loss = network->evaluate(batch).sum;
      std::size_t best = 0;
      const auto expected = [&](std::size_t w) {
        return (1 - share) * uniform[w] + share * halved[w];
      };
      for (std::size_t w = 1; w < uniform.size(); ++w) {
        if (std::abs(expected(w) - loss) < std::abs(expected(best) - loss))
          best = w;
      }
      EXPECT_NEAR(loss, expected(best), 1e-5) << share;
      seen[best] = 1;
    }
    EXPECT_GE(std::count(seen.begin(), seen.end(), 1), std::ssize(seen) / 2);
  }
  spec_.next_share = 1.5;
  EXPECT_THROW(make_adjust_trainable(*base_, spec_), ConfigError);
}

TEST_P(AdjustTrainableTest, BeginsAsTheMarginals) {
  spec_.depth = 4;
  const auto network = make_adjust_trainable(*base_, spec_);
  for (const AdjustPassQuality& pass : network->validate(rows(6))) {
    EXPECT_NEAR(pass.nats, pass.naive_nats, 1e-4);
    EXPECT_EQ(pass.agreement, pass.naive_agreement);
    EXPECT_GT(pass.naive_nats, 1e-3);
    EXPECT_NEAR(pass.next_nats, pass.naive_next_nats, 1e-4);
    EXPECT_GT(pass.naive_next_nats, 0);
  }
}

TEST_P(AdjustTrainableTest, GradientsAreThoseOfTheLossItReports) {
  for (const auto loss :
       {AdjustTrainingSpec::Loss::kEveryPass, AdjustTrainingSpec::Loss::kLastPass}) {
    spec_.loss = loss;
    const auto network = make_adjust_trainable(*base_, spec_);
    scatter(*network);
    TrainBatch batch = batch_of(rows(5));
    batch.first_example = 11;
    const BatchLoss trained = network->accumulate_gradients(batch, 1);
    const double before = network->evaluate(batch).sum / trained.tokens;
    EXPECT_NEAR(trained.sum / trained.tokens, before, 1e-6);
    // Along its own gradient the loss falls by what its square says.
    double square = 0;
    for (const Parameter& one : network->parameters())
      square += one.gradient.square().sum().item().toDouble();
    const double step = 2e-3 / std::sqrt(square);
    for (const Parameter& one : network->parameters()) one.value.sub_(one.gradient, step);
    const double after = network->evaluate(batch).sum / trained.tokens;
    EXPECT_NEAR((before - after) / (step * square), 1, 0.05);
  }
}

TEST_P(AdjustTrainableTest, WindowsAreAFunctionOfTheExample) {
  const auto network = make_adjust_trainable(*base_, spec_);
  scatter(*network);
  const Rows all = rows(4);
  TrainBatch batch = batch_of(all);
  batch.first_example = 40;
  const BatchLoss together = network->evaluate(batch);
  double sum = 0, tokens = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    TrainBatch alone = batch_of({all[i]});
    alone.first_example = 40 + i;
    const BatchLoss one = network->evaluate(alone);
    sum += one.sum;
    tokens += one.tokens;
  }
  EXPECT_EQ(together.tokens, tokens);
  EXPECT_NEAR(together.sum, sum, 1e-4 * sum);
  batch.first_example = 44;
  EXPECT_NE(network->evaluate(batch).sum, together.sum);
}

// Time-conditioned bases read the level: the teacher's passes have those of the sampler's, a
// prompt's tokens in a block or not.
TEST_P(AdjustTrainableTest, ThePassesOfAWindowHaveTheSamplersNoiseLevels) {
  const InferenceScope scope;
  const auto row = rows(1).front();
  const std::int64_t size = adjust_block_size(*base_, spec_);
  const std::int64_t first = base_->sees_whole_text() ? spec_.prompt_tokens : 0;
  const testing::NotingDenoiser noting(*base_);
  BlockSampleOptions options;
  options.reveal.policy = "entropy";
  options.block_size = size;
  options.max_new_tokens = spec_.length - spec_.prompt_tokens;
  const Prompt prompt{{row.begin(), row.begin() + spec_.prompt_tokens}, 0, 0};
  (void)sample_blocks(noting, {&prompt, 1}, options);
  const std::vector<double> sampled = noting.levels;
  const std::vector<std::int64_t> order(row.begin() + spec_.length, row.end());
  const auto windows = trajectory_windows(order, first, size, 1);
  AdjustTeacher teacher(noting, spec_.length, size, 1);
  for (const TrajectoryWindow& window : windows) {
    const std::vector<WindowText> texts = {window_of(row, spec_, window)};
    teacher.begin(texts);
    noting.levels.clear();
    (void)teacher.states();
    ASSERT_EQ(noting.levels.size(), 1U);
    EXPECT_DOUBLE_EQ(noting.levels[0], sampled.at(static_cast<std::size_t>(window.start)));
  }
}

// Tensors of one shape are other layers under another config.
TEST_P(AdjustTrainableTest, BeginsFromALayerOfItsOwnKindOnly) {
  const std::string path = folder_.file("layer");
  save(*make_adjust_trainable(*base_, spec_), path);
  spec_.initial_weights = path;
  EXPECT_NO_THROW(make_adjust_trainable(*base_, spec_));
  AdjustTrainingSpec other = spec_;
  other.heads = 1;
  EXPECT_THROW(make_adjust_trainable(*base_, other), ConfigError);
  other = spec_;
  other.rope_theta = 1e6;
  EXPECT_THROW(make_adjust_trainable(*base_, other), ConfigError);
  const std::string file = path + "/config.json";
  Json config = parse_json(read_text_file(file), file);
  config["rms_norm_eps"] = 1e-3;
  write_file_atomically(file, canonical_json(config));
  EXPECT_THROW(make_adjust_trainable(*base_, spec_), ConfigError);
}

TEST_P(AdjustTrainableTest, RefusesSettingsThatDoNotFit) {
  const auto refused = [&](const std::function<void(AdjustTrainingSpec&)>& change) {
    AdjustTrainingSpec spec = spec_;
    change(spec);
    EXPECT_THROW(make_adjust_trainable(*base_, spec), ConfigError);
  };
  refused([](AdjustTrainingSpec& spec) { spec.depth = 0; });
  refused([](AdjustTrainingSpec& spec) { spec.heads = 5; });
  refused([](AdjustTrainingSpec& spec) { spec.length = 1 << 20; });
  refused([](AdjustTrainingSpec& spec) { spec.prompt_tokens = 15; });
  refused([](AdjustTrainingSpec& spec) { spec.block_size = 7; });
  EXPECT_THROW(parse_adjust_loss("first"), ConfigError);
  const auto network = make_adjust_trainable(*base_, spec_);
  EXPECT_THROW(network->set_noise_interval({0.3, 0.8}), ConfigError);
  Rows bad = rows(2);
  bad[1].back() = 16;
  EXPECT_THROW(network->evaluate(batch_of(bad)), ConfigError);
  bad[1].pop_back();
  bad[0].pop_back();
  EXPECT_THROW(network->evaluate(batch_of(bad)), ConfigError);
  EXPECT_THROW(make_adjust_trainable(*load_denoiser("exact:markov?v=4", {}), spec_), ConfigError);
}

}  // namespace
}  // namespace dlm
