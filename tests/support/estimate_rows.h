// Tables of estimates as the program prints them with `-o jsonl`, for end-to-end tests.
#pragma once

#include <map>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/json.h"
#include "harness/base/text.h"
#include "tests/support/process.h"

namespace dlm::testing {

// metric|variant -> its row, of the one run there is. A test failure where the program failed.
inline std::map<std::string, Json> estimate_rows(const ProcessResult& result) {
  EXPECT_EQ(result.code, 0) << result.err;
  std::map<std::string, Json> rows;
  for (const std::string& line : split(result.out, '\n')) {
    if (line.empty())
      continue;
    const Json row = parse_json(line, "stdout");
    const std::string variant =
        row.at("variant").is_null() ? "" : row.at("variant").get<std::string>();
    rows[row.at("metric").get<std::string>() + "|" + variant] = row;
  }
  return rows;
}

// metric|variant -> value.
inline std::map<std::string, double> estimate_values(const ProcessResult& result) {
  std::map<std::string, double> values;
  for (const auto& [name, row] : estimate_rows(result))
    values[name] = row.at("value").get<double>();
  return values;
}

}  // namespace dlm::testing
