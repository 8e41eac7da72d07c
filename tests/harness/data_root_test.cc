// Where named models are looked up.
#include "harness/data_root.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
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

std::string refusal(const std::string& path) {
  try {
    (void)resolve_data_path(path);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST_F(ZooFolders, ANameThatNoneHoldsIsAnErrorThatListsThem) {
  make("mine", "small-a");
  make("mine", "small-b");
  std::ofstream(folder_.file("mine") + "/README.md") << "no model";
  std::ofstream(folder_.file("mine") + "/test.tokens.safetensors") << "";
  const std::string mine = folder_.file("mine"), none = folder_.file("none");
  set(mine + ":" + none);
  EXPECT_TRUE(has_zoo());
  const std::string held = mine + ", " + none + " holds small-a, small-b, test.tokens.safetensors";
  EXPECT_EQ(refusal("zoo:smal-b"),
            "model = 'zoo:smal-b': unknown; did you mean 'zoo:small-b'? " + held);
  EXPECT_EQ(refusal("zoo:"), "model = 'zoo:': unknown; " + held);
  EXPECT_EQ(refusal("zoo:tes.tokens.safetensors"),
            "task = 'zoo:tes.tokens.safetensors': unknown; did you mean "
            "'zoo:test.tokens.safetensors'? " +
                held);
  set(none);
  EXPECT_FALSE(has_zoo());
  EXPECT_EQ(refusal("zoo:small-a"), "model = 'zoo:small-a': there are no models in " + none +
                                        "; go to the repository's folder or set DLMBENCH_ZOO");
}

}  // namespace
}  // namespace dlm
