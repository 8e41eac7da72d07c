// The networks of Dream and LLaDA against the published code. Bounds as shared/fixtures/README.md
// suggests.
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <gtest/gtest.h>

#include "models/canvas_model.h"
#include "models/dream.h"
#include "models/factory.h"
#include "models/llada.h"
#include "tests/models/canvas/fixture.h"
#include "tests/support/tensors.h"

namespace dlm::testing {
namespace {

constexpr double kTolerance = 3e-5;

// Raw logits of every position through the decoder that generates, wanted position by position.
at::Tensor decoded_logits(const CanvasModel& model, const at::Tensor& input) {
  const std::int64_t length = input.size(1);
  auto decoder = model.new_decoder({input.size(0), length, length});
  std::vector<Ids> texts;
  Ids wanted;
  for (std::int64_t i = 0; i < length; ++i) wanted.push_back(i);
  std::vector<DecodeStep> steps;
  for (std::int64_t b = 0; b < input.size(0); ++b) {
    const at::Tensor row = input.select(0, b).contiguous();
    const auto* ids = row.const_data_ptr<std::int64_t>();
    texts.emplace_back(ids, ids + length);
  }
  for (std::int64_t b = 0; b < input.size(0); ++b)
    steps.push_back({b, {}, texts[static_cast<std::size_t>(b)], wanted, 1, 0, {}});
  const std::span<float> logits = decoder->step(steps);
  at::Tensor out = at::empty({input.size(0), length, model.info().vocab_size}, at::kFloat);
  std::copy(logits.begin(), logits.end(), out.mutable_data_ptr<float>());
  return out;
}

const Ids kWhole = {0, 0};

TEST(CanvasGolden, DreamLogitsAndHiddenStates) {
  DLM_REQUIRE_DATA("fixtures/dream_tiny");
  const CanvasFixture fixture("dream_tiny");
  const auto model = load_dream(Checkpoint::open(fixture.folder()), {.parameterization = "raw"});
  const CanvasForward out = model->forward(fixture["input_ids"], kWhole);
  expect_close(out.logits, fixture["logits"], kTolerance, "logits");
  expect_close(out.last_hidden, fixture["hidden3"], kTolerance, "hidden states");
  expect_close(decoded_logits(*model, fixture["input_ids"]), fixture["logits_shifted"], kTolerance,
               "shifted logits");
}

TEST(CanvasGolden, DreamRowsBeginAfterTheirPadding) {
  DLM_REQUIRE_DATA("fixtures/dream_tiny");
  const CanvasFixture fixture("dream_tiny");
  const auto model = load_dream(Checkpoint::open(fixture.folder()), {});
  at::Tensor ids = fixture["batch.history"].select(0, 0).clone();
  ids.narrow(1, 13, 24).fill_(model->mask_id());
  const Ids first = {3, 0};
  const CanvasForward out = model->forward(ids, first);
  for (std::int64_t b = 0; b < 2; ++b) {
    const std::int64_t begin = first[static_cast<std::size_t>(b)];
    expect_close(out.logits[b].narrow(0, begin, 37 - begin),
                 fixture["batch.first_logits"][b].narrow(0, begin, 37 - begin), kTolerance,
                 "row " + std::to_string(b));
  }
}

TEST(CanvasGolden, LladaLogitsAndHiddenStates) {
  DLM_REQUIRE_DATA("fixtures/llada_tiny");
  const CanvasFixture fixture("llada_tiny");
  const auto model = load_llada(Checkpoint::open(fixture.folder()), {.parameterization = "raw"});
  const CanvasForward out = model->forward(fixture["input_ids"], kWhole);
  expect_close(out.logits, fixture["logits"], kTolerance, "logits");
  expect_close(out.last_hidden, fixture["hidden3"], kTolerance, "hidden states");
  expect_close(decoded_logits(*model, fixture["input_ids"]), fixture["logits"], kTolerance,
               "logits");
}

TEST(CanvasGolden, LladaRowsBeginAfterTheirPadding) {
  DLM_REQUIRE_DATA("fixtures/llada_tiny");
  const CanvasFixture fixture("llada_tiny");
  const auto model = load_llada(Checkpoint::open(fixture.folder()), {});
  Ids first;
  for (std::int64_t b = 0; b < 2; ++b)
    first.push_back(24 - fixture["masked.attention_mask"][b].sum().item<std::int64_t>());
  const CanvasForward out = model->forward(fixture["input_ids"], first);
  for (std::int64_t b = 0; b < 2; ++b) {
    const std::int64_t begin = first[static_cast<std::size_t>(b)];
    expect_close(out.logits[b].narrow(0, begin, 24 - begin),
                 fixture["masked.logits"][b].narrow(0, begin, 24 - begin), kTolerance,
                 "row " + std::to_string(b));
  }
}

}  // namespace
}  // namespace dlm::testing
