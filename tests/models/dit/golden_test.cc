// Parity with the published networks' outputs (shared/fixtures; bounds as its README suggests).
#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/zeros_like.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/file.h"
#include "harness/base/json.h"
#include "models/checkpoint/weights.h"
#include "models/diffusion_transformer/dit_head.h"
#include "models/dit.h"
#include "models/factory.h"
#include "tests/support/data.h"
#include "tests/support/tensors.h"

namespace dlm::testing {
namespace {

using Ids = std::vector<std::int64_t>;

constexpr double kLogitTolerance = 3e-5;

Ids as_ids(const at::Tensor& row) {
  const at::Tensor flat = row.contiguous().view({-1});
  const auto* data = flat.const_data_ptr<std::int64_t>();
  return {data, data + flat.numel()};
}

std::vector<double> as_doubles(const at::Tensor& values) {
  const at::Tensor flat = values.to(at::kDouble).contiguous().view({-1});
  const auto* data = flat.const_data_ptr<double>();
  return {data, data + flat.numel()};
}

// Every |actual - expected| at most tolerance * (1 + |expected|).
void expect_near_relative(const at::Tensor& actual, const at::Tensor& expected, double tolerance,
                          const std::string& what) {
  ASSERT_EQ(actual.sizes(), expected.sizes()) << what;
  const at::Tensor want = expected.to(at::kDouble);
  const double worst =
      actual.to(at::kDouble).sub(want).abs().div(want.abs().add(1)).max().item().toDouble();
  EXPECT_TRUE(worst <= tolerance) << what << ": differs by " << worst;
}

class Fixture {
 public:
  explicit Fixture(const std::string& name) : folder_(data_path("fixtures/" + name)) {
    for (const TensorView& view : open_safetensors(folder_ + "/expected.safetensors"))
      expected_[view.name] = as_tensor(view);
  }

  // The same weights with other fields in config.json.
  void change_config(const Json& fields) {
    const std::string path = folder_ + "/config.json";
    Json config = parse_json(MappedFile::open(path)->text(), path);
    config.update(fields);
    write_file_atomically(copy_.file("config.json"), config.dump());
    std::filesystem::copy_file(folder_ + "/model.safetensors", copy_.file("model.safetensors"),
                               std::filesystem::copy_options::skip_existing);
    folder_ = copy_.path();
  }

  std::unique_ptr<DitModel> load(const ModelOptions& options = {}) const {
    return load_dit(Checkpoint::open(folder_), options);
  }

  const std::string& folder() const { return folder_; }

  bool has(const std::string& name) const { return expected_.contains(name); }

  const at::Tensor& operator[](const std::string& name) const { return expected_.at(name); }

  std::vector<Ids> sequences(const std::string& name) const {
    std::vector<Ids> out;
    for (std::int64_t b = 0; b < expected_.at(name).size(0); ++b)
      out.push_back(as_ids(expected_.at(name).select(0, b)));
    return out;
  }

