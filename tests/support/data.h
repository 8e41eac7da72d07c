// Where tests find the reference fixtures and real data: below DLMBENCH_DATA. A golden test begins
// with DLM_REQUIRE_DATA("fixtures/gpt2_tiny"), which skips it with a clear line where the folder is
// absent.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

namespace dlm::testing {

inline std::string data_root() {
  const char* root = std::getenv("DLMBENCH_DATA");
  return root == nullptr ? "../shared" : root;
}

inline std::string data_path(const std::string& relative) {
  return data_root() + "/" + relative;
}

// A folder for one test's files, removed when the test ends.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "dlmbench-test-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }

  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  std::string file(const std::string& name) const { return path_ + "/" + name; }

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace dlm::testing

#define DLM_REQUIRE_DATA(relative)                                                           \
  do {                                                                                       \
    if (!std::filesystem::exists(::dlm::testing::data_path(relative)))                       \
      GTEST_SKIP() << "no " << ::dlm::testing::data_path(relative) << "; set DLMBENCH_DATA"; \
  } while (false)
