// Parity with what transformers and a float64 forward computed (shared/fixtures/gpt2_tiny,
// shared/data/checkpoints).
#include <filesystem>
#include <string>
#include <vector>

#include <ATen/Parallel.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/file.h"
#include "harness/base/json.h"
#include "models/checkpoint/weights.h"
#include "models/factory.h"
#include "tests/support/data.h"
#include "tests/support/tensors.h"

namespace dlm::testing {
namespace {

using Ids = std::vector<std::int64_t>;

Json read_json(const std::string& path) {
  return parse_json(MappedFile::open(path)->text(), path);
}

std::vector<double> score(const AutoregressiveModel& model, const Ids& ids) {
  const std::vector<ScoringWindow> windows = {{ids, 1}};
  return model.token_nll(windows)[0];
}

// Greedy continuation to `length` ids; every step reads the whole text again, or one cached token.
Ids greedy(const AutoregressiveModel& model, Ids ids, std::size_t length, bool cached) {
  const auto cache = model.new_cache(1, static_cast<std::int64_t>(length));
  Ids fresh = ids;
  while (ids.size() < length) {
    at::Tensor last;
    if (cached) {
      const Ids lengths = {static_cast<std::int64_t>(fresh.size())};
      last = model.next_logits(ids_tensor({fresh}), lengths, *cache).select(0, 0);
    } else {
      const Ids lengths = {static_cast<std::int64_t>(ids.size())};
      last = model.logits(ids_tensor({ids}), lengths).select(0, 0).select(0, lengths[0] - 1);
    }
    fresh = {last.argmax().item().toLong()};
    ids.push_back(fresh[0]);
  }
  return ids;
}

// A fixture's folder with `weights` as its model.safetensors.
class FixtureFolder {
 public:
  explicit FixtureFolder(const std::string& weights) {
    const std::string from = data_path("fixtures/gpt2_tiny/");
    std::filesystem::copy_file(from + "config.json", folder_.file("config.json"));
    std::filesystem::copy_file(from + weights, folder_.file("model.safetensors"));
    for (const TensorView& view : open_safetensors(from + "expected.safetensors"))
      expected_[view.name] = as_tensor(view);
  }

  const std::string& path() const { return folder_.path(); }

  const at::Tensor& expected(const std::string& name) const { return expected_.at(name); }

