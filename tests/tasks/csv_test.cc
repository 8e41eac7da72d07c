#include "tasks/csv.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"

namespace dlm {
namespace {

using Fields = std::vector<std::string>;

std::string error_of(std::string_view text) {
  try {
    parse_csv(text, "a.csv");
  } catch (const DataError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Csv, ReadsPlainAndQuotedFields) {
  const auto rows = parse_csv("a,\"b, c\",\nd,\"e \"\"f\"\"\",g\n", "a.csv");
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].fields, (Fields{"a", "b, c", ""}));
  EXPECT_EQ(rows[1].fields, (Fields{"d", "e \"f\"", "g"}));
  EXPECT_EQ(rows[0].offset, 0U);
  EXPECT_EQ(rows[1].offset, 10U);
}

TEST(Csv, KeepsLineBreaksAndBackslashesInsideQuotes) {
  const auto rows = parse_csv("\"one\ntwo\r\nthree\\n\",x\r\ny,\"\"", "a.csv");
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].fields, (Fields{"one\ntwo\r\nthree\\n", "x"}));
  EXPECT_EQ(rows[1].fields, (Fields{"y", ""}));
}

TEST(Csv, ReadsTheLastRowWithAndWithoutALineEnd) {
  EXPECT_EQ(parse_csv("a,b", "a.csv").size(), 1U);
  EXPECT_EQ(parse_csv("a,b\n", "a.csv").size(), 1U);
  EXPECT_EQ(parse_csv("a,", "a.csv")[0].fields, (Fields{"a", ""}));
}

TEST(Csv, NamesWhatIsWrongAndWhere) {
  EXPECT_EQ(error_of("a,b\nc,\"d\ne\n"),
            "a.csv: at byte 6: expected a closing quote, found the end of the file");
  EXPECT_EQ(error_of("a,b\nc\n"),
            "a.csv: at byte 4: expected 2 fields as in the first row, found 1");
  EXPECT_EQ(error_of("a,b\n\nc,d\n"),
            "a.csv: at byte 4: expected 2 fields as in the first row, found 1");
  EXPECT_EQ(
      error_of("a,b\"c\n"),
      "a.csv: at byte 3: expected a quote only around a whole field, found one inside a field");
  EXPECT_EQ(
      error_of("\"a\"b,c\n"),
      "a.csv: at byte 3: expected a comma or line end after the closing quote, found more text");
}

}  // namespace
}  // namespace dlm
