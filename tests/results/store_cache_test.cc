#include <string>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "results/store.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

TEST(StoreCache, KeepsResultsByKeyAcrossProcesses) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("runs.db");
  {
    const auto store = Store::open(path, {});
    EXPECT_FALSE(store->cached("a").has_value());
    store->add_cached({{"a", "one"}, {"b", "two"}, {"c", "one"}});
    store->add_cached({{"b", "three"}});
  }
  const auto store = Store::open(path, {});
  EXPECT_EQ(store->cached("a"), "one");
  EXPECT_EQ(store->cached("b"), "three");
  EXPECT_EQ(store->cached("c"), "one");
  EXPECT_FALSE(store->cached("d").has_value());
}

TEST(StoreCache, DamagedTextIsRefused) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("runs.db");
  Store::open(path, {})->add_cached({{"a", "one"}});
  {
    Database database(path, Database::Mode::kReadWrite, std::chrono::seconds(1));
    database.execute("UPDATE blob SET data=x'787878'");
  }
  const auto store = Store::open(path, {});
  EXPECT_THROW(store->cached("a"), DataError);
}

}  // namespace
}  // namespace dlm