 private:
  TemporaryFolder folder_;
  std::map<std::string, at::Tensor> expected_;
};

Ids as_ids(const at::Tensor& row) {
  const at::Tensor flat = row.contiguous().view({-1});
  const auto* data = flat.const_data_ptr<std::int64_t>();
  return {data, data + flat.numel()};
}

Ids row_lengths(const at::Tensor& mask) {
  return as_ids(mask.sum(1));
}

class Gpt2TinyGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(Gpt2TinyGolden, LogitsHiddenStatesAndNll) {
  DLM_REQUIRE_DATA("fixtures/gpt2_tiny");
  const FixtureFolder fixture(GetParam());
  for (const std::string backend : {"auto", "aten"}) {
    const auto model = load_network(fixture.path(), {.linear_backend = backend});
    const at::Tensor ids = fixture.expected("input_ids");
    const Ids lengths = row_lengths(fixture.expected("attention_mask"));
    const at::Tensor logits = model->logits(ids, lengths);
    const at::Tensor hidden = model->hidden_states(ids, lengths);
    std::vector<ScoringWindow> windows;
    for (std::int64_t b = 0; b < 3; ++b) {
      const std::int64_t length = lengths[static_cast<std::size_t>(b)];
      const auto real = [&](const at::Tensor& x) { return x.select(0, b).narrow(0, 0, length); };
      expect_close(real(logits), real(fixture.expected("logits")), 3e-5, "logits");
      expect_close(real(hidden), real(fixture.expected("last_hidden")), 3e-5, "last_hidden");
      windows.push_back({as_ids(real(ids)), 1});
    }
    const auto nll = model->token_nll(windows);
    for (std::size_t b = 0; b < 3; ++b) {
      const auto row = static_cast<std::int64_t>(b);
      const at::Tensor want =
          fixture.expected("nll").select(0, row).narrow(0, 0, lengths[b] - 1).to(at::kDouble);
      const at::Tensor scaled = float_tensor(nll[b]).sub(want).div(want.add(1));
      EXPECT_LE(scaled.abs().max().item().toDouble(), 3e-5);
    }
  }
}

TEST_P(Gpt2TinyGolden, MauveFeatures) {
  DLM_REQUIRE_DATA("fixtures/gpt2_tiny");
  const FixtureFolder fixture(GetParam());
  const auto model = load_network(fixture.path(), {});
  const Ids all = as_ids(fixture.expected("mauve_text_ids"));
  std::vector<Ids> texts;
  auto next = all.begin();
  const Ids lengths = as_ids(fixture.expected("mauve_text_lens"));
  for (const std::int64_t length : lengths) {
    texts.emplace_back(next, next + length);
    next += length;
  }
  const at::Tensor hidden = model->hidden_states(ids_tensor(texts), lengths);
  for (std::int64_t b = 0; b < 5; ++b) {
    const std::int64_t last = lengths[static_cast<std::size_t>(b)] - 1;
    expect_close(hidden.select(0, b).select(0, last),
                 fixture.expected("mauve_features").select(0, b), 3e-5, "mauve_features");
  }
}

TEST_P(Gpt2TinyGolden, GreedyTokens) {
  DLM_REQUIRE_DATA("fixtures/gpt2_tiny");
  const FixtureFolder fixture(GetParam());
  const auto model = load_network(fixture.path(), {});
  for (const std::string name : {"greedy0", "greedy1", "greedy2"}) {
    const Ids expected = as_ids(fixture.expected(name + ".output"));
    const Ids prompt = as_ids(fixture.expected(name + ".prompt"));
    for (const bool cached : {false, true})
      EXPECT_EQ(greedy(*model, prompt, expected.size(), cached), expected) << name;
  }
}

TEST_P(Gpt2TinyGolden, SlidingWindows) {
  DLM_REQUIRE_DATA("fixtures/gpt2_tiny");
  const FixtureFolder fixture(GetParam());
  const auto model = load_network(fixture.path(), {});
  for (const std::string name : {"genppl0", "genppl1", "genppl2"}) {
    const at::Tensor samples = fixture.expected(name + ".samples");
    const at::Tensor mask = fixture.expected(name + ".attention_mask");
    const at::Tensor nll = fixture.expected(name + ".nll");
    const Ids setting = as_ids(fixture.expected(name + ".window"));
    int compared = 0;
    for (std::int64_t b = 0; b < nll.size(0); ++b) {
      const Ids ids = as_ids(samples.select(0, b));
      const auto length = mask.select(0, b).sum().item().toLong();
      // Window i holds tokens [i * stride, i * stride + size) and scores its last `stride`; the
      // first scores all but token 0.
      for (std::int64_t begin = 0, scored = 1; scored < length; begin += setting[1]) {
        const std::int64_t end = std::min(begin + setting[0], length);
        const std::vector<ScoringWindow> window = {
            {{ids.begin() + begin, ids.begin() + end}, scored - begin}};
        const auto scores = model->token_nll(window);
        for (const double value : scores[0]) {
          const double want = nll[b][scored++].item().toDouble();
          EXPECT_NEAR(value, want, 3e-5 * (1 + want)) << name << " " << b << " " << scored;
          ++compared;
        }
      }
    }
    EXPECT_GT(compared, 80) << name;
  }
}

TEST_P(Gpt2TinyGolden, Bf16WithinItsSpread) {
  DLM_REQUIRE_DATA("fixtures/gpt2_tiny");
  const FixtureFolder fixture(GetParam());
  const auto model = load_network(fixture.path(), {.dtype = "bf16"});
  const Ids lengths = row_lengths(fixture.expected("attention_mask"));
  const at::Tensor logits = model->logits(fixture.expected("input_ids"), lengths);
  for (std::int64_t b = 0; b < 3; ++b) {
    const std::int64_t length = lengths[static_cast<std::size_t>(b)];
    const auto real = [&](const at::Tensor& x) { return x.select(0, b).narrow(0, 0, length); };
    const at::Tensor error = real(logits).sub(real(fixture.expected("logits")));
    EXPECT_LE(error.abs().max().item().toDouble(), 0.165);
    EXPECT_LE(error.square().mean().sqrt().item().toDouble(), 0.03);
  }
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, Gpt2TinyGolden,
                         ::testing::Values("model.safetensors", "model_prefixed.safetensors"));

// Norms over two numbers magnify the last digit of what comes before them: with two threads, in
// every third or fourth process, one token's NLL is off by 1.7e-5 or 4.2e-5. One thread is exact to
// 1e-5 always; more are held to the fixtures' bound for NLL in f32.
TEST(TinyGpt2Golden, NllAndLogits) {
  DLM_REQUIRE_DATA("data/checkpoints/tiny-gpt2");
  const std::string folder = data_path("data/checkpoints/tiny-gpt2");
  const auto model = load_network(folder, {});
  const Json golden = read_json(folder + "/golden.json");
  const int threads = at::get_num_threads();
  for (const Json& item : golden["cases"]) {
    const Ids ids = item["ids"];
    const std::vector<double> nll = item["nll"];
    const std::vector<double> by_all = score(*model, ids);
    at::set_num_threads(1);
    expect_close(float_tensor(score(*model, ids)), float_tensor(nll), 1e-5);
    at::set_num_threads(threads);
    ASSERT_EQ(by_all.size(), nll.size());
    for (std::size_t i = 0; i < nll.size(); ++i)
      EXPECT_NEAR(by_all[i], nll[i], 3e-5 * (1 + nll[i])) << i;
    const Ids lengths = {static_cast<std::int64_t>(ids.size())};
    const at::Tensor last =
        model->logits(ids_tensor({ids}), lengths).select(0, 0).select(0, lengths[0] - 1);
    const std::vector<double> first8 = item["last_logits_first8"];
    expect_close(last.narrow(0, 0, 8), float_tensor(first8), 1e-6);
    EXPECT_EQ(last.argmax().item().toLong(), item["last_argmax"].get<std::int64_t>());
  }
}

class StoriesGolden : public ::testing::Test {
 protected:
  void SetUp() override {
    DLM_REQUIRE_DATA("data/checkpoints/stories260K");
    const std::string folder = data_path("data/checkpoints/stories260K/");
    golden_ = read_json(folder + "golden/golden.json");
    model_ = load_network(folder + "hf", {});
  }

