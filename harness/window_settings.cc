#include "harness/window_settings.h"

#include <algorithm>
#include <string>
#include <utility>

#include "harness/base/error.h"

namespace dlm {
namespace {

std::string by_preset(const ScoringSpec& settings) {
  return settings.preset == "none" ? "" : fmt::format(" (preset {})", settings.preset);
}

std::int64_t window_length(const ScoringSpec& settings, const ModelInfo& info,
                           std::int64_t longest) {
  if (info.max_length > 0 && settings.length > info.max_length) {
    throw ConfigError("scoring.length", fmt::format("{}", settings.length),
                      fmt::format("this model holds at most {} positions{}", info.max_length,
                                  by_preset(settings)));
  }
  if (settings.length > 0)
    return settings.length;
  return info.max_length > 0 ? info.max_length : longest + 1;  // and a BOS
}

// Id of BOS (or EOS): the tokenizer's own, else what config.json names.
std::optional<std::int64_t> own_id(std::optional<std::int64_t> of_tokenizer,
                                   std::int64_t of_config) {
  if (of_tokenizer || of_config < 0)
    return of_tokenizer;
  return of_config;
}

// The first id that a plain call of the tokenizer gives for the token by itself, as the published
// code takes BOS and EOS. BERT's tokenizer has neither; [CLS] and [SEP] stand in, and [CLS] comes
// first for both.
std::optional<std::int64_t> encoded_id(const Tokenizer& tokenizer, std::optional<std::int64_t> own,
                                       const char* stand_in) {
  if (!own)
    own = tokenizer.token_id(stand_in);
  if (!own)
    return std::nullopt;
  return tokenizer.with_special({*own}).front();
}

struct SpecialIds {
  std::optional<std::int64_t> bos, eos;
};

SpecialIds special_ids(const ScoringSpec& settings, const WindowModel& model) {
  const Tokenizer* tokenizer = model.tokenizer;
  const bool has_tokenizer = tokenizer != nullptr;
  SpecialIds ids{own_id(has_tokenizer ? tokenizer->bos_id() : std::nullopt, model.info.bos_id),
                 own_id(has_tokenizer ? tokenizer->eos_id() : std::nullopt, model.info.eos_id)};
  if (settings.special_ids == "encoded" && has_tokenizer) {
    ids.bos = encoded_id(*tokenizer, ids.bos, "[CLS]");
    ids.eos = encoded_id(*tokenizer, ids.eos, "[SEP]");
  }
  return ids;
}

std::int64_t required(std::optional<std::int64_t> id, const char* token, const char* field,
                      const ScoringSpec& settings) {
  if (!id)
    throw ConfigError(field, "add",
                      fmt::format("this model has no {} token{}", token, by_preset(settings)));
  return *id;
}

// The BOS that begins a text; chunks that begin with one of their own are another matter.
std::optional<std::int64_t> text_bos(const ScoringSpec& settings, const WindowModel& model,
                                     const SpecialIds& ids) {
  if (settings.bos == "add")
    return required(ids.bos, "BOS", "scoring.bos", settings);
  if (settings.bos == "none" || model.scores_first_token)
    return std::nullopt;
  return ids.bos;
}

void check_packed_only(const ScoringSpec& settings, const std::string& packing) {
  const std::pair<const char*, bool> used[] = {
      {"scoring.eos", settings.eos == "add"},
      {"scoring.chunk_ends", settings.chunk_ends == "add"},
      {"scoring.remainder", settings.remainder == "drop"},
      {"scoring.documents_per_group", settings.documents_per_group > 0},
      {"scoring.num_proc", settings.num_proc > 1}};
  for (const auto& [field, is_used] : used) {
    if (is_used)
      throw ConfigError("scoring.packing", packing, fmt::format("packed, which {} is for", field));
  }
}

void set_packed(const ScoringSpec& settings, const WindowModel& model, const SpecialIds& ids,
                WindowOptions& options) {
  if (settings.eos == "add")
    options.eos_id = required(ids.eos, "EOS", "scoring.eos", settings);
  else if (settings.eos == "auto" && model.tokenizer != nullptr)
    options.eos_id = ids.eos;
  if (settings.chunk_ends == "add") {
    if (settings.bos == "add")
      throw ConfigError("scoring.bos", "add", "chunks have a BOS each by scoring.chunk_ends");
    options.bos_id = required(ids.bos, "BOS", "scoring.chunk_ends", settings);
    options.chunk_eos_id = required(ids.eos, "EOS", "scoring.chunk_ends", settings);
    options.bos_per_chunk = true;
  }
  options.drop_remainder =
      settings.remainder == "drop" || (settings.remainder == "auto" && model.fills_blocks);
  options.documents_per_group = settings.documents_per_group;
  options.shards = settings.num_proc;
}

}  // namespace

WindowOptions window_settings(const ScoringSpec& settings, const WindowModel& model,
                              std::int64_t longest) {
  const std::string packing = settings.packing == "auto" ? "document" : settings.packing;
  const SpecialIds ids = special_ids(settings, model);
  WindowOptions options;
  options.mode = window_mode(packing);
  options.length = window_length(settings, model.info, longest);
  options.stride =
      settings.stride > 0 ? settings.stride : std::max<std::int64_t>(1, options.length / 2);
  options.bos_id = text_bos(settings, model, ids);
  options.scores_first_token = model.scores_first_token;
  options.scores_bos = model.scores_bos;
  if (options.mode == WindowMode::kPacked)
    set_packed(settings, model, ids, options);
  else
    check_packed_only(settings, packing);
  return options;
}

}  // namespace dlm
