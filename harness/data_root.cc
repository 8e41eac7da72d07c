#include "harness/data_root.h"

#include <algorithm>
#include <cstdlib>
#include <utility>
#include <vector>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/text.h"

namespace dlm {

namespace {

std::string folder_of(const char* variable, const char* fallback) {
  const char* folder = std::getenv(variable);
  return folder == nullptr || *folder == '\0' ? fallback : folder;
}

std::vector<std::string> zoo_roots() {
  std::vector<std::string> roots;
  for (std::string& root : split(folder_of("DLMBENCH_ZOO", "models/zoo"), ':')) {
    if (!root.empty())
      roots.push_back(std::move(root));
  }
  return roots;
}

// Each name is looked up on its own, so that a folder with some of the models hides no others.
std::string zoo_path(std::string_view name) {
  const std::vector<std::string> roots = zoo_roots();
  for (const std::string& root : roots) {
    std::string path = fmt::format("{}/{}", root, name);
    if (!name.empty() && file_exists(path))
      return path;
  }
  throw ConfigError("zoo", name,
                    fmt::format("what one of these holds: {}", fmt::join(roots, ", ")));
}

}  // namespace

std::string data_root() {
  return folder_of("DLMBENCH_DATA", "../shared");
}

bool has_data_root() {
  return file_exists(data_root() + "/data");
}

bool has_zoo() {
  const std::vector<std::string> roots = zoo_roots();
  return std::any_of(roots.begin(), roots.end(), file_exists);
}

std::string resolve_data_path(std::string_view path) {
  constexpr std::string_view kData = "data:", kZoo = "zoo:";
  if (path.starts_with(kData))
    return data_root() + "/data/" + std::string(path.substr(kData.size()));
  if (path.starts_with(kZoo))
    return zoo_path(path.substr(kZoo.size()));
  return std::string(path);
}

}  // namespace dlm
