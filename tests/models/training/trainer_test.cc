// The loop over steps, on a network whose best loss is known: what it converges to, that
// accumulation is a larger batch, that it stops where a number is none, and that a training that
// goes on from its folder ends as one that never stopped.
#include "models/training/trainer.h"

#include <cmath>
#include <filesystem>
#include <functional>
#include <vector>

#include <ATen/ops/equal.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/file.h"
#include "harness/base/json.h"
#include "models/checkpoint/checkpoint.h"
#include "models/training/training_folder.h"
#include "tests/models/training/fake_network.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

using testing::TemporaryFolder;
using testing::UnigramNetwork;

// 60 rows of 8 ids below 5, in which id v is v + 1 times as frequent as id 0.
StoredRows make_rows() {
  std::vector<std::int32_t> ids;
  for (std::int32_t i = 0; i < 60 * 8; ++i) {
    constexpr std::int32_t kIds[] = {0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4};
    ids.push_back(kIds[i % 15]);
  }
  return StoredRows(std::move(ids), 8, 5, 1);
}

TrainRecipe make_recipe() {
  TrainRecipe recipe;
  recipe.steps = 400;
  recipe.batch_size = 15;
  recipe.schedule = "cosine";
  recipe.learning_rate = 0.05;
  recipe.warmup_steps = 10;
  recipe.ema_decay = 0.9;
  return recipe;
}

std::vector<float> values_of(const at::Tensor& tensor) {
  const auto* data = tensor.const_data_ptr<float>();
  return {data, data + tensor.numel()};
}

template <class Error>
std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing thrown";
}

TEST(Trainer, ReachesTheEntropyOfTheRows) {
  UnigramNetwork network(5);
  const StoredRows rows = make_rows();
  const TrainRecipe recipe = make_recipe();
  Trainer trainer(network, rows, recipe);
  double loss = 0;
  for (int i = 0; i < 400; ++i) {
    const StepReport report = trainer.step();
    EXPECT_EQ(report.step, i + 1);
    EXPECT_EQ(report.tokens, 15 * 8);
    if (i == 0) {
      EXPECT_NEAR(report.loss, std::log(5), 1e-12);
    }
    if (i >= 396)
      loss += report.loss / 4;  // an epoch: every row once
  }
  double entropy = 0;
  for (int v = 1; v <= 5; ++v) entropy -= v / 15.0 * std::log(v / 15.0);
  EXPECT_NEAR(loss, entropy, 1e-3);
}

TEST(Trainer, AccumulationIsALargerBatch) {
  std::vector<at::Tensor> ends;
  for (const auto& [batch_size, accumulation] : {std::pair(12, 1), std::pair(3, 4)}) {
    UnigramNetwork network(5);
    const StoredRows rows = make_rows();
    TrainRecipe recipe = make_recipe();
    recipe.batch_size = batch_size;
    recipe.accumulation = accumulation;
    Trainer trainer(network, rows, recipe);
    for (int i = 0; i < 20; ++i) trainer.step();
    ends.push_back(network.parameters()[0].value);
  }
  for (std::size_t v = 0; v < 5; ++v)
    EXPECT_NEAR(values_of(ends[0])[v], values_of(ends[1])[v], 1e-5);
}

TEST(Trainer, ClipsTheNormOfTheGradient) {
  std::vector<double> first_moments;
  for (const double clip : {0.0, 1e-3}) {
    UnigramNetwork network(5);
    const StoredRows rows = make_rows();
    TrainRecipe recipe = make_recipe();
    recipe.clip_norm = clip;
    Trainer trainer(network, rows, recipe);
    const StepReport report = trainer.step();
    double squares = 0;
    for (const float m : values_of(trainer.optimizer().moments()[0].first))
      squares += double{m} * double{m};
    first_moments.push_back(std::sqrt(squares) / 0.1 / report.gradient_norm);
  }
  EXPECT_NEAR(first_moments[0], 1, 1e-5);
  EXPECT_LT(first_moments[1], 0.05);
}

TEST(Trainer, StopsWhereANumberIsNone) {
  const StoredRows rows = make_rows();
  const TrainRecipe recipe = make_recipe();
  UnigramNetwork network(5);
  Trainer trainer(network, rows, recipe);
  for (int i = 0; i < 3; ++i) trainer.step();
  const at::Tensor before = network.parameters()[0].value.clone();
  network.break_gradient();
  EXPECT_EQ(error_of<DivergedError>([&] { trainer.step(); }).substr(0, 37),
            "step 4: the training diverged: loss 1");
  EXPECT_TRUE(at::equal(network.parameters()[0].value, before));
  network.break_loss();
  EXPECT_EQ(error_of<DivergedError>([&] { trainer.step(); }), "step 4: the loss is not finite");
}

