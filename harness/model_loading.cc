#include "harness/model_loading.h"

#include <chrono>

#include "harness/base/error.h"
#include "harness/data_root.h"
#include "harness/whole_text_settings.h"
#include "models/runtime.h"

namespace dlm {

ModelOptions model_options(const RunSpec& spec) {
  ModelOptions options;
  options.dtype = spec.dtype;
  options.device = spec.device;
  options.linear_backend = spec.linear_backend;
  if (!spec.tokenizer.empty())
    options.tokenizer = resolve_data_path(spec.tokenizer);
  options.parameterization = effective_parameterization(spec);
  options.noise = spec.noise_convention;
  options.any_block_size = spec.any_block_size;
  return options;
}

const LoadedModel& ModelCache::load_as(const std::string& role, const RunSpec& spec,
                                       WeightsHash hash) {
  if (spec.model.empty())
    throw ConfigError(role, "", "is needed: a model folder, data:FOLDER or exact:WORLD");
  check_device(spec.device);
  const std::string key =
      fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}", hash == WeightsHash::kTake, spec.model,
                  spec.tokenizer, spec.dtype, spec.device, spec.linear_backend,
                  effective_parameterization(spec), spec.noise_convention, spec.any_block_size);
  Kept& kept = kept_[role];
  if (kept.model && key == kept.key)
    return *kept.model;
  kept.model.reset();  // never two of one role in memory
  const auto start = std::chrono::steady_clock::now();
  ModelOptions options = model_options(spec);
  options.hash_weights = hash == WeightsHash::kTake;
  kept.model = std::make_unique<LoadedModel>(load_model(resolve_data_path(spec.model), options));
  load_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  kept.key = key;
  return *kept.model;
}

}  // namespace dlm
