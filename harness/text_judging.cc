#include "harness/text_judging.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/log.h"
#include "harness/environment.h"
#include "harness/scorers/text_records.h"

namespace dlm {
namespace {

constexpr std::size_t kPassesPerStretch = 32;

// Judged texts of earlier runs, by content.
class VerdictCache {
 public:
  VerdictCache(const JudgeWork& work, Store& store)
      : store_(store),
        reads_(work.known == KnownVerdicts::kUse),
        identity_(judge_identity(work.judge, work.options)) {
    identity_["numerics"] = kNumericsEpoch;
  }

  // Fills in what is known; the texts that are not.
  std::vector<std::size_t> look_up(const std::vector<std::vector<std::int64_t>>& texts,
                                   std::vector<JudgedText>& judged) {
    std::vector<std::size_t> missing;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const auto known = reads_ ? store_.cached(key_of(texts[i])) : std::nullopt;
      if (!known) {
        missing.push_back(i);
        continue;
      }
      const Json value = parse_json(*known, store_.path());
      judged[i].nll = json_double(value, "nll", store_.path());
      judged[i].tokens = json_int(value, "tokens", store_.path());
      judged[i].context = json_int(value, "context", store_.path());
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
    store_.add_cached(results);
  }

 private:
  std::string key_of(const std::vector<std::int64_t>& ids) const {
    return sha256_hex(canonical_json({{"genppl", identity_}, {"ids", ids}}));
  }

  Store& store_;
  bool reads_;
  Json identity_;
};

}  // namespace

JudgeOptions judge_options(const JudgeChoice& choice, const LoadedModel& judge) {
  if (judge.model == nullptr)
    throw ConfigError("judge", judge.name, "an autoregressive model or an exact world");
  JudgeOptions options;
  options.convention = eos_convention(choice.convention);
  const std::int64_t longest = judge.model->info().max_length;
  const std::int64_t fallback = longest > 0 ? std::min<std::int64_t>(1024, longest) : 1024;
  options.window = choice.window > 0 ? choice.window : fallback;
  if (longest > 0 && options.window > longest) {
    throw ConfigError("window", fmt::format("{}", options.window),
                      fmt::format("must be at most the judge's {}", longest));
  }
  options.stride = choice.stride > 0 ? choice.stride : options.window / 2;
  options.eos_id = end_of_text_id(judge);
  options.scores_first = judge.model->info().scores_first_token;
  return options;
}

std::vector<std::int64_t> judged_ids(std::vector<std::int64_t> ids, const LoadedModel& judge,
                                     const JudgeOptions& options) {
  const std::int64_t bos = beginning_of_text_id(judge);
  const bool wants_bos = options.convention == EosConvention::kClean && bos >= 0;
  if (!wants_bos || (!ids.empty() && ids.front() == bos))
    return ids;
  std::vector<std::int64_t> with_bos(1, bos);
  with_bos.insert(with_bos.end(), ids.begin(), ids.end());
  return with_bos;
}

std::vector<std::int64_t> judged_ids_of_run(std::vector<std::int64_t> ids, const LoadedModel& judge,
                                            const JudgeOptions& options) {
  const std::int64_t bos = beginning_of_text_id(judge);
  if (options.convention == EosConvention::kClean || bos < 0)
    return judged_ids(std::move(ids), judge, options);
  // Also where the text begins with that token (GPT-2's is the end of a text too): it was drawn.
  ids.insert(ids.begin(), bos);
  return ids;
}

void check_judged_ids(std::span<const std::int64_t> ids, const std::string& document,
                      const LoadedModel& judge, std::int64_t mask_id) {
  const std::int64_t known = judge.info().vocab_size;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    DLM_CHECK(ids[i] != mask_id, "document {}: position {} of a finished text is the mask, {}",
              document, i, mask_id);
    if (ids[i] < 0 || ids[i] >= known)
      throw ConfigError("judge", judge.name,
                        fmt::format("a model of the same token ids: document {} holds {} at "
                                    "position {}, and the judge knows 0 to {}",
                                    document, ids[i], i, known - 1));
  }
}

std::vector<std::int64_t> without_special(const std::vector<std::int64_t>& ids,
                                          const LoadedModel& judge) {
  const std::int64_t bos = beginning_of_text_id(judge), eos = end_of_text_id(judge);
  std::vector<std::int64_t> kept;
  std::copy_if(ids.begin(), ids.end(), std::back_inserter(kept),
               [&](std::int64_t id) { return id != bos && id != eos; });
  return kept;
}

Json judge_identity(const LoadedModel& judge, const JudgeOptions& options) {
  const bool overlaps = options.convention != EosConvention::kMdlm;
  return {{"judge_weights", judge.weights_sha256},
          {"judge_config", sha256_hex(judge.config_json)},
          {"dtype", judge.info().dtype},
          {"convention", eos_convention_name(options.convention)},
          {"window", options.window},
          {"stride", overlaps ? options.stride : options.window},
          {"eos_id", options.eos_id},
          {"scores_first", options.scores_first}};
}

std::vector<JudgedText> judge_all(const JudgeWork& work,
                                  const std::vector<std::vector<std::int64_t>>& texts,
                                  Store& store) {
  VerdictCache cache(work, store);
  std::vector<JudgedText> judged(texts.size());
  const auto missing = cache.look_up(texts, judged);
  log_info("{} texts, {} of them judged before", texts.size(), texts.size() - missing.size());
  const std::size_t stretch = static_cast<std::size_t>(work.batch_size) * kPassesPerStretch;
  for (std::size_t first = 0; first < missing.size(); first += stretch) {
    const std::size_t last = std::min(first + stretch, missing.size());
    std::vector<std::vector<std::int64_t>> part;
    for (std::size_t i = first; i < last; ++i) part.push_back(texts[missing[i]]);
    const auto results = judge_texts(*work.judge.model, part, work.options, work.batch_size);
    cache.keep(part, results);  // a run that is stopped goes on from here
    for (std::size_t i = first; i < last; ++i) judged[missing[i]] = results[i - first];
    if (last < missing.size())
      log_info("judged {} of {}", last, missing.size());
  }
  return judged;
}

}  // namespace dlm
