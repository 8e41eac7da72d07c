// `score genppl`: generative perplexity under a judge, with entropy, distinct-n, repetition and
// lengths beside it.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/log.h"
#include "harness/cli.h"
#include "harness/commands/store_options.h"
#include "harness/data_root.h"
#include "harness/environment.h"
#include "harness/model_loading.h"
#include "harness/scorers/scored_run.h"
#include "harness/scorers/scorer_options.h"
#include "harness/scorers/text_records.h"
#include "harness/scorers/text_scorers.h"
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

constexpr std::size_t kPassesPerStretch = 32;

struct Settings {
  JudgeOptions judge;
  std::int64_t max_tokens = 0;
};

Settings settings_from(const ParsedOptions& options, const LoadedModel& judge) {
  Settings settings;
  settings.judge.convention = eos_convention(options.get("convention", "clean"));
  const std::int64_t longest = judge.model->info().max_length;
  const std::int64_t fallback = longest > 0 ? std::min<std::int64_t>(1024, longest) : 1024;
  settings.judge.window = whole_option(options, "window", fallback, 2);
  if (longest > 0 && settings.judge.window > longest) {
    throw ConfigError("window", fmt::format("{}", settings.judge.window),
                      fmt::format("must be at most the judge's {}", longest));
  }
  settings.judge.stride = whole_option(options, "stride", settings.judge.window / 2, 1);
  settings.judge.eos_id = end_of_text_id(judge);
  settings.max_tokens = whole_option(options, "max-tokens", 0, 0);
  return settings;
}

std::vector<std::int64_t> judged_ids(const TextRecord& record, const LoadedModel& judge,
                                     const Settings& settings) {
  std::vector<std::int64_t> ids = record_ids(record, judge);
  if (settings.max_tokens > 0 && std::ssize(ids) > settings.max_tokens)
    ids.resize(static_cast<std::size_t>(settings.max_tokens));
  const std::int64_t bos = beginning_of_text_id(judge);
  const bool wants_bos = settings.judge.convention == EosConvention::kClean && bos >= 0;
  if (!wants_bos || (!ids.empty() && ids.front() == bos))
    return ids;
  std::vector<std::int64_t> with_bos(1, bos);
  with_bos.insert(with_bos.end(), ids.begin(), ids.end());
  return with_bos;
}

// What decides the number a judge gives a text, beside its ids.
Json identity_of(const RunSpec& spec, const LoadedModel& judge, const Settings& settings) {
  const bool overlaps = settings.judge.convention != EosConvention::kMdlm;
  return {{"judge_weights", judge.weights_sha256},
          {"judge_config", sha256_hex(judge.config_json)},
          {"dtype", spec.dtype},
          {"convention", eos_convention_name(settings.judge.convention)},
          {"window", settings.judge.window},
          {"stride", overlaps ? settings.judge.stride : settings.judge.window},
          {"eos_id", settings.judge.eos_id}};
}

// Judged texts of earlier runs, by content.
class JudgeCache {
 public:
  JudgeCache(const ParsedOptions& options, Json identity)
      : store_(open_store(options)), reads_(!options.has("fresh")), identity_(std::move(identity)) {
    identity_["numerics"] = kNumericsEpoch;
  }

  // Fills in what is known; the texts that are not.
  std::vector<std::size_t> look_up(const std::vector<std::vector<std::int64_t>>& texts,
                                   std::vector<JudgedText>& judged) {
    std::vector<std::size_t> missing;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const auto known = reads_ ? store_->cached(key_of(texts[i])) : std::nullopt;
      if (!known) {
        missing.push_back(i);
        continue;
      }
      const Json value = parse_json(*known, store_->path());
      judged[i].nll = json_double(value, "nll", store_->path());
      judged[i].tokens = json_int(value, "tokens", store_->path());
      judged[i].context = json_int(value, "context", store_->path());
    }
    return missing;
  }

  void keep(const std::vector<std::vector<std::int64_t>>& texts,
            const std::vector<JudgedText>& judged) {
    std::map<std::string, std::string> results;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      results.emplace(key_of(texts[i]), canonical_json({{"nll", judged[i].nll},
                                                        {"tokens", judged[i].tokens},
                                                        {"context", judged[i].context}}));
    }
    store_->add_cached(results);
  }

 private:
  std::string key_of(const std::vector<std::int64_t>& ids) const {
    return sha256_hex(canonical_json({{"genppl", identity_}, {"ids", ids}}));
  }

  std::unique_ptr<Store> store_;
  bool reads_;
  Json identity_;
};

std::vector<JudgedText> judge_all(const LoadedModel& judge,
                                  const std::vector<std::vector<std::int64_t>>& texts,
                                  const Settings& settings, std::int64_t batch_size,
                                  JudgeCache& cache) {
  std::vector<JudgedText> judged(texts.size());
  const auto missing = cache.look_up(texts, judged);
  log_info("{} texts, {} of them judged before", texts.size(), texts.size() - missing.size());
  const std::size_t stretch = static_cast<std::size_t>(batch_size) * kPassesPerStretch;
  for (std::size_t first = 0; first < missing.size(); first += stretch) {
    const std::size_t last = std::min(first + stretch, missing.size());
    std::vector<std::vector<std::int64_t>> part;
    for (std::size_t i = first; i < last; ++i) part.push_back(texts[missing[i]]);
    const auto results = judge_texts(*judge.model, part, settings.judge, batch_size);
    cache.keep(part, results);  // a run that is stopped goes on from here
    for (std::size_t i = first; i < last; ++i) judged[missing[i]] = results[i - first];
    log_info("judged {} of {}", last, missing.size());
  }
  return judged;
}

std::vector<std::int64_t> without_special(const std::vector<std::int64_t>& ids,
                                          const LoadedModel& judge) {
  const std::int64_t bos = beginning_of_text_id(judge), eos = end_of_text_id(judge);
  std::vector<std::int64_t> kept;
  std::copy_if(ids.begin(), ids.end(), std::back_inserter(kept),
               [&](std::int64_t id) { return id != bos && id != eos; });
  return kept;
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
  for (const TextRecord& record : file.records)
    texts.push_back(judged_ids(record, judge, settings));
  ScoredRun run;
  run.settings = identity_of(spec, judge, settings);
  std::vector<JudgedText> judged;
  {
    JudgeCache cache(*options, run.settings);
    judged = judge_all(judge, texts, settings, spec.batch_size, cache);
  }
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
