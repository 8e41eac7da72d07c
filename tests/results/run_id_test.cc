#include "results/run_id.h"

#include <string>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "tests/results/expect_error.h"

namespace dlm {
namespace {

TEST(RunId, BeginsWithItsTime) {
  const std::string id = next_run_id(1469918176385, "");
  EXPECT_EQ(id.size(), 26U);
  EXPECT_EQ(id.substr(0, 10), "01ARYZ6S41");  // the example of the ULID specification
  EXPECT_EQ(id.find_first_not_of("0123456789ABCDEFGHJKMNPQRSTVWXYZ"), std::string::npos);
}

TEST(RunId, GrowsWithTheClockAndWithoutIt) {
  const std::string first = next_run_id(1000, "");
  EXPECT_GT(next_run_id(1001, first), first);
  EXPECT_EQ(next_run_id(1000, "00000000Z80000000000000009"), "00000000Z8000000000000000A");
  EXPECT_EQ(next_run_id(999, "00000000Z8000000000000000Z"), "00000000Z80000000000000010");
  EXPECT_GT(next_run_id(first), first);
}

TEST(RunId, DiffersBetweenFiles) {
  EXPECT_NE(next_run_id(1000, ""), next_run_id(1000, ""));
}

TEST(RunId, RefusesWhatIsNotAnId) {
  EXPECT_CONTAINS(testing::error_of<InternalError>([] { next_run_id(0, "zzzzzzzzzzzzzzzz"); }),
                  "is not a run id");
}

}  // namespace
}  // namespace dlm
