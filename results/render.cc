// Tables as text, in every format.
#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "harness/base/text.h"
#include "results/table.h"

namespace dlm {
namespace {

using Line = std::vector<std::string>;

// One of the two kinds of reader; which columns a format shows and how it prints numbers.
std::vector<std::size_t> shown_columns(const Table& table, Audience hidden) {
  std::vector<std::size_t> shown;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    if (table.columns[i].audience != hidden)
      shown.push_back(i);
  }
  return shown;
}

// "-0.00" would say something about a sign that the digits do not show.
std::string without_negative_zero(std::string number) {
  const bool zero = number.find_first_not_of("-0.") == std::string::npos;
  return zero && number.starts_with('-') ? number.substr(1) : number;
}

std::string number_for_people(double number, const std::optional<int>& decimals) {
  return without_negative_zero(decimals.has_value() ? fmt::format("{:.{}f}", number, *decimals)
                                                    : fmt::format("{:.6g}", number));
}

const std::string& header_for_people(const Column& column) {
  return column.label.empty() ? column.name : column.label;
}

bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
}

std::string escape_md(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') {
      out += "\\|";
    } else if (c == '\n') {
      out += "<br>";
    } else if (c == '\t') {
      out += ' ';
    } else if (is_control(c)) {
      out += "\uFFFD";  // an escape sequence must not reach the terminal
    } else {
      out += c;
    }
  }
  return out;
}

std::string padded(const std::string& text, std::size_t width, Align align) {
  const std::string space(width - std::min(width, display_width(text)), ' ');
  return align == Align::kRight ? space + text : text + space;
}

std::string render_md(const Table& table) {
  const std::vector<std::size_t> shown = shown_columns(table, Audience::kPrograms);
  std::vector<Line> lines(1);
  for (const std::size_t i : shown)
    lines[0].push_back(escape_md(header_for_people(table.columns[i])));
  for (const auto& row : table.rows) {
    Line& line = lines.emplace_back();
    for (const std::size_t i : shown) line.push_back(escape_md(cell_for_people(row[i])));
  }
  std::vector<std::size_t> widths(shown.size(), 3);
  for (const Line& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i)
      widths[i] = std::max(widths[i], display_width(line[i]));
  }
  std::string out = table.title.empty() ? "" : "### " + table.title + "\n\n";
  for (std::size_t n = 0; n < lines.size(); ++n) {
    for (std::size_t i = 0; i < shown.size(); ++i)
      out += "| " + padded(lines[n][i], widths[i], table.columns[shown[i]].align) + " ";
    out += "|\n";
    if (n > 0)
      continue;
    for (std::size_t i = 0; i < shown.size(); ++i) {
      const bool right = table.columns[shown[i]].align == Align::kRight;
      out += "| " + std::string(widths[i] - 1, '-') + (right ? ": " : "- ");
    }
    out += "|\n";
  }
  return out;
}

std::string_view tex_of(std::string_view character) {
  static constexpr std::pair<std::string_view, std::string_view> kReplacements[] = {
      {"\\", "\\textbackslash{}"},
      {"~", "\\textasciitilde{}"},
      {"^", "\\textasciicircum{}"},
      {"&", "\\&"},
      {"%", "\\%"},
      {"$", "\\$"},
      {"#", "\\#"},
      {"_", "\\_"},
      {"{", "\\{"},
      {"}", "\\}"},
      {"≤", "$\\leq$"},
      {"≥", "$\\geq$"},
      {"±", "$\\pm$"},
      {"↑", "$\\uparrow$"},
      {"↓", "$\\downarrow$"},
      {"−", "$-$"},
      {"<", "$<$"},
      {">", "$>$"},
      {"|", "$|$"},
  };
  for (const auto& [from, to] : kReplacements) {
    if (from == character)
      return to;
  }
  return character;
}

std::string escape_tex(std::string_view text) {
  std::string out;
  for (std::size_t offset = 0; offset < text.size();) {
    const std::size_t bytes = decode_utf8(text, offset).bytes;
    out += is_control(text[offset]) ? " " : tex_of(text.substr(offset, bytes));
    offset += bytes;
  }
  return out;
}

std::string render_tex(const Table& table) {
  const std::vector<std::size_t> shown = shown_columns(table, Audience::kPrograms);
  std::string alignment;
  Line header;
  for (const std::size_t i : shown) {
    alignment += table.columns[i].align == Align::kRight ? 'r' : 'l';
    header.push_back(escape_tex(header_for_people(table.columns[i])));
  }
  std::string out = table.title.empty() ? "" : "% " + escape_md(table.title) + "\n";
  out += "\\begin{tabular}{" + alignment + "}\n\\toprule\n";
  out += fmt::format("{} \\\\\n\\midrule\n", fmt::join(header, " & "));
  for (const auto& row : table.rows) {
    Line line;
    for (const std::size_t i : shown) line.push_back(escape_tex(cell_for_people(row[i])));
    out += fmt::format("{} \\\\\n", fmt::join(line, " & "));
  }
  return out + "\\bottomrule\n\\end{tabular}\n";
}

