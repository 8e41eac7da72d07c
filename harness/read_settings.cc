#include "harness/read_settings.h"

#include <algorithm>
#include <utility>

#include "harness/base/error.h"
#include "harness/base/log.h"
#include "harness/estimator_settings.h"
#include "harness/sampling_workload.h"
#include "harness/text_sampling.h"
#include "harness/whole_text_settings.h"

namespace dlm {
namespace {

// Why a run of these settings does not read one of them.
std::string why_left_out(const std::string& key, const RunSpec& spec, const RunMethod& method,
                         SpecPart part) {
  if (run_fields(part).find(key) == nullptr)
    return part == SpecPart::kScore ? "a likelihood run does not read it"
                                    : "a run that writes text does not read it";
  return why_unread(key, spec, method);
}

ConfigError must_be_left_out(const Field<RunSpec>& field, const RunSpec& spec,
                             const std::string& why) {
  return ConfigError(field.key, field_text(field.get(spec)), "must be left out: " + why);
}

// Fields at values of their own.
std::vector<const Field<RunSpec>*> own_values(const RunSpec& spec) {
  const RunSpec defaults;
  std::vector<const Field<RunSpec>*> fields;
  for (const Field<RunSpec>& field : run_fields().fields()) {
    if (field.get(spec) != field.get(defaults))
      fields.push_back(&field);
  }
  return fields;
}

// What decides a run's method.
bool is_alike(const RunSpec& a, const RunSpec& b) {
  return a.model == b.model && a.task == b.task && a.estimator.name == b.estimator.name &&
         a.sampler.name == b.sampler.name;
}

std::string sampler_name(const RunSpec& spec, const LoadedModel& model) {
  if (is_autoregressive(spec, model))
    return "autoregressive";
  return spec.sampler.name == "auto" ? default_block_sampler(model) : spec.sampler.name;
}

// As far as names tell it.
RunMethod named_method(const RunSpec& spec, SpecPart part) {
  return part == SpecPart::kScore ? RunMethod{spec.estimator.name, ""}
                                  : RunMethod{"", spec.sampler.name};
}

}  // namespace

SpecPart settings_of_task(const std::string& task) {
  if (task.empty())
    return SpecPart::kGenerate;
  return is_sampling_task(task) ? SpecPart::kSample : SpecPart::kScore;
}

FieldTable<RunSpec> settings_without(SpecPart part, const std::vector<std::string>& keys) {
  std::vector<Field<RunSpec>> fields = run_fields(part).fields();
  for (const std::string& key : keys) (void)run_fields(part).at(key);
  std::erase_if(fields, [&keys](const Field<RunSpec>& field) {
    return std::find(keys.begin(), keys.end(), field.key) != keys.end();
  });
  return FieldTable<RunSpec>(std::move(fields));
}

RunMethod run_method(const RunSpec& spec, const LoadedModel& model, SpecPart part) {
  return part == SpecPart::kScore ? RunMethod{estimator_name(spec, model), ""}
                                  : RunMethod{"", sampler_name(spec, model)};
}

void check_settings(const RunSpec& spec, const RunMethod& method, SpecPart part) {
  for (const Field<RunSpec>* field : own_values(spec)) {
    const std::string why = why_left_out(field->key, spec, method, part);
    if (!why.empty())
      throw must_be_left_out(*field, spec, why);
  }
}

void check_settings(const RunSpec& spec, const LoadedModel& model, SpecPart part) {
  check_settings(spec, run_method(spec, model, part), part);
}

bool Sweep::others_may_read(const std::string& key, const RunSpec& run,
                            const RunMethod& method) const {
  return std::any_of(runs_.begin(), runs_.end(), [&](const RunSpec& other) {
    const SpecPart part = settings_of_task(other.task);
    const RunMethod by = is_alike(run, other) ? method : named_method(other, part);
    return why_left_out(key, other, by, part).empty();
  });
}

RunSpec Sweep::read_part(const RunSpec& run, const RunMethod& method, SpecPart part) {
  RunSpec kept = run;
  for (const Field<RunSpec>* field : own_values(run)) {
    const std::string why = why_left_out(field->key, run, method, part);
    if (why.empty()) {
      read_.insert(field->key);
      continue;
    }
    if (!others_may_read(field->key, run, method))
      throw must_be_left_out(*field, run, why);
    left_out_.insert(field->key);
    log_info("{} {}: {} = {} is left out: {}", run.model, run.task, field->key,
             field_text(field->get(run)), why);
    field->set(kept, field->get(RunSpec()));
  }
  return kept;
}

RunSpec Sweep::read_part(const RunSpec& run, const LoadedModel& model, SpecPart part) {
  return read_part(run, run_method(run, model, part), part);
}

void Sweep::warn_of_unread() const {
  for (const std::string& key : left_out_) {
    if (!read_.contains(key))
      log_warning(fmt::format("{}: no run of this sweep reads it", key));
  }
}

}  // namespace dlm
