#include "harness/base/error.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace dlm {
namespace {

TEST(Errors, SayWhereAndWhat) {
  EXPECT_STREQ(ConfigError("dtype", "f31", "one of f32, bf16").what(),
               "dtype = 'f31': one of f32, bf16");
  EXPECT_STREQ(DataError("a.bin", 8, "a header", "nothing").what(),
               "a.bin: at byte 8: expected a header, found nothing");
}

TEST(Errors, UnknownNameOffersTheNearest) {
  const std::vector<std::string> known{"perplexity", "throughput"};
  EXPECT_STREQ(unknown_name("metric", "perplexty", known).what(),
               "metric = 'perplexty': unknown; did you mean 'perplexity'?");
  EXPECT_STREQ(unknown_name("metric", "zzz", known).what(),
               "metric = 'zzz': unknown; known are perplexity, throughput");
}

TEST(Check, CarriesValues) {
  try {
    DLM_CHECK(1 > 2, "one is {}", 1);
    FAIL();
  } catch (const InternalError& error) {
    EXPECT_NE(std::string(error.what()).find("one is 1"), std::string::npos);
  }
}

}  // namespace
}  // namespace dlm
