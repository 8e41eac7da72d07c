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

const LoadedModel& ModelCache::load(const RunSpec& spec, WeightsHash hash) {
  if (spec.model.empty()) {
    throw ConfigError("model", "", "is needed: a model folder, data:FOLDER or exact:WORLD");
  }
  check_device(spec.device);
  const std::string key =
      fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}", hash == WeightsHash::kTake, spec.model,
                  spec.tokenizer, spec.dtype, spec.device, spec.linear_backend,
                  effective_parameterization(spec), spec.noise_convention, spec.any_block_size);
  if (model_ && key == key_)
    return *model_;
  model_.reset();  // never two models in memory
  const auto start = std::chrono::steady_clock::now();
  ModelOptions options = model_options(spec);
  options.hash_weights = hash == WeightsHash::kTake;
  model_ = std::make_unique<LoadedModel>(load_model(resolve_data_path(spec.model), options));
  load_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  key_ = key;
  return *model_;
}

}  // namespace dlm
