#include "harness/text_quality.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/log.h"
#include "harness/base/text.h"
#include "harness/mauve_measures.h"
#include "harness/text_sampling.h"
#include "metrics/generative_perplexity.h"
#include "metrics/likelihood.h"
#include "metrics/text_statistics.h"
#include "metrics/truth.h"
#include "models/exact/policy_law.h"

namespace dlm {

// A run's texts in the forms that metrics take.
struct TextQuality::Texts {
  std::span<const ExampleRow> rows;
  std::vector<PlainText> plain;                // the text, or ids where there is no tokenizer
  std::vector<std::vector<std::int64_t>> ids;  // by the model's own tokenizer, without specials
};

namespace {

// Above this many states an automatic run does not enumerate the sampler's law.
constexpr double kAutomaticStates = 1 << 20;

std::vector<std::int64_t> parsed_ids(const std::string& output) {
  std::vector<std::int64_t> ids;
  if (output.empty())
    return ids;
  for (const std::string& text : split(output, ' ')) {
    const auto id = parse_int(text);
    DLM_CHECK(id.has_value(), "'{}' is no token id", text);
    ids.push_back(*id);
  }
  return ids;
}

const TabularWorld* tabular(const ExactWorld* world) {
  return dynamic_cast<const TabularWorld*>(world);
}

// A world from left to right, token by token, is the block loop with one block and K = 1.
RevealOptions law_reveal(const RunSpec& spec, bool is_autoregressive) {
  if (is_autoregressive)
    return {"left_to_right", 1, 0, spec.sampler.threshold};
  return reveal_options(spec.sampler);
}

// Whether nothing but the reveal policy decides what the block loop draws.
bool law_is_known(const RunSpec& spec) {
  const SamplerSpec& sampler = spec.sampler;
  const std::vector<std::string> known = reveal_policy_names();
  const bool named = sampler.name == "auto" || sampler.name == "autoregressive" ||
                     std::find(known.begin(), known.end(), sampler.name) != known.end();
  return named && sampler.guidance == 1 && sampler.position_temperature == 0 &&
         sampler.reveal_schedule == "exact";
}

}  // namespace

std::span<const TextQuality::MetricRow> TextQuality::table() {
  static const std::array kRows{
      MetricRow{"text_statistics", "unigram_entropy", &TextQuality::text_statistics},
      MetricRow{"generative_perplexity", "generative_perplexity",
                &TextQuality::generative_perplexity},
      MetricRow{"judge_nll_minus_entropy", "judge_nll_minus_entropy",
                &TextQuality::judge_nll_minus_entropy},
      MetricRow{"mauve", "mauve", &TextQuality::mauve},
      MetricRow{"kl_to_joint", "kl_to_joint", &TextQuality::kl_to_joint}};
  return kRows;
}

TextQuality::TextQuality(const RunSpec& spec, const LoadedModel& model, ModelCache& models,
                         TextForm form)
    : spec_(spec),
      model_(model),
      world_(dynamic_cast<const ExactWorld*>(model.model.get())),
      form_(form) {
  choose_metrics();
  if (wants("generative_perplexity") || wants("judge_nll_minus_entropy"))
    load_judge(models);
  if (wants("judge_nll_minus_entropy") && !known_entropy())
    throw ConfigError(
        "metrics", "judge_nll_minus_entropy",
        "others: it needs an exact world as judge, no prompt and texts of one length");
  if (wants("mauve"))
    load_reference(models);
  if (wants("kl_to_joint") && (tabular(world_) == nullptr || !law_is_known(spec) ||
                               form.has_prompt || form.length != world_->info().max_length))
    throw ConfigError("metrics", "kl_to_joint",
                      "others: it needs exact:tabular, no prompt, its whole length and a sampler "
                      "of blocks");
}

bool TextQuality::wants(std::string_view metric) const {
  return std::find(metrics_.begin(), metrics_.end(), metric) != metrics_.end();
}

void TextQuality::choose_metrics() {
  if (spec_.metrics != std::vector<std::string>{"auto"}) {
    std::vector<std::string> known;
    for (const MetricRow& row : table()) known.emplace_back(row.name);
    for (const std::string& name : spec_.metrics) {
      if (std::find(known.begin(), known.end(), name) == known.end())
        throw unknown_name("metric", name, known);
    }
    metrics_ = spec_.metrics;
    return;
  }
  const QualitySpec& quality = spec_.quality;
  const bool whole = !form_.has_prompt && form_.has_fixed_length;
  metrics_ = {"text_statistics"};
  if (quality.judge != "auto" || world_ != nullptr)
    metrics_.emplace_back("generative_perplexity");
  if (quality.judge == "auto" && world_ != nullptr && whole)
    metrics_.emplace_back("judge_nll_minus_entropy");
  if (quality.reference != "auto" || (world_ != nullptr && whole))
    metrics_.emplace_back("mauve");
  if (tabular(world_) != nullptr && law_is_known(spec_) && !form_.has_prompt &&
      form_.length == world_->info().max_length &&
      std::pow(world_->info().vocab_size + 1, form_.length) <= kAutomaticStates)
    metrics_.emplace_back("kl_to_joint");
}

void TextQuality::load_judge(ModelCache& models) {
  RunSpec wanted;
  wanted.model = spec_.quality.judge;
  wanted.device = spec_.device;
  if (wanted.model == "auto") {
    if (world_ == nullptr)
      throw ConfigError("judge", "auto", "a model: only an exact world judges its own text");
    judge_ = &model_;
  } else {
    judge_ = &models.load_as("judge", wanted);
  }
  judge_options_ = judge_options(
      {spec_.quality.judge_convention, spec_.quality.judge_window, spec_.quality.judge_stride},
      *judge_);
  // Ids are judged as they are, whether or not the judge could read text.
  if (judge_->tokenizer == nullptr && model_.tokenizer != nullptr)
    throw ConfigError("judge", judge_->name, "a model with a tokenizer: the run writes text");
  // The mask, which finished text holds none of, needs no place in the judge's vocabulary. Whether
  // other ids beyond it occur is known when the text is there.
  const std::int64_t known = judge_->info().vocab_size, ids = model_.info().vocab_size;
  if (model_.tokenizer == nullptr && known < ids - 1)
    log_warning(
        fmt::format("the judge {} knows {} token ids, the model {}: text with one that it does not "
                    "know is refused",
                    judge_->name, known, ids));
}

void TextQuality::load_reference(ModelCache& models) {
  std::string reference = spec_.quality.reference, featurizer = spec_.quality.featurizer;
  if (reference == "auto") {
    if (world_ == nullptr)
      throw ConfigError("reference", "auto", "a file or task of texts to compare with");
    reference = fmt::format("draws:{}&documents={}&length={}", world_->spec().substr(6),
                            std::max<std::int64_t>(form_.documents, 2), form_.length);
  }
  if (featurizer == "auto") {
    if (world_ == nullptr)
      throw ConfigError("featurizer", "auto", "a model folder, ids:positions or ids:pairs");
    featurizer = "ids:positions";
  }
  featurizer_.emplace(featurizer, spec_, models, model_.info().vocab_size);
  reference_ = read_reference(reference, spec_.seed);
  if (reference_->texts.size() < 2)
    throw ConfigError("reference", reference, "at least two texts");
  if (!featurizer_->takes_ids() && model_.tokenizer == nullptr)
    throw ConfigError("featurizer", featurizer, "ids:positions or ids:pairs: the text is ids");
  if (reference_->is_ids && !featurizer_->takes_ids())
    throw ConfigError("reference", reference, "texts, as the run's own are");
  if (!featurizer_->takes_ids() || reference_->is_ids)
    return;
  if (model_.tokenizer == nullptr)
    throw ConfigError("reference", reference, "token ids, as the run's own text is");
  for (PlainText& text : reference_->texts)
    text.ids = without_special(model_.tokenizer->encode(text.text), model_);
}

Json TextQuality::identity() const {
  Json identity = Json::object();
  if (judge_ != nullptr)
    identity["judge"] = judge_identity(*judge_, judge_options_);
  if (reference_)
    identity["reference"] = reference_->sha256;
  if (featurizer_)
    identity["featurizer"] = featurizer_->identity();
  return identity;
}

std::vector<AskedMetric> TextQuality::metrics() const {
  std::vector<AskedMetric> asked;
  for (const MetricRow& row : table()) {
    if (wants(row.name))
      asked.push_back({row.name, row.estimate});
  }
  return asked;
}

Measures TextQuality::measures(std::span<const ExampleRow> rows, std::span<const std::string> names,
                               Store& store) const {
  Texts texts;
  texts.rows = rows;
  for (const ExampleRow& row : rows) {
    if (model_.tokenizer == nullptr) {
      texts.ids.push_back(parsed_ids(row.output));
      texts.plain.push_back({"", texts.ids.back()});
    } else {
      texts.ids.push_back(without_special(model_.tokenizer->encode(row.output), model_));
      texts.plain.push_back({row.output, texts.ids.back()});
    }
  }
  Measures out;
  for (const MetricRow& row : table()) {
    if (std::find(names.begin(), names.end(), row.name) != names.end())
      (this->*row.measure)(texts, store, out);
  }
  return out;
}

void TextQuality::text_statistics(const Texts& texts, Store&, Measures& out) const {
  out.add(dlm::text_statistics(texts.ids), text_statistics_definitions());
  std::optional<double> least;
  std::int64_t n = 0;
  for (const ExampleRow& row : texts.rows) {
    if (!row.margin)
      continue;
    least = std::min(*row.margin, least.value_or(*row.margin));
    ++n;
  }
  if (!least)
    return;
  Estimate margin;
  margin.metric = "decision_margin";
  margin.variant = "least";
  margin.value = *least;
  margin.n = margin.n_clusters = n;
  out.add({margin}, {{"decision_margin", "1", "none", "minimum over samples",
                      "how close the sampler's closest decision was: a rounding error of that size "
                      "could have changed a text"}});
}

std::vector<ExampleRow> TextQuality::judged_rows(const Texts& texts, Store& store) const {
  std::vector<std::vector<std::int64_t>> ids;
  for (std::size_t i = 0; i < texts.plain.size(); ++i) {
    const PlainText& text = texts.plain[i];
    std::vector<std::int64_t> own;
    if (model_.tokenizer == nullptr) {
      own = text.ids;
      check_judged_ids(own, texts.rows[i].doc_id, *judge_,
                       model_.denoiser == nullptr ? -1 : model_.denoiser->mask_id());
    } else {
      own = judge_->tokenizer->encode(text.text);
    }
    ids.push_back(judged_ids_of_run(std::move(own), *judge_, judge_options_));
  }
  const std::vector<JudgedText> judged =
      judge_all({*judge_, judge_options_, spec_.batch_size, KnownVerdicts::kUse}, ids, store);
  std::vector<ExampleRow> rows;
  for (std::size_t i = 0; i < judged.size(); ++i) {
    ExampleRow row;
    row.doc_id = texts.rows[i].doc_id;
    row.nll = judged[i].nll;
    row.tokens = judged[i].tokens;
    rows.push_back(std::move(row));
  }
  return rows;
}

void TextQuality::generative_perplexity(const Texts& texts, Store& store, Measures& out) const {
  out.add(dlm::generative_perplexity(judged_rows(texts, store)),
          generative_perplexity_definitions());
}

std::optional<double> TextQuality::known_entropy() const {
  const auto* law =
      judge_ == nullptr ? nullptr : dynamic_cast<const ExactWorld*>(judge_->model.get());
  if (law == nullptr || form_.has_prompt || !form_.has_fixed_length)
    return std::nullopt;
  return law->entropy_per_token(form_.length);
}

void TextQuality::judge_nll_minus_entropy(const Texts& texts, Store& store, Measures& out) const {
  const auto metric = make_truth_metric(
      known_entropy().value(), std::make_unique<LikelihoodMetric>(LikelihoodQuantity::kNll, true));
  std::vector<Estimate> estimates = metric->compute(judged_rows(texts, store));
  for (Estimate& estimate : estimates) estimate.metric = "judge_nll_minus_entropy";
  out.add(
      std::move(estimates),
      {{"judge_nll_minus_entropy", "nats/token", "none", "mean over tokens",
        "nll of the samples under the judge's exact law, less its entropy: what text of that law "
        "would score; below 0 the text is too predictable"}});
}

void TextQuality::mauve(const Texts& texts, Store&, Measures& out) const {
  MauveOptions options;
  options.buckets = spec_.quality.mauve_buckets;
  options.seeds = spec_.quality.mauve_seeds;
  options.seed = spec_.seed;
  const MauveInputs inputs{featurizer_->features(reference_->texts, form_.length),
                           featurizer_->features(texts.plain, form_.length), reference_->name,
                           "the run's texts"};
  Measures measures = mauve_measures(inputs, options, MauveCeiling::kMeasure);
  out.add(std::move(measures.estimates), std::move(measures.definitions));
}

void TextQuality::kl_to_joint(const Texts&, Store&, Measures& out) const {
  const TabularWorld& world = *tabular(world_);
  const bool token_by_token = is_autoregressive(spec_, model_);
  const PolicyLawOptions options{token_by_token ? 0 : spec_.block_size,
                                 law_reveal(spec_, token_by_token), token_filter(spec_.sampler)};
  Estimate kl;
  kl.metric = "kl_to_joint";
  kl.value = kl_divergence(joint_law(world), policy_law(world, options));
  if (!std::isfinite(kl.value))
    throw ConfigError("temperature, top_k, nucleus_p",
                      fmt::format("{}, {}, {}", spec_.sampler.temperature, spec_.sampler.top_k,
                                  spec_.sampler.nucleus_p),
                      "values that leave every sequence possible, or other metrics than "
                      "kl_to_joint: the divergence is infinite");
  kl.se_data = 0;
  kl.se_mc = 0;
  out.add({kl}, {kl_to_joint_definition()});
}

}  // namespace dlm