 private:
  std::string folder_;
  TemporaryFolder copy_;
  std::map<std::string, at::Tensor> expected_;
};

// Terms of every hidden position of x_t, 0 elsewhere, (B, L) f64; `level` (B, L) is the t that the
// network is told.
at::Tensor terms_of(const DitModel& model, const Fixture& fixture, const std::string& x_t,
                    const at::Tensor& level) {
  const std::vector<Ids> clean = fixture.sequences("x0");
  const std::vector<Ids> noisy = fixture.sequences(x_t);
  const std::int64_t size = model.trained_block_size();
  std::vector<MaskQuery> queries;
  for (std::size_t s = 0; s < clean.size(); ++s) {
    for (std::int64_t block = 0; block < std::ssize(clean[s]) / size; ++block) {
      const auto sequence = static_cast<std::int64_t>(s);
      MaskQuery query{sequence, block, {}, 1};
      query.t = level.select(0, sequence).select(0, block * size).item().toDouble();
      for (std::int64_t i = 0; i < size; ++i) {
        if (noisy[s][static_cast<std::size_t>(block * size + i)] == model.mask_id())
          query.masked.push_back(i);
      }
      if (!query.masked.empty())
        queries.push_back(query);
    }
  }
  const auto terms = model.token_terms(*model.encode(clean, size), queries);
  at::Tensor out = at::zeros_like(fixture["x0"], at::kDouble);
  for (std::size_t q = 0; q < queries.size(); ++q) {
    for (std::size_t i = 0; i < queries[q].masked.size(); ++i) {
      const std::int64_t position = queries[q].block * size + queries[q].masked[i];
      out.select(0, queries[q].sequence).select(0, position).fill_(terms[q][i]);
    }
  }
  return out;
}

at::Tensor per_token(const at::Tensor& t, const at::Tensor& like) {
  return (t.dim() == 1 ? t.unsqueeze(1) : t).to(at::kDouble).expand(like.sizes()).contiguous();
}

class BlockDiffusionGolden : public ::testing::TestWithParam<const char*> {};

class BlockSamplingGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(BlockDiffusionGolden, LogitsAndLogProbabilities) {
  DLM_REQUIRE_DATA("fixtures/bd3lm_bs8");
  const Fixture fixture(GetParam());
  for (const std::string backend : {"auto", "aten"}) {
    const auto model = fixture.load({.linear_backend = backend});
    const at::Tensor logits = model->logits(
        {fixture["xt"], fixture["x0"], model->trained_block_size(), as_doubles(fixture["sigma"])});
    expect_close(logits, fixture["logits"], kLogitTolerance, "logits");
    // The mask column is near -1e6, where f32 resolves 0.06.
    expect_near_relative(subs_log_probs(model->config(), logits, fixture["xt"]),
                         fixture["log_probs"], kLogitTolerance, "log_probs");
  }
}

TEST_P(BlockDiffusionGolden, NelboTerms) {
  DLM_REQUIRE_DATA("fixtures/bd3lm_bs8");
  const Fixture fixture(GetParam());
  const auto model = fixture.load();
  const at::Tensor t = per_token(fixture["t"], fixture["x0"]);
  // The published code tells the network the first token's level for every block.
  const at::Tensor first = per_token(t.narrow(1, 0, 1), fixture["x0"]);
  const at::Tensor terms = terms_of(*model, fixture, "xt", first);
  expect_near_relative(terms.div(t), fixture["nelbo_terms"], kLogitTolerance, "nelbo_terms");
  expect_near_relative(terms, fixture["nelbo_terms_clip06"], kLogitTolerance, "clip06");
  if (fixture.has("no_ignore_bos.xt")) {
    const at::Tensor mask = fixture["attention_mask"].to(at::kDouble);
    expect_near_relative(terms_of(*model, fixture, "no_ignore_bos.xt", first).div(t).mul(mask),
                         fixture["no_ignore_bos.nlls"], kLogitTolerance, "no_ignore_bos.nlls");
  }
}

TEST_P(BlockSamplingGolden, OwnContextAndCachedBlocks) {
  DLM_REQUIRE_DATA("fixtures/bd3lm_bs8");
  const Fixture fixture(GetParam());
  const auto model = fixture.load();
  const std::int64_t size = model->trained_block_size();
  const at::Tensor text = at::cat({fixture["sample.context"], fixture["sample.block"]}, 1);
  const at::Tensor logits = model->logits({text, {}, size, as_doubles(fixture["sigma"])});
  expect_close(logits, fixture["sample.logits_nocache"], kLogitTolerance, "logits_nocache");
  expect_close(logits.narrow(1, 0, size), fixture["sample.logits_cache_block0"], kLogitTolerance,
               "logits_cache_block0");
  expect_close(logits.narrow(1, size, size), fixture["sample.logits_cache_block1"], kLogitTolerance,
               "logits_cache_block1");
  expect_close(logits.narrow(1, 2 * size, size), fixture["sample.logits_cache"], kLogitTolerance,
               "logits_cache");
}

TEST_P(BlockDiffusionGolden, Bfloat16) {
  DLM_REQUIRE_DATA("fixtures/bd3lm_bs8");
  const Fixture fixture(GetParam());
  const auto model = fixture.load({.dtype = "bf16"});
  const at::Tensor logits = model->logits(
      {fixture["xt"], fixture["x0"], model->trained_block_size(), as_doubles(fixture["sigma"])});
  const at::Tensor difference = logits - fixture["logits"];
  EXPECT_LE(difference.abs().max().item().toDouble(), 0.17);
  EXPECT_LE(std::sqrt(difference.square().mean().item().toDouble()), 0.02);
}

INSTANTIATE_TEST_SUITE_P(All, BlockDiffusionGolden,
                         ::testing::Values("bd3lm_bs1", "bd3lm_bs4", "bd3lm_bs8", "bd3lm_bs16",
                                           "bd3lm_bs64", "bd3lm_bs8_noadaln", "bd3lm_bs8_timecond",
                                           "bd3lm_pretrain", "bd3lm_pretrain_timecond"),
                         [](const auto& instance) { return std::string(instance.param); });

INSTANTIATE_TEST_SUITE_P(All, BlockSamplingGolden,
                         ::testing::Values("bd3lm_bs1", "bd3lm_bs4", "bd3lm_bs8", "bd3lm_bs16",
                                           "bd3lm_bs8_noadaln", "bd3lm_bs8_timecond"),
                         [](const auto& instance) { return std::string(instance.param); });

// One term moves by some hundredths, up as often as down, so over the 70 or so of one fixture the
// mean still moves by some thousandths; over all of them by less.
TEST(Bfloat16Golden, MovesTheNelboLittle) {
  DLM_REQUIRE_DATA("fixtures/bd3lm_bs8");
  double moved = 0;
  double terms = 0;
  for (const std::string name : {"bd3lm_bs1", "bd3lm_bs4", "bd3lm_bs8", "bd3lm_bs16", "bd3lm_bs64",
                                 "bd3lm_bs8_noadaln", "bd3lm_pretrain"}) {
    const Fixture fixture(name);
    const at::Tensor t = per_token(fixture["t"], fixture["x0"]);
    const at::Tensor exact = terms_of(*fixture.load(), fixture, "xt", t);
    const at::Tensor rounded = terms_of(*fixture.load({.dtype = "bf16"}), fixture, "xt", t);
    moved += rounded.sub(exact).sum().item().toDouble();
    terms += exact.ne(0).sum().item().toDouble();
  }
  EXPECT_GT(terms, 300);
  EXPECT_LT(std::abs(moved) / terms, 0.002);
}

TEST(MaskedDiffusionGolden, SmoothedNoiseOfOlderCheckpoints) {
  DLM_REQUIRE_DATA("fixtures/bd3lm_pretrain");
  for (const std::string name : {"bd3lm_pretrain", "bd3lm_pretrain_timecond"}) {
    const Fixture fixture(name);
    const auto model = fixture.load({.noise = "smoothed"});
    const at::Tensor t = per_token(fixture["t"], fixture["x0"]);
    at::Tensor weight = at::zeros_like(t);
    for (std::int64_t b = 0; b < t.size(0); ++b) {
      const NoiseLevel level =
          noise_level(NoiseConvention::kSmoothed, t.select(0, b).select(0, 0).item().toDouble());
      weight.select(0, b).fill_(level.rate / std::expm1(level.sigma));
    }
    expect_near_relative(terms_of(*model, fixture, "xt", t).mul(weight),
                         fixture["nelbo_terms_mdlm_scale"], kLogitTolerance, name);
  }
}

TEST(MaskedDiffusionGolden, MdlmRepository) {
  DLM_REQUIRE_DATA("fixtures/mdlm_repo");
  Fixture fixture("mdlm_repo");
  const at::Tensor t = per_token(fixture["t"], fixture["x0"]);
  const at::Tensor weight =
      fixture["dsigma"].to(at::kDouble) / fixture["sigma"].to(at::kDouble).expm1();
  const auto model = fixture.load();
  EXPECT_EQ(model->trained_block_size(), 64);
  const at::Tensor logits = model->logits({fixture["xt"], {}, 64, {}});
  expect_close(logits, fixture["logits"], kLogitTolerance, "logits");
  expect_near_relative(subs_log_probs(model->config(), logits, fixture["xt"]), fixture["log_probs"],
                       kLogitTolerance, "log_probs");
  expect_near_relative(terms_of(*model, fixture, "xt", t).mul(weight.unsqueeze(1)),
                       fixture["nelbo_terms"], kLogitTolerance, "nelbo_terms");

  fixture.change_config({{"time_conditioning", true}});
  const std::vector<double> sigma = as_doubles(fixture["sigma"]);
  const auto timed = fixture.load({.parameterization = "sedd"});
  const at::Tensor told = timed->logits({fixture["xt"], {}, 64, sigma});
  expect_close(told, fixture["logits_sigma"], kLogitTolerance, "logits_sigma");
  expect_near_relative(sedd_log_scores(timed->config(), told, fixture["xt"], sigma),
                       fixture["sedd.log_score"], kLogitTolerance, "sedd.log_score");
  expect_near_relative(terms_of(*timed, fixture, "xt", t), fixture["sedd.loss_terms"],
                       kLogitTolerance, "sedd.loss_terms");
}

TEST(ScoreEntropyGolden, InsideTheBlockDiffusionRepository) {
  DLM_REQUIRE_DATA("fixtures/sedd_bd3lms");
  const Fixture fixture("sedd_bd3lms");
  const auto model = fixture.load();
  EXPECT_EQ(model->loss(), DenoiserLoss::kScoreEntropy);
  const std::vector<double> sigma = as_doubles(fixture["sigma"]);
  const at::Tensor logits = model->logits({fixture["xt"], {}, 64, sigma});
  expect_close(logits, fixture["logits"], kLogitTolerance, "logits");
  expect_near_relative(sedd_log_scores(model->config(), logits, fixture["xt"], sigma),
                       fixture["log_score"], kLogitTolerance, "log_score");
  const at::Tensor t = per_token(fixture["t"], fixture["x0"]);
  expect_near_relative(terms_of(*model, fixture, "xt", t), fixture["loss_terms"], kLogitTolerance,
                       "loss_terms");
  const auto smoothed = fixture.load({.noise = "smoothed"});
  expect_near_relative(terms_of(*smoothed, fixture, "xt", t), fixture["loss_terms_mdlm_scale"],
                       kLogitTolerance, "loss_terms_mdlm_scale");
}

TEST(ScoreEntropyGolden, OriginalRepository) {
  DLM_REQUIRE_DATA("fixtures/sedd_original");
  const Fixture fixture("sedd_original");
  const auto loaded = load_denoiser(fixture.folder(), {});
  EXPECT_EQ(loaded->info().family, "sedd");
  const auto model = fixture.load();
  const std::vector<double> sigma = as_doubles(fixture["sigma"]);
  const at::Tensor logits = model->logits({fixture["xt"], {}, 64, sigma});
  expect_near_relative(sedd_log_scores(model->config(), logits, fixture["xt"], sigma),
                       fixture["log_score"], kLogitTolerance, "log_score");
  const at::Tensor known = fixture["xt"].unsqueeze(2);
  expect_near_relative(logits.clone().scatter_(2, known, 0), fixture["output_unscaled"],
                       kLogitTolerance, "output_unscaled");
  const at::Tensor terms = terms_of(*model, fixture, "xt", per_token(fixture["t"], fixture["x0"]));
  const at::Tensor rate = fixture["dsigma"].to(at::kDouble).unsqueeze(1);
  expect_near_relative(terms.div(rate), fixture["score_entropy"], kLogitTolerance, "score_entropy");
  expect_near_relative(terms.sum(1), fixture["loss"], 1e-5, "loss");
}

TEST(AutoregressiveDitGolden, LogitsAndNll) {
  DLM_REQUIRE_DATA("fixtures/ar_bd3lms");
  for (const std::string name : {"ar_bd3lms", "ar_mdlm"}) {
    const Fixture fixture(name);
    const auto model = load_network(fixture.folder(), {});
    const std::vector<Ids> text = fixture.sequences("x0");
    std::vector<ScoringWindow> windows;
    for (const Ids& ids : text) windows.push_back({ids, 1});
    const auto nll = model->token_nll(windows);
    const Ids lengths(text.size(), 63);
    const at::Tensor logits =
        model->logits(fixture["x0"].narrow(1, 0, 63).contiguous(), lengths).narrow(2, 0, 130);
    expect_close(at::log_softmax(logits, 2), fixture["log_probs"].narrow(2, 0, 130),
                 kLogitTolerance, name);
    if (fixture.has("logits"))
      expect_close(logits, fixture["logits"].narrow(2, 0, 130), kLogitTolerance, "logits");
    for (std::size_t b = 0; b < text.size(); ++b) {
      const auto row = static_cast<std::int64_t>(b);
      const at::Tensor mask =
          fixture.has("attention_mask")
              ? fixture["attention_mask"].select(0, row).narrow(0, 1, 63).to(at::kDouble)
              : at::zeros_like(float_tensor(nll[b])).add(1);
      expect_near_relative(float_tensor(nll[b]).mul(mask), fixture["nlls"].select(0, row),
                           kLogitTolerance, name + " nlls");
    }
  }
}

}  // namespace
}  // namespace dlm::testing
