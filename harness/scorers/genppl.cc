// `score genppl`: generative perplexity under a judge, with entropy, distinct-n, repetition and
// lengths beside it.
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/log.h"
#include "harness/cli.h"
#include "harness/commands/store_options.h"
#include "harness/data_root.h"
#include "harness/model_loading.h"
#include "harness/scorers/scored_run.h"
#include "harness/scorers/scorer_options.h"
#include "harness/scorers/text_records.h"
#include "harness/scorers/text_scorers.h"
#include "harness/text_judging.h"
#include "metrics/generative_perplexity.h"
#include "metrics/text_statistics.h"
#include "models/runtime.h"

namespace dlm {
namespace {

constexpr const char* kText =
    "Generative perplexity: texts are tokenised for an autoregressive judge and scored by it. What "
    "counts is named:\n"
    "  clean    BOS is conditioned on, every token of the text counts (default)\n"
    "  bd3lms   overlapping windows; the first token and every end-of-text token do not count\n"
    "  mdlm     windows without overlap, the first token of each does not count, nor a second\n"
    "           end-of-text token in one\n"
    "Give texts with their special tokens spelled out for the last two, as the originals decode "
    "them. Beside it always\n"
    "stand unigram entropy, distinct-n, repetition and lengths, over the judge's tokens. What a "
    "judge said of a text is\n"
    "kept in the store by content, so a text is judged once.\n\n"
    "  dlmbench score genppl --generations samples.jsonl --judge gpt2-large/\n"
    "  dlmbench score genppl --generations samples.jsonl --judge gpt2-large/ --convention bd3lms "
    "--max-tokens 1024\n"
    "  dlmbench score genppl --generations ids.jsonl --field ids --judge data:checkpoints/"
    "stories260K/hf";

struct Settings {
  JudgeOptions judge;
  std::int64_t max_tokens = 0;
};

Settings settings_from(const ParsedOptions& options, const LoadedModel& judge) {
  const JudgeChoice choice{options.get("convention", "clean"),
                           whole_option(options, "window", 0, 2),
                           whole_option(options, "stride", 0, 1)};
  return {judge_options(choice, judge), whole_option(options, "max-tokens", 0, 0)};
}

std::vector<std::int64_t> cut_ids(const TextRecord& record, const LoadedModel& judge,
                                  const Settings& settings) {
  std::vector<std::int64_t> ids = record_ids(record, judge);
  if (settings.max_tokens > 0 && std::ssize(ids) > settings.max_tokens)
    ids.resize(static_cast<std::size_t>(settings.max_tokens));
  return judged_ids(std::move(ids), judge, settings.judge);
}

ExampleRow judged_row(const TextRecord& record, const JudgedText& judged, std::size_t length) {
  ExampleRow row = row_of(record);
  row.nll = judged.nll;
  row.tokens = judged.tokens;
  row.prompt_tokens = judged.context;
  row.kept_tokens = static_cast<std::int64_t>(length);
  row.counts = judged.counts;
  row.wall_ns = judged.wall_ns;
  return row;
}

void measure(ScoredRun& run, const TextFile& file, const LoadedModel& judge,
             const std::vector<std::vector<std::int64_t>>& texts,
             const std::vector<JudgedText>& judged) {
  std::vector<std::vector<std::int64_t>> plain;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    plain.push_back(without_special(texts[i], judge));
    run.rows.push_back(judged_row(file.records[i], judged[i], plain.back().size()));
  }
  run.estimates = generative_perplexity(run.rows);
  run.definitions = generative_perplexity_definitions();
  for (Estimate& estimate : text_statistics(plain)) run.estimates.push_back(std::move(estimate));
  for (MetricDefinition& one : text_statistics_definitions())
    run.definitions.push_back(std::move(one));
}

}  // namespace

int score_genppl(const Arguments& args) {
  CommandOptions cli("score genppl --generations F --judge MODEL", kText);
  cli.value("generations", "JSON lines or .txt file (one text per line) of generated texts")
      .value("field", "member that holds the text or its token ids (default text)")
      .value("judge", "model folder or data:FOLDER of the judge")
      .value("convention", "clean (default), bd3lms or mdlm")
      .value("window", "most tokens of a pass (default the judge's longest, at most 1024)")
      .value("stride", "advance of overlapping windows (default half a window)")
      .value("max-tokens", "texts are cut to so many tokens (default 0: none is)")
      .value("limit", "only the first N lines (default 0: all)")
      .fields(SpecPart::kModel);
  add_scored_run_options(cli);
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  check_output_format(*options);
  RunSpec spec = spec_from(*options);
  if (!spec.model.empty())
    throw ConfigError("model", spec.model, "names nothing here: give --judge");
  spec.model = needed_option(*options, "judge", "the model that judges");
  const std::int64_t limit = whole_option(*options, "limit", 0, 0);
  const TextFile file =
      read_text_file(resolve_data_path(needed_option(*options, "generations", "the texts")),
                     options->get("field", "text"), limit);
  set_threads(spec.threads);
  ModelCache models;
  const LoadedModel& judge = models.load(spec);
  const Settings settings = settings_from(*options, judge);
  std::vector<std::vector<std::int64_t>> texts;
  for (const TextRecord& record : file.records) texts.push_back(cut_ids(record, judge, settings));
  ScoredRun run;
  run.settings = judge_identity(judge, settings.judge);
  const KnownVerdicts known = options->has("fresh") ? KnownVerdicts::kIgnore : KnownVerdicts::kUse;
  const std::vector<JudgedText> judged =
      judge_all({judge, settings.judge, spec.batch_size, known}, texts, *open_store(*options));
  run.settings["judge"] = judge.name;
  run.settings["tokenizer"] = judge.tokenizer ? judge.tokenizer->sha256() : "";
  run.settings["max_tokens"] = settings.max_tokens;
  run.settings["field"] = options->get("field", "text");
  run.settings["limit"] = limit;
  run.model_name = file.path;
  run.task_name = "genppl";
  run.data_sha256 = judge.weights_sha256;
  run.generations_sha256 = file.sha256;
  run.seed = spec.seed;
  run.smoke = limit > 0;
  run.command = command_line("score genppl", args);
  measure(run, file, judge, texts, judged);
  if (file.empty > 0)
    log_info("{} empty texts left out", file.empty);
  return record_scored_run(*options, run);
}

}  // namespace dlm
