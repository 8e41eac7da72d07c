#include "metrics/text_features.h"

#include <map>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "models/checkpoint/weights.h"
#include "models/factory.h"
#include "tests/support/data.h"
#include "tests/support/tensors.h"

namespace dlm {
namespace {

using testing::data_path;
using Ids = std::vector<std::int64_t>;

struct Fixture {
  std::map<std::string, at::Tensor> tensors;
  std::vector<Ids> texts;
  std::unique_ptr<AutoregressiveModel> model;
};

Fixture load_fixture() {
  Fixture fixture;
  for (const TensorView& view :
       open_safetensors(data_path("fixtures/gpt2_tiny/expected.safetensors")))
    fixture.tensors.emplace(view.name, as_tensor(view));
  const auto* ids = fixture.tensors.at("mauve_text_ids").const_data_ptr<std::int64_t>();
  const at::Tensor lengths = fixture.tensors.at("mauve_text_lens");
  for (std::int64_t text = 0; text < lengths.size(0); ++text) {
    const std::int64_t length = lengths.const_data_ptr<std::int64_t>()[text];
    fixture.texts.emplace_back(ids, ids + length);
    ids += length;
  }
  fixture.model = load_network(data_path("fixtures/gpt2_tiny"), {});
  return fixture;
}

TEST(TextFeaturesGolden, AgreeWithTheOriginalAtEveryBatchSize) {
  DLM_REQUIRE_DATA("fixtures/gpt2_tiny");
  const Fixture fixture = load_fixture();
  for (const std::int64_t batch : {1, 3, 8}) {
    testing::expect_close(last_token_features(*fixture.model, fixture.texts, batch),
                          fixture.tensors.at("mauve_features"), 2e-5);
  }
}

TEST(TextFeatures, OfIdsAloneAreOneHotPositionsAndSharesOfPairs) {
  const std::vector<Ids> texts{{0, 2, 2}, {1, 1, 0}};
  const at::Tensor positions = position_features(texts, 3);
  ASSERT_EQ(positions.sizes(), (std::vector<std::int64_t>{2, 9}));
  const std::vector<float> ones{1, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0, 0};
  const float* data = positions.const_data_ptr<float>();
  EXPECT_EQ(std::vector<float>(data, data + 18), ones);
  const at::Tensor pairs = pair_features(texts, 3);
  const std::vector<float> shares{0, 0, .5F, 0, 0, 0, 0, 0, .5F, 0, 0, 0, .5F, .5F, 0, 0, 0, 0};
  data = pairs.const_data_ptr<float>();
  EXPECT_EQ(std::vector<float>(data, data + 18), shares);
}

TEST(TextFeatures, OfIdsAloneRefuseWhatTheyCannotHold) {
  const std::vector<Ids> uneven{{0, 1}, {1}}, outside{{0, 3}}, longest{Ids(30000, 1)};
  EXPECT_THROW(position_features(uneven, 3), ConfigError);
  EXPECT_THROW(position_features(outside, 3), ConfigError);
  EXPECT_THROW(position_features(longest, 3), ConfigError);
  EXPECT_THROW(pair_features(outside, 3), ConfigError);
  EXPECT_THROW(pair_features(outside, 257), ConfigError);
  EXPECT_EQ(pair_features(uneven, 3).size(0), 2);
}

TEST(TextFeaturesGolden, RefuseWhatHasNoLastToken) {
  DLM_REQUIRE_DATA("fixtures/gpt2_tiny");
  const Fixture fixture = load_fixture();
  const std::vector<Ids> empty{{1, 2}, {}}, outside{{1, 512}}, too_long{Ids(129, 1)};
  EXPECT_THROW(last_token_features(*fixture.model, empty, 2), ConfigError);
  EXPECT_THROW(last_token_features(*fixture.model, outside, 2), ConfigError);
  EXPECT_THROW(last_token_features(*fixture.model, too_long, 2), ConfigError);
  EXPECT_THROW(last_token_features(*fixture.model, fixture.texts, 0), ConfigError);
}

}  // namespace
}  // namespace dlm