  Json golden_;
  std::unique_ptr<AutoregressiveModel> model_;
};

TEST_F(StoriesGolden, NllOfEveryTokenAtBatchOneAndFive) {
  std::vector<ScoringWindow> windows;
  for (const Json& story : golden_["stories"]) windows.push_back({story["ids"].get<Ids>(), 1});
  ASSERT_EQ(windows.size(), 5U);
  const auto together = model_->token_nll(windows);
  double sum = 0, tokens = 0;
  for (std::size_t w = 0; w < windows.size(); ++w) {
    const auto alone = score(*model_, windows[w].ids);
    const std::vector<double> want = golden_["stories"][w]["nll"];
    ASSERT_EQ(together[w].size(), want.size());
    for (std::size_t i = 0; i < want.size(); ++i) {
      EXPECT_NEAR(together[w][i], want[i], 3e-5 * (1 + want[i])) << w << " " << i;
      EXPECT_NEAR(together[w][i], alone[i], 1e-5 * (1 + want[i])) << w << " " << i;
      sum += together[w][i];
      tokens += 1;
    }
  }
  EXPECT_NEAR(sum / tokens, golden_["mean_nll"].get<double>(), 1e-5);
  EXPECT_NEAR(sum / tokens, 1.26644, 1e-4);
}

TEST_F(StoriesGolden, GreedyTokensWithAndWithoutCache) {
  const Ids expected = golden_["greedy"]["ids"];
  for (const bool cached : {false, true})
    EXPECT_EQ(greedy(*model_, {1}, expected.size(), cached), expected);
}

TEST_F(StoriesGolden, GreedyTokensInARaggedBatch) {
  const Ids expected = golden_["greedy"]["ids"];
  // Each row starts from another prefix of the same text, so all must continue it.
  const Ids prefixes = {1, 7, 2, 40, 13};
  std::vector<Ids> rows, fresh;
  for (const std::int64_t prefix : prefixes) {
    rows.emplace_back(expected.begin(), expected.begin() + prefix);
    fresh.push_back(rows.back());
  }
  const auto cache = model_->new_cache(5, static_cast<std::int64_t>(expected.size()));
  for (std::size_t step = 0; step < 200; ++step) {
    Ids lengths;
    for (const Ids& row : fresh) lengths.push_back(static_cast<std::int64_t>(row.size()));
    const Ids next = as_ids(model_->next_logits(ids_tensor(fresh), lengths, *cache).argmax(1));
    for (std::size_t b = 0; b < 5; ++b) {
      rows[b].push_back(next[b]);
      fresh[b] = {next[b]};
    }
  }
  for (const Ids& row : rows)
    EXPECT_EQ(row,
              Ids(expected.begin(), expected.begin() + static_cast<std::ptrdiff_t>(row.size())));
}

TEST_F(StoriesGolden, LogitsAfterTheGreedyText) {
  const Ids ids = golden_["greedy"]["ids"];
  const std::vector<double> want = golden_["last_logits"];
  const Ids lengths = {static_cast<std::int64_t>(ids.size())};
  const at::Tensor last =
      model_->logits(ids_tensor({ids}), lengths).select(0, 0).select(0, lengths[0] - 1);
  expect_close(last, float_tensor(want), 3e-5);
}

}  // namespace
}  // namespace dlm::testing
