#include "tasks/math/math_equal.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "harness/base/regex.h"
#include "tasks/math/exact_value.h"
#include "tasks/math/expression.h"

namespace dlm {
namespace {

constexpr int kMaxDepth = 20;

struct Rule {
  Regex pattern;
  const char* replacement;
};

// Spacing and other marks that carry no meaning.
std::string cleaned(std::string_view answer) {
  static const std::vector<Rule> rules = [] {
    std::vector<Rule> made;
    const auto add = [&](const char* pattern, const char* replacement) {
      made.push_back({Regex(pattern), replacement});
    };
    add(R"(\\(left|right)(?![A-Za-z]))", "");
    add(R"((?<!\\)\\[,;:! ]|\\quad|~|\s+)", "");
    add(R"(\{,\})", ",");
    add(R"(\\[dt]frac)", R"(\\frac)");
    add(R"(\^\{?\\circ\}?|\\%|%|\$)", "");
    add(R"(\\(?:text|mathrm|mathbf|textbf|mbox)\{([^{}]*)\})", R"(\1)");
    add(R"(([_^])\{([A-Za-z0-9])\})", R"(\1\2)");
    add(R"(\.$)", "");
    return made;
  }();
  std::string text(answer);
  for (const Rule& rule : rules) text = rule.pattern.replace_all(text, rule.replacement);
  // "x=5" names what 5 is; an equation of more than a name on its left is kept whole.
  static const Regex named(R"([A-Za-z](_?\w|\([A-Za-z]\))?=([^=]*))");
  if (named.matches_whole(text))
    text.erase(0, text.find('=') + 1);
  static const Regex thousands(R"(-?\d{1,3}(,\d{3})+(\.\d+)?)");
  if (thousands.matches_whole(text))
    std::erase(text, ',');
  return text;
}

// Where the bracket that opens at 0 is closed, or npos.
std::size_t end_of_bracket(std::string_view text) {
  int depth = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (std::string_view("([{").find(text[i]) != std::string_view::npos)
      ++depth;
    if (std::string_view(")]}").find(text[i]) != std::string_view::npos && --depth == 0)
      return i;
  }
  return std::string_view::npos;
}

std::vector<std::string_view> top_level_parts(std::string_view text, std::string_view separator) {
  std::vector<std::string_view> parts;
  int depth = 0;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (std::string_view("([{").find(text[i]) != std::string_view::npos)
      ++depth;
    if (std::string_view(")]}").find(text[i]) != std::string_view::npos)
      --depth;
    if (depth == 0 && text.substr(i).starts_with(separator)) {
      parts.push_back(text.substr(begin, i - begin));
      i += separator.size() - 1;
      begin = i + 1;
    }
  }
  parts.push_back(text.substr(begin));
  return parts;
}

// An answer of several parts: "(a,b]" has brackets "(" and "]"; a list without brackets has none.
struct Group {
  std::string open, close;
  std::vector<std::string_view> parts;
  bool ordered = true;
};

std::optional<Group> bracketed(std::string_view text) {
  const bool set = text.starts_with("\\{") && text.ends_with("\\}") && text.size() >= 4;
  if (set)
    return Group{"{", "}", top_level_parts(text.substr(2, text.size() - 4), ","), false};
  if (text.empty() || (text[0] != '(' && text[0] != '[') || end_of_bracket(text) != text.size() - 1)
    return std::nullopt;
  auto parts = top_level_parts(text.substr(1, text.size() - 2), ",");
  if (parts.size() < 2)
    return std::nullopt;
  return Group{std::string(text.substr(0, 1)), std::string(text.substr(text.size() - 1)),
               std::move(parts)};
}

std::optional<Group> matrix(std::string_view text) {
  constexpr std::string_view kBegin = "\\begin{pmatrix}";
  constexpr std::string_view kEnd = "\\end{pmatrix}";
  if (!text.starts_with(kBegin) || !text.ends_with(kEnd) ||
      text.size() < kBegin.size() + kEnd.size())
    return std::nullopt;
  const std::string_view inner =
      text.substr(kBegin.size(), text.size() - kBegin.size() - kEnd.size());
  Group group;
  for (std::string_view row : top_level_parts(inner, "\\\\")) {
    const auto cells = top_level_parts(row, "&");
    group.open += std::to_string(cells.size()) + ",";  // the shape
    group.parts.insert(group.parts.end(), cells.begin(), cells.end());
  }
  return group;
}

std::optional<Group> group_of(std::string_view text) {
  if (auto group = matrix(text))
    return group;
  if (auto parts = top_level_parts(text, "="); parts.size() > 1)
    return Group{"=", "", std::move(parts)};
  if (auto parts = top_level_parts(text, "\\cup"); parts.size() > 1)
    return Group{"\\cup", "", std::move(parts)};
  if (auto group = bracketed(text))
    return group;
  if (auto parts = top_level_parts(text, ","); parts.size() > 1)
    return Group{"", "", std::move(parts), false};
  return std::nullopt;
}

bool equal_texts(std::string_view a, std::string_view b, int depth);

// Every part of `a` has a partner in `b`, none twice.
bool equal_in_any_order(const Group& a, const Group& b, int depth) {
  std::vector<bool> used(b.parts.size());
  for (const std::string_view part : a.parts) {
    bool found = false;
    for (std::size_t i = 0; i < b.parts.size() && !found; ++i) {
      if (!used[i] && equal_texts(part, b.parts[i], depth))
        used[i] = found = true;
    }
    if (!found)
      return false;
  }
  return true;
}

bool equal_groups(const Group& a, const Group& b, int depth) {
  if (a.open != b.open || a.close != b.close || a.parts.size() != b.parts.size())
    return false;
  if (!a.ordered)
    return equal_in_any_order(a, b, depth);
  for (std::size_t i = 0; i < a.parts.size(); ++i) {
    if (!equal_texts(a.parts[i], b.parts[i], depth))
      return false;
  }
  return true;
}

bool equal_values(std::string_view a, std::string_view b) {
  try {
    const auto left = parse_expression(a);
    const auto right = left ? parse_expression(b) : std::nullopt;
    return left && right && left->equals(*right);
  } catch (const BeyondExact&) {
    return false;
  }
}

bool equal_texts(std::string_view a, std::string_view b, int depth) {
  if (a == b)
    return !a.empty();
  if (a.empty() || b.empty() || depth > kMaxDepth)
    return false;
  const auto left = group_of(a);
  const auto right = group_of(b);
  if (left || right)
    return left && right && equal_groups(*left, *right, depth + 1);
  return equal_values(a, b);
}

}  // namespace

bool math_equal(std::string_view a, std::string_view b) {
  return equal_texts(cleaned(a), cleaned(b), 0);
}

}  // namespace dlm
