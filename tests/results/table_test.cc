#include "results/table.h"

#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "tests/results/expect_error.h"

namespace dlm {
namespace {

Table sample_table() {
  Table table;
  table.title = "speeds";
  table.columns = {{"model", ""},
                   {"value", "± data", Align::kRight},
                   {"n", "", Align::kRight},
                   {"interval", "95% CI", Align::kRight, Audience::kPeople},
                   {"ci_low", "", Align::kRight, Audience::kPrograms}};
  Cell bound(22.270123456789012, 2);
  bound.mark = "≤";
  table.rows = {{"a|b_1", bound, std::int64_t{1000}, "[21.90, 22.65]", 21.9},
                {"héé 模型", 0.1 + 0.2, Cell(), Cell(), -1.5e-9},
                {"say \"x\",\r\ny", Cell(-0.001, 2), std::int64_t{-3}, "", 3.0}};
  return table;
}

TEST(Render, MarkdownAlignsPipes) {
  EXPECT_EQ(render(sample_table(), "md"),
            "### speeds\n"
            "\n"
            "| model          | ± data |    n |         95% CI |\n"
            "| -------------- | -----: | ---: | -------------: |\n"
            "| a\\|b_1         | ≤22.27 | 1000 | [21.90, 22.65] |\n"
            "| héé 模型       |    0.3 |      |                |\n"
            "| say \"x\",\uFFFD<br>y |   0.00 |   -3 |                |\n");
}

TEST(Render, JsonHasFullPrecisionAndParses) {
  const std::string text = render(sample_table(), "json");
  EXPECT_EQ(
      text,
      "[\n"
      "  {\"model\": \"a|b_1\", \"value\": 22.270123456789012, \"n\": 1000, \"ci_low\": 21.9},\n"
      "  {\"model\": \"héé 模型\", \"value\": 0.30000000000000004, \"n\": null, \"ci_low\": "
      "-1.5e-09},\n"
      "  {\"model\": \"say \\\"x\\\",\\r\\ny\", \"value\": -0.001, \"n\": -3, \"ci_low\": 3.0}\n"
      "]\n");
  EXPECT_EQ(parse_json(text, "rendered")[1]["value"].get<double>(), 0.1 + 0.2);
}

TEST(Render, JsonLinesAreObjects) {
  Table table = sample_table();
  table.rows.resize(1);
  EXPECT_EQ(
      render(table, "jsonl"),
      "{\"model\": \"a|b_1\", \"value\": 22.270123456789012, \"n\": 1000, \"ci_low\": 21.9}\n");
  table.rows.clear();
  EXPECT_EQ(render(table, "jsonl"), "");
  EXPECT_EQ(render(table, "json"), "[]\n");
}

TEST(Render, CsvFollowsRfc4180) {
  EXPECT_EQ(render(sample_table(), "csv"),
            "model,value,n,ci_low\n"
            "a|b_1,22.270123456789012,1000,21.9\n"
            "héé 模型,0.30000000000000004,,-1.5e-09\n"
            "\"say \"\"x\"\",\r\ny\",-0.001,-3,3\n");
  const Table table{"", {{"a", ""}, {"b", ""}}, {{"", Cell()}, {" x", "y"}}};
  EXPECT_EQ(render(table, "csv"), "a,b\n\"\",\n\" x\",y\n");
}

TEST(Render, TexIsEscaped) {
  Table table = sample_table();
  table.rows.push_back({"50% & $1 #2 {x} ~^ \\", Cell(), Cell(), "↑ < >", Cell()});
  EXPECT_EQ(
      render(table, "tex"),
      "% speeds\n"
      "\\begin{tabular}{lrrr}\n"
      "\\toprule\n"
      "model & $\\pm$ data & n & 95\\% CI \\\\\n"
      "\\midrule\n"
      "a$|$b\\_1 & $\\leq$22.27 & 1000 & [21.90, 22.65] \\\\\n"
      "héé 模型 & 0.3 &  &  \\\\\n"
      "say \"x\",  y & 0.00 & -3 &  \\\\\n"
      "50\\% \\& \\$1 \\#2 \\{x\\} \\textasciitilde{}\\textasciicircum{} \\textbackslash{} &  &  "
      "& $\\uparrow$ $<$ $>$ \\\\\n"
      "\\bottomrule\n"
      "\\end{tabular}\n");
}

TEST(Render, SeveralTablesKeepTheirTitles) {
  const std::vector<Table> tables = {{"one", {{"a", ""}}, {{std::int64_t{1}}}},
                                     {"two", {{"b", ""}}, {{"x"}}}};
  EXPECT_EQ(render(tables, "md"),
            "### one\n\n| a   |\n| --- |\n| 1   |\n\n### two\n\n| b   |\n| --- |\n| x   |\n");
  EXPECT_EQ(render(tables, "json"),
            "{\n  \"one\": [\n    {\"a\": 1}\n  ],\n  \"two\": [\n    {\"b\": \"x\"}\n  ]\n}\n");
  EXPECT_EQ(render(tables, "jsonl"),
            "{\"table\": \"one\", \"a\": 1}\n{\"table\": \"two\", \"b\": \"x\"}\n");
  EXPECT_EQ(render(tables, "csv"), "one\na\n1\n\ntwo\nb\nx\n");
}

TEST(Render, UnknownFormatIsNamedWithTheNearest) {
  EXPECT_EQ(testing::error_of<ConfigError>([] { render(sample_table(), "jsn"); }),
            "format = 'jsn': unknown; did you mean 'json'?");
  EXPECT_EQ(testing::error_of<ConfigError>([] { render(std::vector<Table>(), "spreadsheet"); }),
            "format = 'spreadsheet': unknown; known are md, json, jsonl, csv, tex");
}

TEST(Render, HostileTextStaysInItsCell) {
  const Table table{"", {{"a", ""}}, {{std::string("\x1B[31m\xFF\ttab")}}};
  EXPECT_EQ(render(table, "md"), "| a          |\n| ---------- |\n| \uFFFD[31m\uFFFD tab |\n");
  EXPECT_EQ(render(table, "jsonl"), "{\"a\": \"\\u001b[31m\uFFFD\\ttab\"}\n");
  EXPECT_EQ(render(table, "csv"), "a\n\x1B[31m\uFFFD\ttab\n");
}

TEST(Render, ColumnsOfOneNameStayApartInJson) {
  const Table table{"", {{"a", ""}, {"a", ""}}, {{std::int64_t{1}, std::int64_t{2}}}};
  EXPECT_EQ(render(table, "jsonl"), "{\"a\": 1, \"a_2\": 2}\n");
}

TEST(Render, NumbersThatAreNotFiniteAreNullInJson) {
  const Table table{"", {{"a", ""}}, {{std::numeric_limits<double>::infinity()}}};
  EXPECT_EQ(render(table, "jsonl"), "{\"a\": null}\n");
  EXPECT_EQ(render(table, "csv"), "a\ninf\n");
}

TEST(FormatWithError, GivesTheErrorTwoDigits) {
  const auto both = [](double value, double error) {
    const ValueWithError shown = format_with_error(value, error);
    return shown.value + " " + shown.error;
  };
  EXPECT_EQ(both(3.54823, 0.01234), "3.548 0.012");
  EXPECT_EQ(both(22.2701, 0.19), "22.27 0.19");
  EXPECT_EQ(both(22.2701, 0.0996), "22.27 0.10");
  EXPECT_EQ(both(22.2701, 0.996), "22.3 1.0");
  EXPECT_EQ(both(1234.5, 99.6), "1234 100");
  EXPECT_EQ(both(1234.5, 9.96), "1234 10");
  EXPECT_EQ(both(123456.7, 4321.0), "123457 4321");
  EXPECT_EQ(both(-0.5, 0.25), "-0.50 0.25");
  EXPECT_EQ(both(24.5612345, 0), "24.5612 0");
  EXPECT_EQ(both(1, 1e-30), "1.000000000000 0.000000000000");
}

TEST(DisplayWidth, CountsColumnsOfTheTerminal) {
  EXPECT_EQ(display_width("abc"), 3U);
  EXPECT_EQ(display_width("é≤±"), 3U);
  EXPECT_EQ(display_width("模型"), 4U);
  EXPECT_EQ(display_width("e\u0301"), 1U);
}

}  // namespace
}  // namespace dlm
