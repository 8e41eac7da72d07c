#include "harness/data_root.h"

#include <cstdlib>

#include "harness/base/file.h"

namespace dlm {

namespace {

std::string folder_of(const char* variable, const char* fallback) {
  const char* folder = std::getenv(variable);
  return folder == nullptr || *folder == '\0' ? fallback : folder;
}

std::string zoo_root() {
  return folder_of("DLMBENCH_ZOO", "models/zoo");
}

}  // namespace

std::string data_root() {
  return folder_of("DLMBENCH_DATA", "../shared");
}

bool has_data_root() {
  return file_exists(data_root() + "/data");
}

bool has_zoo() {
  return file_exists(zoo_root());
}

std::string resolve_data_path(std::string_view path) {
  constexpr std::string_view kData = "data:", kZoo = "zoo:";
  if (path.starts_with(kData))
    return data_root() + "/data/" + std::string(path.substr(kData.size()));
  if (path.starts_with(kZoo))
    return zoo_root() + "/" + std::string(path.substr(kZoo.size()));
  return std::string(path);
}

}  // namespace dlm
