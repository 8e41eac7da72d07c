#include "results/html.h"

#include <cstdint>

#include <fmt/format.h>

#include "harness/base/file.h"
#include "harness/base/text.h"

namespace dlm {
namespace {

constexpr std::size_t kLongText = 40;  // cells that may be broken into lines

std::string sort_value(const Cell& cell) {
  if (const auto* integer = std::get_if<std::int64_t>(&cell.value))
    return fmt::format(" data-v=\"{}\"", *integer);
  if (const auto* real = std::get_if<double>(&cell.value))
    return fmt::format(" data-v=\"{}\"", *real);
  return "";
}

std::string cell_html(const Cell& cell, Align align) {
  const std::string text = cell_for_people(cell);
  const char* name = align == Align::kRight ? " class=\"r\"" : "";
  if (text.size() > kLongText)
    name = " class=\"text\"";
  return fmt::format("<td{}{}>{}</td>", name, sort_value(cell), html_text(text));
}

std::string base64(const std::string& bytes) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t j = i; j < i + 3; ++j)
      group = group << 8U | (j < bytes.size() ? static_cast<unsigned char>(bytes[j]) : 0U);
    for (std::size_t digit = 0; digit < 4; ++digit) {
      const bool padding = i + digit > bytes.size();
      out += padding ? '=' : kDigits[group >> (18 - 6 * digit) & 63U];
    }
  }
  return out;
}

}  // namespace

std::string html_text(std::string_view text) {
  std::string out;
  for (const char c : replace_invalid_utf8(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        if ((static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7F) {
          out += "\uFFFD";
        } else {
          out += c;
        }
    }
  }
  return out;
}

std::string html_table(const Table& table,
                       const std::function<std::string(const std::vector<Cell>&)>& row_class) {
  std::string out = "<div class=\"wide\"><table class=\"sortable\"><thead><tr>";
  for (const Column& column : table.columns) {
    if (column.audience == Audience::kPrograms)
      continue;
    const std::string& label = column.label.empty() ? column.name : column.label;
    out += fmt::format("<th{}><button type=\"button\">{}</button></th>",
                       column.align == Align::kRight ? " class=\"r\"" : "",
                       label == " " ? "&nbsp;" : html_text(label));
  }
  out += "</tr></thead><tbody>\n";
  for (const auto& row : table.rows) {
    const std::string name = row_class ? row_class(row) : "";
    out += name.empty() ? "<tr>" : fmt::format("<tr class=\"{}\">", html_text(name));
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (table.columns[i].audience != Audience::kPrograms)
        out += cell_html(row[i], table.columns[i].align);
    }
    out += "</tr>\n";
  }
  return out + "</tbody></table></div>\n";
}

std::string csp_hash(std::string_view content) {
  const std::string hex = sha256_hex(content);
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    const auto nibble = [&](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    bytes += static_cast<char>(nibble(hex[i]) * 16 + nibble(hex[i + 1]));
  }
  return "sha256-" + base64(bytes);
}

}  // namespace dlm
