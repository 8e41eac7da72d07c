#include "harness/score_plan.h"

#include <algorithm>
#include <span>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/log.h"
#include "harness/data_root.h"
#include "harness/draws.h"
#include "harness/estimator_settings.h"
#include "harness/score_loop.h"
#include "harness/token_task.h"
#include "harness/tokenized_text.h"
#include "harness/window_settings.h"
#include "tasks/datasets.h"
#include "tasks/presets.h"
#include "tasks/text_task.h"

namespace dlm {
namespace {

// Documents as ids, and where they came from.
struct Source {
  ScorePlan plan;  // without units
  std::vector<TokenizedDocument> documents;
  std::string first_token = "scored";  // how it is in plan.entropy_per_token: clean or scored
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

Source token_source(const RunSpec& spec) {
  const std::string path = token_file_path(spec.task);
  const TokenFile file = read_token_file(path);
  Source source;
  source.plan.task_name = file_stem(path);
  source.plan.task_kind = "tokens";
  source.plan.data_sha256 = sha256_hex_of_file(path);
  source.plan.task_config_json =
      canonical_json({{"source", file.source}, {"first_token", file.first_token}});
  source.documents = token_documents(file, spec.limit);
  source.plan.entropy_per_token = file.nats_per_token(spec.limit);
  source.first_token = file.first_token == "given" ? "clean" : "scored";
  return source;
}

Source text_source(const RunSpec& spec, const LoadedModel& model) {
  if (spec.task.empty())
    throw ConfigError("task", "", "is needed: a named set (`dlmbench data list`) or text:FILE");
  if (spec.task.find(':') == std::string::npos)
    (void)find_dataset(spec.task);  // a name that is none ends it here
  if (model.tokenizer == nullptr) {
    throw ConfigError("task", spec.task,
                      "this model has no tokenizer: --tokenizer names a folder; an exact world "
                      "takes draws:WORLD, any model tokens:FILE");
  }
  const std::string detokenizer = spec.detokenizer == "auto" ? "" : spec.detokenizer;
  const TextTask task = make_text_task({spec.task, detokenizer, spec.limit}, data_root());
  Source source;
  source.plan.task_name = task.info().name;
  source.plan.task_kind = task.info().kind;
  source.plan.task_version = task.info().version;
  source.plan.data_sha256 = task.info().data_sha256;
  source.plan.task_config_json = task.info().config;
  source.documents = tokenize_documents(task.documents(), *model.tokenizer);
  return source;
}

std::int64_t longest_of(const std::vector<TokenizedDocument>& documents) {
  std::size_t longest = 1;
  for (const TokenizedDocument& document : documents)
    longest = std::max(longest, document.ids.size());
  return static_cast<std::int64_t>(longest);
}

Json id_json(const std::optional<std::int64_t>& id) {
  return id ? Json(*id) : Json();
}

Json preparation_json(const std::string& preset, const WindowOptions& options,
                      const std::string& first_token) {
  Json json{{"preset", preset},
            {"packing", window_mode_name(options.mode)},
            {"length", options.length},
            {"bos", id_json(options.bos_id)},
            {"first_token", first_token}};
  if (options.mode != WindowMode::kPacked) {
    json["stride"] = options.stride;
    return json;
  }
  json["eos"] = id_json(options.eos_id);
  json["chunk_ends"] = Json::array(
      {options.bos_per_chunk ? id_json(options.bos_id) : Json(), id_json(options.chunk_eos_id)});
  json["remainder"] = options.drop_remainder ? "drop" : "keep";
  json["documents_per_group"] = options.documents_per_group;
  json["num_proc"] = options.shards;
  return json;
}

Json counts_json(const ScorePlan& plan) {
  const WindowCounts& counts = plan.counts;
  return {{"documents", counts.documents},
          {"empty_documents", counts.empty_documents},
          {"tokens", counts.tokens},
          {"special_tokens", counts.special_tokens},
          {"units", plan.units.size()},
          {"skipped_units", plan.skipped_units},
          {"dropped_tokens", counts.dropped_tokens},
          {"dropped_special_tokens", counts.dropped_special_tokens},
          {"dropped_documents", counts.dropped_documents}};
}

std::int64_t padding_of(const std::vector<ScoringUnit>& units, std::int64_t batch_size) {
  std::int64_t padding = 0;
  for (const BatchRefs& batch : make_batches(units, batch_size)) {
    std::size_t longest = 0, ids = 0;
    for (const WindowRef& ref : batch) {
      const std::size_t size = units[ref.unit].windows[ref.window].ids.size();
      longest = std::max(longest, size);
      ids += size;
    }
    padding += static_cast<std::int64_t>(longest * batch.size() - ids);
  }
  return padding;
}

WindowModel window_model(const RunSpec& given, const RunSpec& settings, const LoadedModel& model) {
  WindowModel of_model{model.info(), model.tokenizer.get()};
  of_model.fills_blocks = scores_by_diffusion(given, model);
  of_model.scores_first_token = scores_first_token(given, model);
  // Only a rule that names the first token scores a BOS in that place.
  of_model.scores_bos = of_model.scores_first_token && settings.estimator.first_token == "scored";
  return of_model;
}

void log_what_is_left_out(const RunSpec& given, const RunSpec& settings, const ScorePlan& plan) {
  if (plan.skipped_units > 0) {
    log_warning(fmt::format("{}: {} documents have no token to score and are left out",
                            plan.task_name, plan.skipped_units));
  }
  if (plan.counts.dropped_tokens > 0)
    log_info("{}: {}", plan.task_name, counts_line(plan));
  if (settings.scoring.preset == "none")
    return;
  const std::int64_t published = find_preset(settings.scoring.preset).length;
  if (settings.scoring.length != published) {
    log_warning(
        fmt::format("preset {} is for windows of {}; with {} the numbers are not those of "
                    "the published table",
                    settings.scoring.preset, published, settings.scoring.length));
  }
  if (given.estimator.first_token == "auto" && settings.estimator.first_token == "scored" &&
      plan.first_token == "clean")
    log_info("the first token of a chunk is conditioned on: this model reads left to right");
}

Source find_source(const RunSpec& settings, const LoadedModel& model) {
  if (is_draws_task(settings.task))
    return drawn_source(settings);
  return is_token_task(settings.task) ? token_source(settings) : text_source(settings, model);
}

void check_not_empty(const RunSpec& spec, const ScorePlan& plan) {
  if (plan.counts.tokens == 0)
    throw ConfigError("task", spec.task, "nothing to score: no document has a token");
  if (plan.units.empty() && plan.counts.dropped_documents > 0) {
    throw ConfigError("task", spec.task,
                      fmt::format("nothing to score with windows of {}: {}", plan.windows.length,
                                  counts_line(plan)));
  }
  if (plan.units.empty())
    throw ConfigError("task", spec.task, "nothing to score: no document has a token to score");
}

void check_vocabulary(const RunSpec& spec, const ScorePlan& plan, const ModelInfo& info) {
  for (const ScoringUnit& unit : plan.units) {
    for (const ScoringWindow& window : unit.windows) {
      for (const std::int64_t id : window.ids) {
        if (id >= info.vocab_size)
          throw ConfigError("task", spec.task,
                            fmt::format("has the token id {}, but the vocabulary of the model has "
                                        "{} (0 to {})",
                                        id, info.vocab_size, info.vocab_size - 1));
      }
    }
  }
}

}  // namespace

ScorePlan make_score_plan(const RunSpec& spec, const LoadedModel& model) {
  const RunSpec settings = with_preset(spec);
  Source source = find_source(settings, model);
  ScorePlan plan = std::move(source.plan);
  plan.n_docs = static_cast<std::int64_t>(source.documents.size());
  const WindowOptions options = window_settings(
      settings.scoring, window_model(spec, settings, model), longest_of(source.documents));
  WindowPlan windows = plan_windows(source.documents, options);
  plan.units = std::move(windows.units);
  plan.skipped_units = windows.skipped_units;
  plan.counts = windows.counts;
  plan.windows = options;
  plan.first_token = options.scores_first_token ? "scored" : "clean";
  if (plan.first_token != source.first_token)
    plan.entropy_per_token.reset();  // it is that of other tokens
  check_not_empty(spec, plan);
  check_vocabulary(spec, plan, model.info());
  log_what_is_left_out(spec, settings, plan);
  for (const ScoringUnit& unit : plan.units) plan.scored_tokens += unit.scored_tokens();
  plan.padding_positions = padding_of(plan.units, spec.batch_size);
  Json config = parse_json(plan.task_config_json, "task");
  config["preparation"] = preparation_json(spec.scoring.preset, options, plan.first_token);
  config["counts"] = counts_json(plan);
  plan.task_config_json = canonical_json(config);
  return plan;
}

std::string counts_line(const ScorePlan& plan) {
  const WindowCounts& counts = plan.counts;
  return fmt::format(
      "{} documents ({} empty), {} tokens; {} units, {} skipped; dropped: {} tokens, {} documents "
      "whole",
      counts.documents, counts.empty_documents, counts.tokens, plan.units.size(),
      plan.skipped_units, counts.dropped_tokens, counts.dropped_documents);
}

}  // namespace dlm
