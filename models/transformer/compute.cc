#include "models/transformer/compute.h"

#include <array>
#include <string>

#include <ATen/Context.h>

#include "harness/base/error.h"
#include "harness/base/text.h"

namespace dlm {
namespace {

at::ScalarType parse_dtype(const std::string& name) {
  if (name == "f32")
    return at::kFloat;
  if (name == "bf16")
    return at::kBFloat16;
  if (name == "f16")
    return at::kHalf;
  const std::array<std::string, 3> known = {"f32", "bf16", "f16"};
  throw unknown_name("dtype", name, known);
}

at::Device parse_device(const std::string& name) {
  if (name == "cpu")
    return at::kCPU;
  std::int64_t index = 0;
  if (name.starts_with("cuda:")) {
    const auto number = parse_int(std::string_view(name).substr(5));
    if (!number || *number < 0 || *number > 127)
      throw ConfigError("device", name, "cpu, cuda, or cuda:N with N from 0");
    index = *number;
  } else if (name != "cuda") {
    throw ConfigError("device", name, "cpu, cuda, or cuda:N");
  }
  const auto devices = static_cast<std::int64_t>(at::hasCUDA() ? at::getNumGPUs() : 0);
  if (index >= devices) {
    throw ConfigError("device", name,
                      fmt::format("cpu; this machine has {} CUDA devices", devices));
  }
  return {at::kCUDA, static_cast<at::DeviceIndex>(index)};
}

}  // namespace

Compute resolve_compute(const ModelOptions& options) {
  Compute compute;
  compute.dtype = parse_dtype(options.dtype);
  compute.device = parse_device(options.device);
  compute.backend = resolve_linear_backend(options.linear_backend, compute.device, compute.dtype);
  return compute;
}

}  // namespace dlm
