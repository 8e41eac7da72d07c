#include "harness/environment.h"

#include <fstream>

#include <nlohmann/json.hpp>
#include <sys/utsname.h>
#include <unistd.h>

#include "harness/base/text.h"
#include "harness/build_info.h"
#include "models/runtime.h"

namespace dlm {
namespace {

std::string os_name() {
  std::ifstream file("/etc/os-release");
  for (std::string line; std::getline(file, line);) {
    constexpr std::string_view kKey = "PRETTY_NAME=";
    if (!line.starts_with(kKey))
      continue;
    std::string value = line.substr(kKey.size());
    std::erase(value, '"');
    return value;
  }
  return "unknown";
}

std::int64_t kilobytes(const std::string& text) {
  const auto number = parse_int(std::string_view(text).substr(0, text.find(' ')));
  return number.value_or(0) * 1024;
}

}  // namespace

std::string proc_field(const std::string& path, const std::string& field) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const auto colon = line.find(':');
    if (colon == std::string::npos || strip_ascii_space(line.substr(0, colon)) != field)
      continue;
    return std::string(strip_ascii_space(std::string_view(line).substr(colon + 1)));
  }
  return {};
}

std::int64_t peak_resident_bytes() {
  return kilobytes(proc_field("/proc/self/status", "VmHWM"));
}

Json environment_json(const std::string& device) {
  utsname names{};
  uname(&names);
  return {{"host", names.nodename},
          {"machine", names.machine},
          {"kernel", names.release},
          {"os", os_name()},
          {"cpu", proc_field("/proc/cpuinfo", "model name")},
          {"cores", sysconf(_SC_NPROCESSORS_ONLN)},
          {"memory_bytes", kilobytes(proc_field("/proc/meminfo", "MemTotal"))},
          {"threads", threads_in_use()},
          {"libtorch", torch_version()},
          {"cpu_capability", cpu_capability()},
          {"device", device}};
}

Json build_json() {
  return {{"git_commit", kGitCommit}, {"dirty", kGitDirty},
          {"compiler", kCompiler},    {"flags", kCompileFlags},
          {"torch", torch_version()}, {"numerics_epoch", kNumericsEpoch}};
}

}  // namespace dlm