// Weights after 30 steps, stopped after `stop` and gone on in another process' place.
at::Tensor train_in_two(const std::string& folder, int stop) {
  const StoredRows rows = make_rows();
  const TrainRecipe recipe = make_recipe();
  {
    UnigramNetwork network(5);
    Trainer trainer(network, rows, recipe);
    const TrainingFolder out(folder, "{}");
    EXPECT_FALSE(out.restore(network.parameters(), trainer.optimizer()).has_value());
    for (int i = 0; i < stop; ++i) trainer.step();
    TrainingProgress progress;
    progress.steps = stop;
    progress.interval = {0.25, 0.75};
    progress.note(3, {"training_loss", "nats/token", "lo", "mean", "a loss"}, 1.0 / 3);
    progress.sums = {1.0 / 7, 2, 3, 4};
    out.save(network.parameters(), trainer.optimizer(), progress);
  }
  UnigramNetwork network(5);
  Trainer trainer(network, rows, recipe);
  const TrainingFolder out(folder, "{}");
  const auto progress = out.restore(network.parameters(), trainer.optimizer());
  EXPECT_TRUE(progress && progress->steps == stop && progress->interval.high == 0.75);
  EXPECT_TRUE(progress && progress->curve.size() == 1 && progress->curve[0].value == 1.0 / 3);
  EXPECT_TRUE(progress && progress->metrics.size() == 1 &&
              progress->metrics[0].unit == "nats/token" && progress->metrics[0].doc == "a loss");
  EXPECT_TRUE(progress && progress->sums.loss == 1.0 / 7 && progress->sums.nelbo_steps == 4);
  while (trainer.steps() < 30) trainer.step();
  out.publish(network.parameters(), trainer.optimizer(), network.config_json(), at::kFloat);
  return trainer.optimizer().published(0).clone();
}

TEST(TrainingFolder, ATrainingGoesOnToTheBit) {
  const TemporaryFolder folder;
  const at::Tensor early = train_in_two(folder.file("a"), 7);
  const at::Tensor late = train_in_two(folder.file("b"), 29);
  EXPECT_TRUE(at::equal(early, late));
  EXPECT_EQ(Checkpoint::open(folder.file("a")).weights_sha256(),
            Checkpoint::open(folder.file("b")).weights_sha256());
}

TEST(TrainingFolder, RefusesWhatIsNotItsOwn) {
  const TemporaryFolder folder;
  const std::string out = folder.file("out");
  {
    const TrainingFolder mine(out, R"({"settings":{"steps":5}})");
    EXPECT_NE(error_of<ConfigError>([&] {
                TrainingFolder(out, R"({"settings":{"steps":5}})");
              }).find("a process is training in it now"),
              std::string::npos);
  }
  EXPECT_NE(error_of<ConfigError>([&] {
              TrainingFolder(out, R"({"settings":{"steps":6}})");
            }).find("settings.steps: 5 there, 6 here"),
            std::string::npos);
  EXPECT_NO_THROW(TrainingFolder(out, R"({"settings":{"steps":5}})"));
  write_file_atomically(folder.file("notes.txt"), "mine");
  EXPECT_THROW(TrainingFolder(folder.path(), "{}"), ConfigError);
  EXPECT_THROW(TrainingFolder(folder.file("notes.txt"), "{}"), ConfigError);
  EXPECT_THROW(TrainingFolder("/proc/none/out", "{}"), DataError);
}

TEST(TrainingFolder, RemovesWhatAKilledProcessWasWriting) {
  const TemporaryFolder folder;
  const std::string out = folder.file("out");
  TrainingFolder(out, "{}");
  const std::string left = out + "/training/state.safetensors.part-123";
  write_file_atomically(left, "half");
  TrainingFolder(out, "{}");
  EXPECT_FALSE(file_exists(left));
}

TEST(TrainingFolder, RefusesADamagedCheckpoint) {
  const TemporaryFolder folder;
  const std::string out = folder.file("out");
  UnigramNetwork network(5);
  const StoredRows rows = make_rows();
  const TrainRecipe recipe = make_recipe();
  Trainer trainer(network, rows, recipe);
  const TrainingFolder mine(out, "{}");
  mine.save(network.parameters(), trainer.optimizer(), {});
  UnigramNetwork larger(6);
  Trainer other(larger, rows, recipe);
  EXPECT_NE(error_of<DataError>([&] {
              (void)mine.restore(larger.parameters(), other.optimizer());
            }).find("value.logits of the network's shape"),
            std::string::npos);
  const std::string path = out + "/training/state.safetensors";
  const std::string whole(MappedFile::open(path)->text());
  write_file_atomically(path, whole.substr(0, whole.size() / 2));
  EXPECT_THROW((void)mine.restore(network.parameters(), trainer.optimizer()), DataError);
}

}  // namespace
}  // namespace dlm