std::string quote_csv(const std::string& text) {
  if (!text.empty() && text.find_first_of(",\"\r\n") == std::string::npos && text.front() != ' ' &&
      text.back() != ' ')
    return text;
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"')
      out += '"';
    out += c;
  }
  return out + '"';
}

std::string csv_of(const Cell& cell) {
  if (const auto* integer = std::get_if<std::int64_t>(&cell.value))
    return fmt::format("{}", *integer);
  if (const auto* real = std::get_if<double>(&cell.value))
    return fmt::format("{}", *real);
  if (const auto* text = std::get_if<std::string>(&cell.value))
    return quote_csv(replace_invalid_utf8(*text));
  return "";
}

std::string render_csv(const Table& table) {
  const std::vector<std::size_t> shown = shown_columns(table, Audience::kPeople);
  Line line;
  for (const std::size_t i : shown) line.push_back(quote_csv(table.columns[i].name));
  std::string out = fmt::format("{}\n", fmt::join(line, ","));
  for (const auto& row : table.rows) {
    line.clear();
    for (const std::size_t i : shown) line.push_back(csv_of(row[i]));
    out += fmt::format("{}\n", fmt::join(line, ","));
  }
  return out;
}

std::string json_text(const std::string& text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string json_of(const Cell& cell) {
  if (const auto* integer = std::get_if<std::int64_t>(&cell.value))
    return fmt::format("{}", *integer);
  if (const auto* real = std::get_if<double>(&cell.value))
    return Json(*real).dump();  // null where it is not finite
  if (const auto* text = std::get_if<std::string>(&cell.value))
    return json_text(*text);
  return "null";
}

// A query may name two columns alike; an object may not.
std::vector<std::string> unique_keys(const Table& table) {
  std::vector<std::string> keys;
  for (const Column& column : table.columns) {
    std::string key = column.name;
    for (int n = 2; std::find(keys.begin(), keys.end(), key) != keys.end(); ++n)
      key = fmt::format("{}_{}", column.name, n);
    keys.push_back(std::move(key));
  }
  return keys;
}

// The rows as objects; each begins with `first` ('"table": "runs"'), where that is not empty.
std::vector<std::string> json_objects(const Table& table, const std::string& first) {
  const std::vector<std::size_t> shown = shown_columns(table, Audience::kPeople);
  const std::vector<std::string> keys = unique_keys(table);
  std::vector<std::string> objects;
  for (const auto& row : table.rows) {
    Line members;
    if (!first.empty())
      members.push_back(first);
    for (const std::size_t i : shown)
      members.push_back(fmt::format("{}: {}", json_text(keys[i]), json_of(row[i])));
    objects.push_back(fmt::format("{{{}}}", fmt::join(members, ", ")));
  }
  return objects;
}

std::string json_array(const Table& table, std::string_view indent) {
  const std::vector<std::string> objects = json_objects(table, "");
  if (objects.empty())
    return "[]";
  const std::string separator = fmt::format(",\n{}  ", indent);
  return fmt::format("[\n{0}  {1}\n{0}]", indent, fmt::join(objects, separator));
}

std::string json_lines(const std::vector<std::string>& objects) {
  std::string out;
  for (const std::string& object : objects) out += object + "\n";
  return out;
}

void check_format(std::string_view format) {
  const std::vector<std::string>& known = table_formats();
  if (std::find(known.begin(), known.end(), format) == known.end())
    throw unknown_name("format", format, known);
}

}  // namespace

std::string cell_for_people(const Cell& cell) {
  if (const auto* integer = std::get_if<std::int64_t>(&cell.value))
    return cell.mark + fmt::format("{}", *integer);
  if (const auto* real = std::get_if<double>(&cell.value))
    return cell.mark + number_for_people(*real, cell.decimals);
  if (const auto* text = std::get_if<std::string>(&cell.value))
    return replace_invalid_utf8(*text);
  return "";
}

const std::vector<std::string>& table_formats() {
  static const std::vector<std::string> formats = {"md", "json", "jsonl", "csv", "tex"};
  return formats;
}

std::string render(const Table& table, std::string_view format) {
  check_format(format);
  if (format == "md")
    return render_md(table);
  if (format == "tex")
    return render_tex(table);
  if (format == "csv")
    return render_csv(table);
  if (format == "jsonl")
    return json_lines(json_objects(table, ""));
  return json_array(table, "") + "\n";
}

std::string render(std::span<const Table> tables, std::string_view format) {
  check_format(format);
  std::string out;
  for (const Table& table : tables) {
    if (format == "json") {
      out += fmt::format("{}\n  {}: {}", out.empty() ? "" : ",", json_text(table.title),
                         json_array(table, "  "));
    } else if (format == "jsonl") {
      out += json_lines(json_objects(table, "\"table\": " + json_text(table.title)));
    } else {
      out += out.empty() ? "" : "\n";
      if (format == "csv")
        out += quote_csv(table.title) + "\n";
      out += render(table, format);
    }
  }
  return format == "json" ? "{" + out + "\n}\n" : out;
}

}  // namespace dlm
