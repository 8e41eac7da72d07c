#include "harness/reference_texts.h"

#include <algorithm>
#include <span>
#include <utility>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/data_root.h"
#include "harness/draws.h"
#include "harness/scorers/text_records.h"
#include "metrics/text_features.h"
#include "tasks/text_task.h"

namespace dlm {
namespace {

constexpr std::string_view kPositions = "ids:positions";
constexpr std::string_view kPairs = "ids:pairs";

ReferenceTexts drawn_reference(const std::string& reference, std::uint64_t seed) {
  DrawnCorpus corpus = draw_corpus(reference, seed, 0);
  ReferenceTexts texts{corpus.name, sha256_hex(fmt::format("{} {}", corpus.name, seed)), true, {}};
  for (auto& ids : corpus.ids) texts.texts.push_back({"", std::move(ids)});
  return texts;
}

ReferenceTexts file_reference(const std::string& path) {
  TextFile file = read_text_file(path, "text", 0);
  ReferenceTexts texts{path, file.sha256, file.is_ids, {}};
  for (TextRecord& record : file.records)
    texts.texts.push_back({std::move(record.text), std::move(record.ids)});
  return texts;
}

ReferenceTexts task_reference(const std::string& reference) {
  const TextTask task = make_text_task({reference, "", 0}, data_root());
  ReferenceTexts texts{task.info().name, task.info().data_sha256, false, {}};
  for (const Document& document : task.documents()) texts.texts.push_back({document.text, {}});
  return texts;
}

bool ends_with_any(const std::string& name, std::initializer_list<std::string_view> endings) {
  return std::any_of(endings.begin(), endings.end(),
                     [&](std::string_view ending) { return name.ends_with(ending); });
}

}  // namespace

ReferenceTexts read_reference(const std::string& reference, std::uint64_t seed) {
  if (is_draws_task(reference))
    return drawn_reference(reference, seed);
  const bool is_plain = reference.find('?') == std::string::npos && !reference.starts_with("text:");
  if (is_plain && ends_with_any(reference, {".jsonl", ".json", ".txt"}))
    return file_reference(resolve_data_path(reference));
  return task_reference(reference);
}

Featurizer::Featurizer(const std::string& name, const RunSpec& spec, ModelCache& models,
                       std::int64_t vocab_size)
    : name_(name), vocab_size_(vocab_size), batch_size_(spec.batch_size) {
  if (name == kPositions || name == kPairs)
    return;
  RunSpec wanted;
  wanted.model = name;
  wanted.device = spec.device;
  const LoadedModel& model = models.load_as("featurizer", wanted);
  if (model.model == nullptr || model.info().hidden_size == 0)
    throw ConfigError("featurizer", name, "a model with hidden states, ids:positions or ids:pairs");
  model_ = &model;
}

at::Tensor Featurizer::features(const std::vector<PlainText>& texts, std::int64_t most) const {
  std::vector<std::vector<std::int64_t>> ids;
  for (const PlainText& text : texts) {
    if (text.text.empty() && text.ids.empty())
      continue;
    ids.push_back(model_ == nullptr ? text.ids : record_ids({"", text.text, text.ids}, *model_));
    const std::int64_t longest = model_ == nullptr ? 0 : model_->info().max_length;
    const std::int64_t limit = longest > 0 ? std::min(most, longest) : most;
    ids.back().resize(std::min(ids.back().size(), static_cast<std::size_t>(limit)));
  }
  if (ids.empty())
    throw ConfigError("featurizer", name_, "texts that are not empty");
  if (model_ != nullptr)
    return last_token_features(*model_->model, ids, batch_size_);
  return name_ == kPositions ? position_features(ids, vocab_size_)
                             : pair_features(ids, vocab_size_);
}

Json Featurizer::identity() const {
  if (model_ == nullptr)
    return name_;
  return {{"weights", model_->weights_sha256},
          {"tokenizer", model_->tokenizer ? model_->tokenizer->sha256() : ""}};
}

}  // namespace dlm
