#include "models/runtime.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <c10/core/Device.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/version.h>

#include <sched.h>

#include "harness/base/error.h"

namespace dlm {
namespace {

std::int64_t usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0)
    return 1;
  return CPU_COUNT(&set);
}

c10::Device parse_device(const std::string& device) {
  try {
    const c10::Device parsed(device);
    if (parsed.is_cpu() || parsed.is_cuda())
      return parsed;
  } catch (const c10::Error&) {  // reported below in our words
  }
  throw ConfigError("device", device, "must be cpu, cuda or cuda:N");
}

}  // namespace

void set_threads(std::int64_t threads) {
  at::set_num_threads(static_cast<int>(threads > 0 ? threads : usable_cores()));
}

std::int64_t threads_in_use() {
  return at::get_num_threads();
}

std::string torch_version() {
  return TORCH_VERSION;
}

std::string cpu_capability() {
  return at::get_cpu_capability();
}

bool has_cuda() {
  return at::globalContext().hasCUDA();
}

void check_device(const std::string& device) {
  const c10::Device parsed = parse_device(device);
  if (parsed.is_cpu())
    return;
  if (!has_cuda())
    throw ConfigError("device", device, "no CUDA device works here; use cpu");
  const auto count = c10::impl::getDeviceGuardImpl(c10::DeviceType::CUDA)->deviceCount();
  if (parsed.has_index() && parsed.index() >= count) {
    throw ConfigError("device", device, fmt::format("there are {} CUDA devices here", count));
  }
}

void synchronise(const std::string& device) {
  const c10::Device parsed = parse_device(device);
  if (parsed.is_cpu())
    return;
  const auto* guard = c10::impl::getDeviceGuardImpl(parsed.type());
  guard->synchronizeDevice(parsed.has_index() ? parsed.index() : guard->getDevice().index());
}

}  // namespace dlm
