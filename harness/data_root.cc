#include "harness/data_root.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/text.h"

namespace dlm {

namespace {

constexpr const char* kDefaultZoo = "models/zoo";

std::string folder_of(const char* variable, const char* fallback) {
  const char* folder = std::getenv(variable);
  return folder == nullptr || *folder == '\0' ? fallback : folder;
}

// models/zoo of the source tree that the program was built in; empty where it lies elsewhere.
std::string zoo_beside_program() {
  std::error_code none;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", none);
  const auto folder = program.parent_path();  // ROOT/build/PRESET
  if (folder.parent_path().filename() != "build")
    return "";
  const auto zoo = folder.parent_path().parent_path() / kDefaultZoo;
  return file_exists(zoo.string()) ? zoo.string() : "";
}

std::vector<std::string> zoo_roots() {
  const std::string named = folder_of("DLMBENCH_ZOO", "");
  std::vector<std::string> roots;
  for (std::string& root : split(named.empty() ? kDefaultZoo : named, ':')) {
    if (!root.empty())
      roots.push_back(std::move(root));
  }
  if (named.empty()) {
    if (std::string beside = zoo_beside_program(); !beside.empty())
      roots.push_back(std::move(beside));
  }
  return roots;
}

// What the folders hold, each name once.
std::vector<std::string> zoo_names(const std::vector<std::string>& roots) {
  std::set<std::string> names;
  for (const std::string& root : roots) {
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(root, none)) {
      if (entry.is_directory() || entry.path().extension() == ".safetensors")
        names.insert(entry.path().filename().string());
    }
  }
  return {names.begin(), names.end()};
}

[[noreturn]] void throw_unknown(std::string_view name, const std::vector<std::string>& roots) {
  const char* field = name.ends_with(".safetensors") ? "task" : "model";
  const std::string value = fmt::format("zoo:{}", name);
  const std::string places = fmt::format("{}", fmt::join(roots, ", "));
  const std::vector<std::string> known = zoo_names(roots);
  if (known.empty())
    throw ConfigError(field, value,
                      fmt::format("there are no models in {}; go to the repository's folder or set "
                                  "DLMBENCH_ZOO",
                                  places));
  const std::string near = nearest_name(name, known);
  throw ConfigError(field, value,
                    fmt::format("unknown;{} {} holds {}",
                                near.empty() ? "" : fmt::format(" did you mean 'zoo:{}'?", near),
                                places, fmt::join(known, ", ")));
}

// Each name is looked up on its own, so that a folder with some of the models hides no others.
std::string zoo_path(std::string_view name) {
  const std::vector<std::string> roots = zoo_roots();
  for (const std::string& root : roots) {
    std::string path = fmt::format("{}/{}", root, name);
    if (!name.empty() && file_exists(path))
      return path;
  }
  throw_unknown(name, roots);
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
