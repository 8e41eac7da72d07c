// The metrics of a run's own text: statistics of it, a judge's opinion, MAUVE, and, on a world
// small enough to enumerate, the exact distance of the sampler's law from the joint.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "harness/base/spec.h"
#include "harness/model_loading.h"
#include "harness/reference_texts.h"
#include "harness/text_judging.h"
#include "harness/workload.h"
#include "models/exact/exact_world.h"

namespace dlm {

// What the texts of a run have in common.
struct TextForm {
  std::int64_t length = 0;        // new tokens of each, at most
  std::int64_t documents = 0;     // of the task
  bool has_prompt = false;        // it is not part of the text that is measured
  bool has_fixed_length = false;  // none ends before `length`
};

class TextQuality {
 public:
  // Loads judge, featurizer and reference where the metrics need them. spec.metrics "auto" is what
  // there is everything for. What is `models`' must outlive it. Throws ConfigError for an unknown
  // metric and one that lacks what it needs, DataError.
  TextQuality(const RunSpec& spec, const LoadedModel& model, ModelCache& models, TextForm form);

  // Content of what the settings name by path.
  Json identity() const;

  std::vector<AskedMetric> metrics() const;

  // Those of `metrics` with these names. `rows`: their output is the text, or ids separated by
  // spaces where the model has no tokenizer.
  Measures measures(std::span<const ExampleRow> rows, std::span<const std::string> names,
                    Store& store) const;

 private:
  struct Texts;
  using Measure = void (TextQuality::*)(const Texts& texts, Store& store, Measures& out) const;

  struct MetricRow {
    const char* name;
    const char* estimate;  // one that it always makes
    Measure measure;
  };

  static std::span<const MetricRow> table();

  void choose_metrics();
  void load_judge(ModelCache& models);
  void load_reference(ModelCache& models);
  bool wants(std::string_view metric) const;
  std::optional<double> known_entropy() const;

  void text_statistics(const Texts& texts, Store& store, Measures& out) const;
  void generative_perplexity(const Texts& texts, Store& store, Measures& out) const;
  void judge_nll_minus_entropy(const Texts& texts, Store& store, Measures& out) const;
  void mauve(const Texts& texts, Store& store, Measures& out) const;
  void kl_to_joint(const Texts& texts, Store& store, Measures& out) const;

  std::vector<ExampleRow> judged_rows(const Texts& texts, Store& store) const;

  RunSpec spec_;
  const LoadedModel& model_;
  const ExactWorld* world_ = nullptr;  // where the model is one
  TextForm form_;
  std::vector<std::string> metrics_;
  const LoadedModel* judge_ = nullptr;
  JudgeOptions judge_options_;
  std::optional<ReferenceTexts> reference_;
  std::optional<Featurizer> featurizer_;
};

}  // namespace dlm
