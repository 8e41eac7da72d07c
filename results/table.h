// A table of results, before anybody decides how it looks: typed cells at full precision, and with
// each how many digits of it mean something. render() (render.cc) turns it into text.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace dlm {

struct Cell {
  Cell() = default;  // unknown

  Cell(std::int64_t number) : value(number) {}  // NOLINT(google-explicit-constructor)

  Cell(double number) : value(number) {}  // NOLINT(google-explicit-constructor)

  Cell(std::string text) : value(std::move(text)) {}  // NOLINT(google-explicit-constructor)

  Cell(const char* text) : value(std::string(text)) {}  // NOLINT(google-explicit-constructor)

  Cell(double number, int digits) : value(number), decimals(digits) {}

  template <class T>
  Cell(const std::optional<T>& maybe) {  // NOLINT(google-explicit-constructor)
    if (maybe.has_value())
      value = *maybe;
  }

  std::variant<std::monostate, std::int64_t, double, std::string> value;
  std::optional<int> decimals;  // digits after the point in md and tex; absent: six significant
  std::string mark;             // before the number in md and tex: "≤" for an upper bound
};

enum class Align { kLeft, kRight };

// Whom a column is for: a program wants ci_low and ci_high, a person wants "[21.9, 22.6]".
enum class Audience { kAll, kPeople, kPrograms };

struct Column {
  std::string name;   // key in json, header in csv
  std::string label;  // header in md and tex; empty: the name
  Align align = Align::kLeft;
  Audience audience = Audience::kAll;  // md and tex show kPeople, json, jsonl and csv kPrograms
};

struct Table {
  std::string title;  // may be empty
  std::vector<Column> columns;
  std::vector<std::vector<Cell>> rows;
};

// A cell as md and tex show it, not yet escaped; ill-formed UTF-8 replaced.
std::string cell_for_people(const Cell& cell);

// "md", "json", "jsonl", "csv", "tex".
const std::vector<std::string>& table_formats();

// The table as text that ends with a line end. md: aligned pipes; json: an array of objects; jsonl:
// an object a line; csv: RFC 4180 with lines ended by LF, a missing value is empty and an empty
// text is ""; tex: booktabs. md and tex show numbers with the digits that mean something, the
// others with all they have; what JSON cannot hold (a number that is not finite) is null there.
// Throws ConfigError for another format.
std::string render(const Table& table, std::string_view format);

// Several tables: md, csv and tex one after the other with their titles (csv: as a line of one
// field); json: one object by title; jsonl: each object begins with "table".
std::string render(std::span<const Table> tables, std::string_view format);

// A value and its standard error with the same number of decimals, chosen so that the error has two
// significant digits: (3.54823, 0.01234) -> "3.548", "0.012". An error of 0 or one that is not
// finite leaves six significant digits of the value.
struct ValueWithError {
  std::string value;
  std::string error;
};

ValueWithError format_with_error(double value, double std_error);

// Decimals that show `std_error` with two significant digits, 0 to 12; nothing where it is 0 or not
// finite.
std::optional<int> decimals_for_error(double std_error);

// Columns that a terminal needs for UTF-8 text.
std::size_t display_width(std::string_view text);

}  // namespace dlm
