// Where named models are looked up.
#include "harness/data_root.h"

#include <cstdlib>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

// DLMBENCH_ZOO, put back at the end.
class ZooFolders : public ::testing::Test {
 protected:
  ZooFolders() {
    const char* before = std::getenv("DLMBENCH_ZOO");
    before_ = before == nullptr ? "" : before;
  }

  ~ZooFolders() override { set(before_); }

  static void set(const std::string& folders) {
    ::setenv("DLMBENCH_ZOO", folders.c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
  }

  std::string make(const std::string& zoo, const std::string& model) const {
    const std::string path = folder_.file(zoo) + "/" + model;
    std::filesystem::create_directories(path);
    return path;
  }

  testing::TemporaryFolder folder_;

 private:
  std::string before_;
};

TEST_F(ZooFolders, EachModelIsLookedUpOnItsOwn) {
  const std::string mine = make("mine", "a"), other_a = make("all", "a"), b = make("all", "b");
  set(folder_.file("mine") + ":" + folder_.file("all"));
  EXPECT_EQ(resolve_data_path("zoo:a"), mine);
  EXPECT_EQ(resolve_data_path("zoo:b"), b);
  set(folder_.file("all") + ":" + folder_.file("mine"));
  EXPECT_EQ(resolve_data_path("zoo:a"), other_a);
  EXPECT_TRUE(has_zoo());
  EXPECT_EQ(resolve_data_path("a/b:c"), "a/b:c");
}

TEST_F(ZooFolders, ANameThatNoneHoldsIsAnErrorThatListsThem) {
  make("mine", "a");
  set(folder_.file("mine") + ":" + folder_.file("none"));
  EXPECT_TRUE(has_zoo());
  for (const char* name : {"zoo:c", "zoo:"}) {
    try {
      (void)resolve_data_path(name);
      ADD_FAILURE() << name;
    } catch (const ConfigError& error) {
      EXPECT_NE(
          std::string(error.what())
              .find("one of these holds: " + folder_.file("mine") + ", " + folder_.file("none")),
          std::string::npos)
          << error.what();
    }
  }
  set(folder_.file("none"));
  EXPECT_FALSE(has_zoo());
}

}  // namespace
}  // namespace dlm
