#include "models/training/row_source.h"

#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "models/exact/markov.h"

namespace dlm {
namespace {

std::vector<std::int64_t> read(const RowSource& source, std::uint64_t number) {
  std::vector<std::int64_t> ids(static_cast<std::size_t>(source.length()));
  source.read(number, ids);
  return ids;
}

// Row r is (r, r, r).
StoredRows numbered_rows(std::int32_t rows, std::uint64_t seed) {
  std::vector<std::int32_t> ids;
  for (std::int32_t r = 0; r < rows; ++r) ids.insert(ids.end(), 3, r);
  return StoredRows(std::move(ids), 3, rows, seed);
}

TEST(StoredRows, EveryEpochHasEveryRowOnceInAnOrderOfItsOwn) {
  const StoredRows rows = numbered_rows(50, 1);
  EXPECT_EQ(rows.rows(), 50);
  std::vector<std::vector<std::int64_t>> orders(2);
  for (std::uint64_t n = 0; n < 100; ++n) orders[n / 50].push_back(read(rows, n)[1]);
  for (const auto& order : orders)
    EXPECT_EQ(std::set<std::int64_t>(order.begin(), order.end()).size(), 50U);
  EXPECT_NE(orders[0], orders[1]);
  EXPECT_EQ(read(rows, 3)[0], orders[0][3]);  // back to an epoch that was left
  const StoredRows other = numbered_rows(50, 2);
  EXPECT_NE(other.sha256(), rows.sha256());
  std::vector<std::int64_t> order;
  for (std::uint64_t n = 0; n < 50; ++n) order.push_back(read(other, n)[0]);
  EXPECT_NE(order, orders[0]);
}

TEST(StoredRows, RefusesWhatIsNoWholeRow) {
  EXPECT_THROW(StoredRows({}, 4, 8, 1), ConfigError);
  EXPECT_THROW(StoredRows({1, 2, 3, 4, 5}, 4, 8, 1), ConfigError);
  EXPECT_THROW(StoredRows({1, 2, 3, 8}, 4, 8, 1), ConfigError);
  EXPECT_THROW(StoredRows({1, 2, 3, -1}, 4, 8, 1), ConfigError);
}

TEST(WorldRows, AreTheWorldsDocuments) {
  const MarkovWorld world(MarkovSpec{.vocab_size = 6});
  const WorldRows rows(std::make_unique<MarkovWorld>(MarkovSpec{.vocab_size = 6}), 9, 20);
  EXPECT_EQ(rows.rows(), 0);
  EXPECT_EQ(rows.vocab_size(), 6);
  for (const std::uint64_t n : {0ULL, 12345678901ULL})
    EXPECT_EQ(read(rows, n), world.draw(9, n, 20));
  const WorldRows longer(std::make_unique<MarkovWorld>(MarkovSpec{.vocab_size = 6}), 9, 21);
  EXPECT_NE(longer.sha256(), rows.sha256());
}

}  // namespace
}  // namespace dlm
