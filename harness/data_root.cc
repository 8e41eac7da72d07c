#include "harness/data_root.h"

#include <cstdlib>

#include "harness/base/file.h"

namespace dlm {

std::string data_root() {
  const char* root = std::getenv("DLMBENCH_DATA");
  return root == nullptr || *root == '\0' ? "../shared" : root;
}

bool has_data_root() {
  return file_exists(data_root() + "/data");
}

std::string resolve_data_path(std::string_view path) {
  constexpr std::string_view kPrefix = "data:";
  if (!path.starts_with(kPrefix))
    return std::string(path);
  return data_root() + "/data/" + std::string(path.substr(kPrefix.size()));
}

}  // namespace dlm
