#include "harness/score_plan.h"

#include <algorithm>
#include <exception>
#include <span>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/log.h"
#include "harness/data_root.h"
#include "harness/draws.h"
#include "harness/estimator_settings.h"
#include "tasks/text_task.h"

namespace dlm {
namespace {

// Documents as ids, and where they came from.
struct Source {
  ScorePlan plan;  // without units
  std::vector<TokenizedDocument> documents;
};

Source drawn_source(const RunSpec& spec) {
  const DrawnCorpus corpus = draw_corpus(spec.task, spec.seed, spec.limit);
  Source source;
  source.plan.task_name = corpus.name;
  source.plan.task_kind = "draws";
  source.plan.task_config_json = canonical_json({{"seed", spec.seed}});
  source.plan.entropy_per_token = corpus.entropy_per_token;
  std::string digests;
  for (std::size_t i = 0; i < corpus.ids.size(); ++i) {
    TokenizedDocument document;
    document.id = fmt::format("{:06}", i);
    document.sha = sha256_hex(std::as_bytes(std::span(corpus.ids[i])));
    document.ids = corpus.ids[i];
    digests += document.sha;
    source.documents.push_back(std::move(document));
  }
  source.plan.data_sha256 = sha256_hex(digests);
  return source;
}

// Tokenises in parallel; the first failure, in document order, is thrown.
std::vector<TokenizedDocument> tokenize_all(const std::vector<Document>& documents,
                                            const Tokenizer& tokenizer) {
  const auto count = static_cast<std::int64_t>(documents.size());
  std::vector<TokenizedDocument> tokenized(documents.size());
  std::vector<std::exception_ptr> failures(documents.size());
#pragma omp parallel for schedule(dynamic, 1)
  for (std::int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    try {
      tokenized[at] = tokenized_document(documents[at], tokenizer.encode(documents[at].text));
    } catch (...) {
      failures[at] = std::current_exception();
    }
  }
  for (const auto& failure : failures) {
    if (failure)
      std::rethrow_exception(failure);
  }
  return tokenized;
}

Source text_source(const RunSpec& spec, const LoadedModel& model) {
  if (spec.task.empty())
    throw ConfigError("task", "", "is needed: a named set (`dlmbench data list`) or text:FILE");
  if (model.tokenizer == nullptr) {
    throw ConfigError("task", spec.task,
                      "this model has no tokenizer: --tokenizer names a folder; an exact world "
                      "takes draws:WORLD");
  }
  const std::string detokenizer = spec.detokenizer == "auto" ? "" : spec.detokenizer;
  const TextTask task = make_text_task({spec.task, detokenizer, spec.limit}, data_root());
  Source source;
  source.plan.task_name = task.info().name;
  source.plan.task_kind = task.info().kind;
  source.plan.task_version = task.info().version;
  source.plan.data_sha256 = task.info().data_sha256;
  source.plan.task_config_json = task.info().config;
  source.documents = tokenize_all(task.documents(), *model.tokenizer);
  return source;
}

std::int64_t window_length(const RunSpec& spec, const ModelInfo& info,
                           const std::vector<TokenizedDocument>& documents) {
  if (info.max_length > 0 && spec.scoring.length > info.max_length) {
    throw ConfigError("scoring.length", std::to_string(spec.scoring.length),
                      fmt::format("this model holds at most {} positions", info.max_length));
  }
  if (spec.scoring.length > 0)
    return spec.scoring.length;
  if (info.max_length > 0)
    return info.max_length;
  std::size_t longest = 1;
  for (const TokenizedDocument& document : documents)
    longest = std::max(longest, document.ids.size());
  return static_cast<std::int64_t>(longest) + 1;  // and a BOS
}

// The token that begins a text: the tokenizer's own, else the one that config.json names.
std::optional<std::int64_t> bos_of(const RunSpec& spec, const LoadedModel& model) {
  const ModelInfo& info = model.info();
  if (spec.scoring.bos == "none" || (spec.scoring.bos == "auto" && scores_first_token(spec, model)))
    return std::nullopt;
  std::optional<std::int64_t> bos;
  if (model.tokenizer != nullptr)
    bos = model.tokenizer->bos_id();
  if (!bos && info.bos_id >= 0)
    bos = info.bos_id;
  if (!bos && spec.scoring.bos == "add")
    throw ConfigError("scoring.bos", "add", "this model has no BOS token");
  return bos;
}

WindowOptions window_options(const RunSpec& spec, const LoadedModel& model, const Source& source) {
  const ModelInfo& info = model.info();
  WindowOptions options;
  options.mode = window_mode(spec.scoring.packing);
  options.length = window_length(spec, info, source.documents);
  options.stride =
      spec.scoring.stride > 0 ? spec.scoring.stride : std::max<std::int64_t>(1, options.length / 2);
  options.bos_id = bos_of(spec, model);
  options.scores_first_token = scores_first_token(spec, model);
  // The end of the stream that fills no chunk is no sequence of whole blocks.
  options.drop_remainder = options.mode == WindowMode::kPacked && scores_by_diffusion(spec, model);
  if (options.mode == WindowMode::kPacked && model.tokenizer != nullptr) {
    options.eos_id = model.tokenizer->eos_id();
    if (!options.eos_id && info.eos_id >= 0)
      options.eos_id = info.eos_id;
  }
  return options;
}

}  // namespace

ScorePlan make_score_plan(const RunSpec& spec, const LoadedModel& model) {
  Source source = is_draws_task(spec.task) ? drawn_source(spec) : text_source(spec, model);
  ScorePlan plan = std::move(source.plan);
  plan.n_docs = static_cast<std::int64_t>(source.documents.size());
  WindowPlan windows = plan_windows(source.documents, window_options(spec, model, source));
  plan.units = std::move(windows.units);
  plan.skipped_units = windows.skipped_units;
  if (plan.skipped_units > 0) {
    log_warning(fmt::format("{}: {} documents have no token to score and are left out",
                            plan.task_name, plan.skipped_units));
  }
  plan.dropped_tokens = windows.dropped_tokens;
  if (plan.dropped_tokens > 0)
    log_warning(fmt::format("{}: the last {} tokens fill no chunk and are left out", plan.task_name,
                            plan.dropped_tokens));
  if (!scores_first_token(spec, model))
    plan.entropy_per_token.reset();  // it is that of whole documents
  if (plan.units.empty())
    throw ConfigError("task", spec.task, "nothing to score: no document has a token to score");
  for (const ScoringUnit& unit : plan.units) plan.scored_tokens += unit.scored_tokens();
  return plan;
}

}  // namespace dlm
