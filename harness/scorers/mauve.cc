// `score mauve`: two sets of texts, token ids or ready features compared, with the score that two
// parts of the reference reach.
#include "metrics/mauve.h"

#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/log.h"
#include "harness/base/text.h"
#include "harness/cli.h"
#include "harness/commands/store_options.h"
#include "harness/data_root.h"
#include "harness/mauve_measures.h"
#include "harness/model_loading.h"
#include "harness/scorers/scored_run.h"
#include "harness/scorers/scorer_options.h"
#include "harness/scorers/text_records.h"
#include "harness/scorers/text_scorers.h"
#include "metrics/text_features.h"
#include "models/checkpoint/weights.h"
#include "models/runtime.h"

namespace dlm {
namespace {

constexpr const char* kText =
    "MAUVE of generated texts against a reference: the last token's hidden state of every text "
    "under "
    "a featurizer,\n"
    "principal components with 90 % of the variance, k-means with k = n / 10, the area under the "
    "divergence curve (c = 5).\n"
    "Also the frontier integral, and both on smoothed histograms (starred). The quantisation is "
    "repeated with --seeds\n"
    "seeds from --seed on: the value is their mean. se_mc is that of the mean over seeds, se_data "
    "a "
    "bootstrap over texts.\n"
    "The variant `ceiling` is the same measurement on two parts of the reference, of the sizes its "
    "log line gives: a\n"
    "perfect model scores that, not 1. Compare only scores of the same n, k, featurizer and text "
    "length.\n\n"
    "  dlmbench score mauve --generations samples.jsonl --reference human.jsonl --featurizer "
    "gpt2-large/\n"
    "  dlmbench score mauve --generations a.safetensors --reference b.safetensors    (features, a "
    "tensor (N, D))\n"
    "  dlmbench score mauve --generations a.jsonl --field ids --reference b.jsonl --featurizer "
    "gpt2/";

struct FeatureSet {
  at::Tensor features;  // (N, D) f32
  std::string path, sha256;
  std::vector<ExampleRow> rows;
};

bool holds_features(const std::string& path) {
  return path.ends_with(".safetensors");
}

FeatureSet ready_features(const std::string& path) {
  FeatureSet set;
  set.path = path;
  set.sha256 = sha256_hex_of_file(path);
  const auto views = open_safetensors(path);
  const TensorView* chosen = views.size() == 1 ? &views.front() : nullptr;
  for (const TensorView& view : views) {
    if (view.name == "features")
      chosen = &view;
  }
  if (chosen == nullptr)
    throw DataError(path, -1, "a tensor 'features', or one tensor only",
                    fmt::format("{} tensors", views.size()));
  const at::Tensor tensor = as_tensor(*chosen);
  if (tensor.dim() != 2 || !tensor.is_floating_point()) {
    throw DataError(path, chosen->file_offset(), "floating values of shape (N, D)",
                    fmt::format("{} dimensions", tensor.dim()));
  }
  set.features = tensor.to(at::kFloat);
  for (std::int64_t i = 0; i < tensor.size(0); ++i) {
    ExampleRow row;
    row.doc_id = fmt::format("{:06}", i);
    row.doc_sha = sha256_hex(fmt::format("{} {}", set.sha256, i));
    set.rows.push_back(std::move(row));
  }
  return set;
}

struct TextOptions {
  std::int64_t max_tokens = 1024;
  std::int64_t batch_size = 8;
  std::int64_t limit = 0;
};

FeatureSet text_features(const std::string& path, const std::string& field,
                         const LoadedModel& model, const TextOptions& options) {
  TextFile file = read_text_file(path, field, options.limit);
  const std::int64_t longest = model.model->info().max_length;
  const std::int64_t most =
      longest > 0 ? std::min(options.max_tokens, longest) : options.max_tokens;
  FeatureSet set;
  set.path = path;
  set.sha256 = file.sha256;
  std::vector<std::vector<std::int64_t>> texts;
  for (const TextRecord& record : file.records) {
    std::vector<std::int64_t> ids = record_ids(record, model);
    if (ids.empty()) {
      ++file.empty;
      continue;
    }
    ids.resize(std::min(ids.size(), static_cast<std::size_t>(most)));
    set.rows.push_back(row_of(record));
    set.rows.back().kept_tokens = std::ssize(ids);
    texts.push_back(std::move(ids));
  }
  if (texts.empty())
    throw DataError(path, -1, "at least one text with a token", "none");
  set.features = last_token_features(*model.model, texts, options.batch_size);
  log_info("{}: {} texts, {} empty ones left out", path, texts.size(), file.empty);
  return set;
}

MauveOptions mauve_options(const ParsedOptions& options) {
  MauveOptions mauve;
  mauve.buckets = whole_option(options, "buckets", 0, 0);
  mauve.explained_variance = number_option(options, "explained-variance", 0.9);
  mauve.restarts = whole_option(options, "restarts", 5, 1);
  mauve.max_iterations = whole_option(options, "iterations", 500, 1);
  mauve.seeds = whole_option(options, "seeds", 5, 1);
  mauve.curve.scaling = number_option(options, "scaling", 5);
  return mauve;
}

Json settings_of(const MauveOptions& options) {
  return {{"buckets", options.buckets},   {"explained_variance", options.explained_variance},
          {"restarts", options.restarts}, {"iterations", options.max_iterations},
          {"seeds", options.seeds},       {"scaling", options.curve.scaling}};
}

// Both sets' features, from texts by the featurizer or from files that hold them.
std::pair<FeatureSet, FeatureSet> read_sets(const ParsedOptions& options, RunSpec& spec,
                                            Json& settings) {
  const std::string generations =
      resolve_data_path(needed_option(options, "generations", "the texts or their features"));
  const std::string reference =
      resolve_data_path(needed_option(options, "reference", "the texts compared with"));
  if (holds_features(generations) != holds_features(reference))
    throw ConfigError("reference", reference, "must hold texts or features as --generations does");
  if (holds_features(generations)) {
    if (options.has("featurizer"))
      throw ConfigError("featurizer", spec.model, "has nothing to do: the files hold features");
    return {ready_features(generations), ready_features(reference)};
  }
  spec.model = needed_option(options, "featurizer", "the model whose hidden states are compared");
  ModelCache models;
  const LoadedModel& model = models.load(spec);
  if (model.model == nullptr || model.model->info().hidden_size == 0)
    throw ConfigError("featurizer", spec.model, "has no hidden states");
  const TextOptions text{whole_option(options, "max-tokens", 1024, 1), spec.batch_size,
                         whole_option(options, "limit", 0, 0)};
  const std::string field = options.get("field", "text");
  const std::string reference_field = options.get("reference-field", field);
  settings.update({{"featurizer", model.name},
                   {"featurizer_weights", model.weights_sha256},
                   {"tokenizer", model.tokenizer ? model.tokenizer->sha256() : ""},
                   {"dtype", spec.dtype},
                   {"max_tokens", text.max_tokens},
                   {"limit", text.limit},
                   {"field", field},
                   {"reference_field", reference_field}});
  FeatureSet q = text_features(generations, field, model, text);
  return {std::move(q), text_features(reference, reference_field, model, text)};
}

CommandOptions command_options() {
  CommandOptions cli("score mauve --generations A --reference B [--featurizer MODEL]", kText);
  cli.value("generations", "JSON lines, .txt (one text per line) or .safetensors (features)")
      .value("reference", "the same for the human texts")
      .value("featurizer", "model folder or data:FOLDER; for texts and token ids")
      .value("field", "member that holds the text or its token ids (default text)")
      .value("reference-field", "the same in the reference (default --field)")
      .value("max-tokens", "texts are cut to so many tokens (default 1024)")
      .value("limit", "only the first N lines of each file (default 0: all)")
      .value("buckets", "clusters k (default 0: a tenth of the smaller set)")
      .value("explained-variance", "share kept by the principal components (default 0.9)")
      .value("restarts", "restarts of k-means (default 5)")
      .value("iterations", "most iterations of a restart (default 500)")
      .value("seeds", "quantisations averaged (default 5)")
      .value("scaling", "c of exp(-c KL) (default 5)")
      .flag("no-ceiling", "leave out the two parts of the reference")
      .fields(SpecPart::kModel);
  add_scored_run_options(cli);
  return cli;
}

}  // namespace

int score_mauve(const Arguments& args) {
  const auto options = command_options().parse(args);
  if (!options)
    return kExitOk;
  check_output_format(*options);
  RunSpec spec = spec_from(*options);
  if (!spec.model.empty())
    throw ConfigError("model", spec.model, "names nothing here: give --featurizer");
  set_threads(spec.threads);
  MauveOptions mauve_settings = mauve_options(*options);
  mauve_settings.seed = spec.seed;
  ScoredRun run;
  run.settings = settings_of(mauve_settings);
  run.settings["ceiling"] = !options->has("no-ceiling");
  auto [generated, reference] = read_sets(*options, spec, run.settings);
  const MauveInputs inputs{reference.features, generated.features, reference.path, generated.path};
  Measures measures =
      mauve_measures(inputs, mauve_settings,
                     options->has("no-ceiling") ? MauveCeiling::kLeaveOut : MauveCeiling::kMeasure);
  run.estimates = std::move(measures.estimates);
  run.definitions = std::move(measures.definitions);
  run.rows = std::move(generated.rows);
  run.model_name = generated.path;
  run.task_name = "mauve";
  run.data_sha256 = reference.sha256;
  run.generations_sha256 = generated.sha256;
  run.seed = spec.seed;
  run.smoke = options->has("limit");
  run.command = command_line("score mauve", args);
  return record_scored_run(*options, run);
}

}  // namespace dlm
