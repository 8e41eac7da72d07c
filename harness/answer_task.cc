#include "harness/answer_task.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/answer_verdicts.h"
#include "harness/base/error.h"
#include "harness/base/gzip.h"
#include "harness/data_root.h"
#include "harness/live_accuracy.h"
#include "tasks/chat_template.h"
#include "tasks/task.h"

namespace dlm {
namespace {

constexpr std::string_view kOwnTask = "task:";

TaskDefinition definition_of(const std::string& task) {
  if (!task.starts_with(kOwnTask))
    return find_task(task);
  const std::string path = task.substr(kOwnTask.size());
  return parse_task(read_text_file(path), path);
}

Task task_of(const RunSpec& spec) {
  TaskOptions options;
  if (spec.answers.shots >= 0)
    options.shots = spec.answers.shots;
  options.exemplars = spec.answers.exemplars;
  return load_task(definition_of(spec.task), data_root(), options);
}

// What makes prompts of a task for one model.
class PromptMaker {
 public:
  PromptMaker(const RunSpec& spec, const Task& task, const LoadedModel& model)
      : task_(task), model_(model) {
    turns_ = spec.answers.turns == "one" ? ChatTurns::kOne : ChatTurns::kPerExemplar;
    const std::string& asked = spec.answers.chat;
    if (asked == "on" || (asked == "auto" && task.definition().prompt.chat))
      chat_.emplace(ChatTemplate::from_folder(resolve_data_path(spec.model)));
  }

  // A template writes its own BOS; elsewhere the tokenizer's is put in front.
  std::vector<std::int64_t> ids(std::size_t place) const {
    if (chat_)
      return rendered_prompt_ids(model_, chat_prompt(*chat_, task_.messages(place, turns_)));
    return prompt_ids(model_, task_.prompt(place));
  }

  std::string template_sha256() const { return chat_ ? chat_->sha256() : ""; }

 private:
  const Task& task_;
  const LoadedModel& model_;
  ChatTurns turns_;
  std::optional<ChatTemplate> chat_;
};

class AnswerTask final : public SampleTask {
 public:
  AnswerTask(const RunSpec& spec, const LoadedModel& model)
      : spec_(spec), task_(task_of(spec)), model_(model) {
    if (spec.metrics != std::vector<std::string>{"auto"})
      throw ConfigError("metrics", spec.metrics.front(),
                        "auto: a task with answers has metrics of its own");
    if (model.tokenizer == nullptr)
      throw ConfigError("task", spec.task, "this model has no tokenizer: --tokenizer names one");
    const TaskDefinition& definition = task_.definition();
    ending_.max_new_tokens =
        spec.sampler.max_new_tokens > 0 ? spec.sampler.max_new_tokens : definition.max_new_tokens;
    ending_.stop_ids = stop_ids(spec.sampler, model);
    ending_.stop_strings = definition.stop;
    verdicts_ = make_answer_verdicts(spec.answers, task_);
    const PromptMaker maker(spec, task_, model);
    make_prompts(maker);
    identity_ = {definition.id,
                 "answers",
                 definition.version,
                 task_.data_sha256(),
                 canonical_json({{"definition_sha256", definition.toml_sha256},
                                 {"shots", task_.shots()},
                                 {"chat_template", maker.template_sha256()},
                                 {"stop", definition.stop},
                                 {"max_new_tokens", ending_.max_new_tokens}}),
                 std::ssize(task_.documents())};
    template_sha256_ = maker.template_sha256();
  }

  const TaskIdentity& identity() const override { return identity_; }

  Json run_identity() const override {
    return {{"definition", task_.definition().toml_sha256},
            {"shots", task_.shots()},
            {"chat_template", template_sha256_},
            {"verdicts", verdicts_->identity()}};
  }

  std::span<const SamplePrompt> prompts() const override { return prompts_; }

  TextEnding ending() const override { return ending_; }

  bool has_fixed_length() const override { return false; }

  bool continues_prompt() const override { return true; }

  void judge(std::span<ExampleRow> rows) override { verdicts_->judge(rows); }

  std::unique_ptr<LiveEstimate> live() const override {
    return std::make_unique<LiveAccuracy>(spec_.estimator.target_ci, spec_.answers.samples);
  }

  Measures measures(std::span<const ExampleRow> rows, std::span<const std::string>,
                    Store&) override {
    return verdicts_->measures(rows);
  }

 private:
  // In the order of the file, or a random one where the run may stop before its end.
  std::vector<std::int64_t> document_order(std::int64_t count) const {
    if (spec_.estimator.target_ci > 0)
      return visiting_order(spec_.seed, count);
    std::vector<std::int64_t> order(static_cast<std::size_t>(count));
    std::iota(order.begin(), order.end(), std::int64_t{0});
    return order;
  }

  void make_prompts(const PromptMaker& maker) {
    const auto all = std::ssize(task_.documents());
    const std::int64_t count = spec_.limit > 0 ? std::min(spec_.limit, all) : all;
    const std::int64_t longest = model_.info().max_length;
    for (const std::int64_t i : document_order(count)) {
      const auto place = static_cast<std::size_t>(i);
      const TaskDocument& document = task_.documents()[place];
      const std::vector<std::int64_t> ids = maker.ids(place);
      if (longest > 0 && std::ssize(ids) + ending_.max_new_tokens > longest)
        throw ConfigError(
            "task", spec_.task,
            fmt::format("prompts that fit: document {} has {} tokens, and with {} of the answer "
                        "they must be at most {}; --shots, --max-new-tokens or --limit may help",
                        document.id, ids.size(), ending_.max_new_tokens, longest));
      for (std::int64_t sample = 0; sample < spec_.answers.samples; ++sample) {
        prompts_.push_back(
            {document.id,
             sample,
             document.sha,
             document.id,
             {ids, static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(sample)}});
      }
    }
  }

  RunSpec spec_;
  Task task_;
  const LoadedModel& model_;
  TextEnding ending_;
  std::unique_ptr<AnswerVerdicts> verdicts_;
  std::vector<SamplePrompt> prompts_;
  TaskIdentity identity_;
  std::string template_sha256_;
};

}  // namespace

bool is_answer_task(std::string_view task) {
  if (task.starts_with(kOwnTask))
    return true;
  const auto& known = task_definitions();
  return std::any_of(known.begin(), known.end(),
                     [&](const TaskDefinition& definition) { return definition.id == task; });
}

std::unique_ptr<SampleTask> make_answer_task(const RunSpec& spec, const LoadedModel& model) {
  return std::make_unique<AnswerTask>(spec, model);
}

}  // namespace dlm
