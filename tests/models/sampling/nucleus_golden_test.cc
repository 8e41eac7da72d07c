// The nucleus of bd3lms, step by step of its sampler, from the reference's own run.
#include <algorithm>
#include <cmath>
#include <cstring>

#include <gtest/gtest.h>

#include "models/checkpoint/safetensors.h"
#include "models/sampling/token_law.h"
#include "tests/support/data.h"
#include "tests/support/plain_law.h"

namespace dlm {
namespace {

// An f32 tensor's rows of V, as doubles.
std::vector<std::vector<double>> rows_of(const std::vector<TensorView>& tensors,
                                         const std::string& name) {
  const auto tensor = std::find_if(tensors.begin(), tensors.end(),
                                   [&](const TensorView& t) { return t.name == name; });
  if (tensor == tensors.end() || tensor->dtype != Dtype::kF32)
    throw std::runtime_error("no f32 tensor " + name);
  std::vector<float> values(static_cast<std::size_t>(tensor->elements()));
  std::memcpy(values.data(), tensor->bytes.data(), tensor->bytes.size());
  std::vector<std::vector<double>> rows;
  const auto V = tensor->shape.back();
  for (auto at = values.begin(); at != values.end(); at += V) rows.emplace_back(at, at + V);
  return rows;
}

struct Trace {
  const char* set;
  const char* name;
  double nucleus_p;
};

class NucleusGolden : public ::testing::TestWithParam<Trace> {};

INSTANTIATE_TEST_SUITE_P(
    Bd3lms, NucleusGolden,
    ::testing::Values(Trace{"bd3lm_bs1", "trace_fh", 0.9}, Trace{"bd3lm_bs1", "trace_fh_nokv", 0.9},
                      Trace{"bd3lm_bs4", "trace_fh", 0.9}, Trace{"bd3lm_bs4", "trace_fh_nokv", 0.9},
                      Trace{"bd3lm_bs4", "trace_fh_p1", 1}, Trace{"bd3lm_bs4", "trace_ddpm", 0.9},
                      Trace{"bd3lm_bs16", "trace_ddpm", 0.9}),
    [](const auto& trace) { return std::string(trace.param.set) + "_" + trace.param.name; });

// Both tensors were computed in f64 and stored as f32, so rows sum to 1 within 131 roundings and
// agree to 1e-7; no cumulative sum lies closer to p than 1e-5, so the sets kept must be the same.
TEST_P(NucleusGolden, KeepsTheTokensThatTheReferenceKeeps) {
  const Trace& trace = GetParam();
  DLM_REQUIRE_DATA(std::string("fixtures/") + trace.set);
  const auto tensors = open_safetensors(
      testing::data_path(std::string("fixtures/") + trace.set + "/expected.safetensors"));
  const auto before = rows_of(tensors, std::string(trace.name) + ".p_x0");
  const auto after = rows_of(tensors, std::string(trace.name) + ".p_x0_nucleus");
  ASSERT_EQ(before.size(), after.size());
  std::size_t cut_rows = 0;
  for (std::size_t r = 0; r < before.size(); ++r) {
    const auto law = testing::dense(
        filtered_law(before[r], {.nucleus_p = trace.nucleus_p, .nucleus_rule = NucleusRule::kDrop}),
        before[r].size());
    for (std::size_t v = 0; v < law.size(); ++v) {
      ASSERT_NEAR(law[v], after[r][v], 1e-7) << "row " << r << ", token " << v;
      ASSERT_EQ(law[v] == 0, after[r][v] == 0) << "row " << r << ", token " << v;
    }
    cut_rows += std::ranges::count(law, 0.0) > std::ranges::count(before[r], 0.0) ? 1U : 0U;
  }
  EXPECT_EQ(cut_rows > 0, trace.nucleus_p < 1);
}

// The same rows through logits: what a model hands over.
TEST_P(NucleusGolden, LogitsGiveTheSameLaw) {
  const Trace& trace = GetParam();
  DLM_REQUIRE_DATA(std::string("fixtures/") + trace.set);
  const auto tensors = open_safetensors(
      testing::data_path(std::string("fixtures/") + trace.set + "/expected.safetensors"));
  const auto before = rows_of(tensors, std::string(trace.name) + ".p_x0");
  const auto after = rows_of(tensors, std::string(trace.name) + ".p_x0_nucleus");
  for (std::size_t r = 0; r < before.size(); ++r) {
    std::vector<float> logits;
    for (double p : before[r]) logits.push_back(static_cast<float>(std::log(p)));
    const auto law = testing::dense(
        token_law(logits, {.nucleus_p = trace.nucleus_p, .nucleus_rule = NucleusRule::kDrop}),
        logits.size());
    for (std::size_t v = 0; v < law.size(); ++v)
      ASSERT_NEAR(law[v], after[r][v], 1e-6) << "row " << r << ", token " << v;
  }
}

}  // namespace
}  // namespace dlm
