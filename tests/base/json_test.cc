#include "harness/base/json.h"

#include <limits>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/error.h"

namespace dlm {
namespace {

std::string message_of(const std::string& text) {
  try {
    parse_json(text, "x.json");
  } catch (const DataError& error) {
    return error.what();
  }
  return "no error";
}

TEST(ParseJson, RefusesWhatIsLenientElsewhere) {
  EXPECT_NE(message_of(R"({"a":1,"b":{"a":1},"a":2})").find("duplicate key 'a'"),
            std::string::npos);
  EXPECT_NE(message_of(R"({"a":1,"a":2})").find("x.json: at byte 9: expected each key once"),
            std::string::npos);
  EXPECT_NE(message_of("[1,1e999]").find("x.json: at byte 7: expected a number that a double"),
            std::string::npos);
  EXPECT_NE(message_of(R"({"a":1} x)").find("x.json"), std::string::npos);
  EXPECT_NE(message_of("{\"a\":\"\xff\"}").find("x.json: at byte"), std::string::npos);
  EXPECT_NE(message_of(std::string(100, '[') + std::string(100, ']')).find("nesting"),
            std::string::npos);
  EXPECT_NE(message_of("").find("x.json"), std::string::npos);
  EXPECT_EQ(message_of(R"({"a":[{"b":1},{"b":2}],"b":{"a":1}})"), "no error");
}

TEST(ParseJson, BuildsEveryKindOfValue) {
  const Json value =
      parse_json(R"([null,true,-3,18446744073709551615,1.5,"x",[],{"k":[{}]}])", "t");
  EXPECT_EQ(value, Json::parse(R"([null,true,-3,18446744073709551615,1.5,"x",[],{"k":[{}]}])"));
  EXPECT_TRUE(value[2].is_number_integer());
  EXPECT_TRUE(value[3].is_number_unsigned());
  EXPECT_EQ(parse_json("7", "t"), 7);
}

TEST(ParseJson, TellsWhereTheTextBreaks) {
  EXPECT_NE(message_of(R"({"a":1,})").find("x.json: at byte 7: expected JSON"), std::string::npos);
  EXPECT_NE(message_of("[1").find("x.json: at byte 2: expected JSON"), std::string::npos);
  EXPECT_NE(message_of("[1] 2").find("x.json: at byte 4: expected JSON"), std::string::npos);
  EXPECT_NE(message_of("[\"\xff\"]").find("x.json: at byte 2: expected JSON"), std::string::npos);
}

// 200,000 members that are objects: quadratic time would take minutes.
TEST(ParseJson, TakesTimeLinearInTheSize) {
  std::string text = "{";
  for (int i = 0; i < 200'000; ++i) text += fmt::format("\"{}\":{{}},", i);
  text += "\"last\":[]}";
  EXPECT_EQ(parse_json(text, "t").size(), 200'001U);
}

TEST(CanonicalJson, SortsKeysAndKeepsNumbersExact) {
  const Json value = parse_json(R"({ "b" : 0.1, "a" : [1, true, null, "é"], "c": 1e300 })", "t");
  EXPECT_EQ(canonical_json(value), "{\"a\":[1,true,null,\"é\"],\"b\":0.1,\"c\":1e+300}");
  EXPECT_EQ(parse_json(canonical_json(value), "t"), value);
}

TEST(CanonicalJson, RefusesNonFiniteNumbers) {
  EXPECT_THROW(canonical_json(Json{{"a", {1.0, std::numeric_limits<double>::quiet_NaN()}}}),
               InternalError);
  EXPECT_THROW(canonical_json(Json(std::numeric_limits<double>::infinity())), InternalError);
}

TEST(JsonMembers, NameTheKeyAndRefuseOtherTypes) {
  const Json object =
      parse_json(R"({"n": 3, "x": 1.5, "s": "t", "z": null, "big": 18446744073709551615})", "t");
  EXPECT_EQ(json_int(object, "n", "t"), 3);
  EXPECT_EQ(json_int_or(object, "z", 9, "t"), 9);
  EXPECT_EQ(json_double(object, "n", "t"), 3.0);
  EXPECT_EQ(json_string_or(object, "missing", "d", "t"), "d");
  EXPECT_THROW(json_int(object, "x", "t"), DataError);
  EXPECT_THROW(json_int(object, "big", "t"), DataError);
  EXPECT_THROW(json_int_or(object, "s", 1, "t"), DataError);
  EXPECT_THROW(json_string(object, "missing", "t"), DataError);
  EXPECT_THROW(json_bool_or(object, "n", true, "t"), DataError);
}

}  // namespace
}  // namespace dlm
