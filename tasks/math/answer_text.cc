#include "tasks/math/answer_text.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "harness/base/regex.h"
#include "harness/base/text.h"

namespace dlm {
namespace {

using namespace std::string_view_literals;

std::vector<std::string_view> parts_between(std::string_view text, std::string_view separator) {
  std::vector<std::string_view> parts;
  std::size_t at = 0;
  for (std::size_t hit = text.find(separator); hit != std::string_view::npos;
       hit = text.find(separator, at)) {
    parts.push_back(text.substr(at, hit - at));
    at = hit + separator.size();
  }
  parts.push_back(text.substr(at));
  return parts;
}

// The first character; `text` is not empty.
std::string_view first_character(std::string_view text) {
  return text.substr(0, decode_utf8(text, 0).bytes);
}

bool all_digits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kSubstitutions{
    {{"an ", ""},
     {"a ", ""},
     {".$", "$"},
     {"\\$", ""},
     {"\\ ", ""},
     {" ", ""},
     {"mbox", "text"},
     {",\\text{and}", ","},
     {"\\text{and}", ","},
     {"\\text{m}", "\\text{}"}}};

constexpr std::array kDeletions{"square"sv,       "ways"sv,
                                "integers"sv,     "dollars"sv,
                                "mph"sv,          "inches"sv,
                                "ft"sv,           "hours"sv,
                                "km"sv,           "units"sv,
                                "\\ldots"sv,      "sue"sv,
                                "points"sv,       "feet"sv,
                                "minutes"sv,      "digits"sv,
                                "cents"sv,        "degrees"sv,
                                "cm"sv,           "gm"sv,
                                "pounds"sv,       "meters"sv,
                                "meals"sv,        "edges"sv,
                                "students"sv,     "childrentickets"sv,
                                "multiples"sv,    "\\text{s}"sv,
                                "\\text{.}"sv,    "\\text{\ns}"sv,
                                "\\text{}^2"sv,   "\\text{}^3"sv,
                                "\\text{\n}"sv,   "\\text{}"sv,
                                "\\mathrm{th}"sv, "^\\circ"sv,
                                "^{\\circ}"sv,    "\\;"sv,
                                ",\\!"sv,         "{,}"sv,
                                "\""sv,           "\\dots"sv};

struct Rule {
  Regex pattern;
  const char* replacement;
};

const std::array<Rule, 7>& minerva_rules() {
  static const std::array<Rule, 7> rules{{{Regex(R"((.*?)(\$)(.*?)(\$)(.*))"), R"($\3$)"},
                                          {Regex(R"((\\text\{)(.*?)(\}))"), R"(\2)"},
                                          {Regex(R"((\\textbf\{)(.*?)(\}))"), R"(\2)"},
                                          {Regex(R"((\\overline\{)(.*?)(\}))"), R"(\2)"},
                                          {Regex(R"((\\boxed\{)(.*)(\}))"), R"(\2)"},
                                          {Regex(R"((frac)([^{])(.))"), R"(frac{\2}{\3})"},
                                          {Regex(R"((sqrt)([^{]))"), R"(sqrt{\2})"}}};
  return rules;
}

// The steps of the minerva normal form between the first, which drops all before the last "=", and
// the last, which joins digits across commas.
std::string without_units(std::string_view answer) {
  std::string text(answer);
  for (const auto& [from, to] : kSubstitutions) text = replaced(text, from, to);
  for (const std::string_view deleted : kDeletions) text = replaced(text, deleted, "");
  for (const Rule& rule : minerva_rules()) text = rule.pattern.replace_all(text, rule.replacement);
  return replaced(text, "$", "");
}

// \frac1b -> \frac{1}{b}; nothing where the published code fails.
std::optional<std::string> with_braced_fractions(const std::string& text) {
  const auto parts = parts_between(text, "\\frac");
  std::string result(parts[0]);
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const std::string_view part = parts[i];
    if (part.empty())
      return std::nullopt;
    result += "\\frac";
    if (part[0] == '{') {
      result += part;
      continue;
    }
    const std::string_view a = first_character(part);
    if (a.size() == part.size())
      return text;  // one character alone: the published code gives up and keeps the text
    const std::string_view b = first_character(part.substr(a.size()));
    const std::string_view rest = part.substr(a.size() + b.size());
    result += b == "{" ? fmt::format("{{{}}}{}{}", a, b, rest)
                       : fmt::format("{{{}}}{{{}}}{}", a, b, rest);
  }
  return result;
}

std::optional<std::string> with_braced_roots(const std::string& text) {
  const auto parts = parts_between(text, "\\sqrt");
  std::string result(parts[0]);
  for (std::size_t i = 1; i < parts.size(); ++i) {
    if (parts[i].empty())
      return std::nullopt;
    const std::string_view a = first_character(parts[i]);
    result += a == "{" ? fmt::format("\\sqrt{}", parts[i])
                       : fmt::format("\\sqrt{{{}}}{}", a, parts[i].substr(a.size()));
  }
  return result;
}

// What int(text) of Python takes, signs and underscores between digits included.
bool is_python_integer(std::string_view text) {
  static const Regex pattern(R"(\s*[+-]?[0-9]+(_[0-9]+)*\s*)");
  return pattern.matches_whole(text);
}

// Whether str(int(text)) is the text.
bool is_plain_integer(std::string_view text) {
  const std::string_view digits = text.starts_with('-') ? text.substr(1) : text;
  return all_digits(digits) && (digits[0] != '0' || text == "0");
}

std::optional<std::string> with_fraction_for_slash(const std::string& text) {
  const auto parts = parts_between(text, "/");
  if (parts.size() != 2)
    return text;
  if (!is_python_integer(parts[0]) || !is_python_integer(parts[1]))
    return std::nullopt;
  if (!is_plain_integer(parts[0]) || !is_plain_integer(parts[1]))
    return text;
  return fmt::format("\\frac{{{}}}{{{}}}", parts[0], parts[1]);
}

std::string without_short_left_side(const std::string& text) {
  const auto parts = parts_between(text, "=");
  const auto characters = [](std::string_view part) {
    return std::count_if(part.begin(), part.end(),
                         [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; });
  };
  return parts.size() == 2 && characters(parts[0]) <= 2 ? std::string(parts[1]) : text;
}

}  // namespace

std::optional<std::string> boxed_answer(std::string_view text) {
  constexpr std::string_view kSpaced = "\\boxed ";
  if (const std::size_t spaced = text.rfind(kSpaced); spaced != std::string_view::npos) {
    const std::string_view rest = text.substr(spaced + kSpaced.size());
    return std::string(rest.substr(0, rest.find('$')));
  }
  std::size_t begin = text.rfind("\\boxed");
  if (begin == std::string_view::npos)
    begin = text.rfind("\\fbox");
  if (begin == std::string_view::npos)
    return std::nullopt;
  std::size_t open = std::string_view::npos;
  int depth = 0;
  for (std::size_t i = begin; i < text.size(); ++i) {
    if (text[i] == '{') {
      open = depth++ == 0 && open == std::string_view::npos ? i : open;
    } else if (text[i] == '}' && --depth == 0) {
      return std::string(text.substr(open + 1, i - open - 1));
    }
  }
  return std::nullopt;
}

std::string minerva_normal_form(std::string_view answer) {
  const std::size_t equals = answer.rfind('=');
  const std::string text =
      without_units(equals == std::string_view::npos ? answer : answer.substr(equals + 1));
  if (std::string joined = replaced(text, ",", ""); all_digits(joined))
    return joined;
  return text;
}

std::string answer_for_math_equal(std::string_view answer) {
  std::string text;
  for (const std::string_view side : parts_between(answer, "="))
    text += (text.empty() ? "" : "=") + without_units(side);
  return text;
}

std::optional<std::string> hendrycks_normal_form(std::string_view answer) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kFirst{
      {{"\n", ""},
       {"\\!", ""},
       {"\\\\", "\\"},
       {"tfrac", "frac"},
       {"dfrac", "frac"},
       {"\\left", ""},
       {"\\right", ""},
       {"^{\\circ}", ""},
       {"^\\circ", ""},
       {"\\$", ""}}};
  std::string text(answer);
  for (const auto& [from, to] : kFirst) text = replaced(text, from, to);
  const auto units = parts_between(text, "\\text{ ");
  if (units.size() > 2)
    return std::nullopt;
  text = replaced(units[0], "\\%", "");
  text = replaced(replaced(text, " .", " 0."), "{.", "{0.");
  if (text.empty())
    return text;
  if (text[0] == '.')
    text.insert(0, "0");
  const auto rooted = with_braced_roots(without_short_left_side(text));
  if (!rooted)
    return std::nullopt;
  auto fractions = with_braced_fractions(replaced(*rooted, " ", ""));
  if (!fractions)
    return std::nullopt;
  if (*fractions == "0.5")
    fractions = "\\frac{1}{2}";
  return with_fraction_for_slash(*fractions);
}

bool hendrycks_equal(std::string_view a, std::string_view b) {
  const auto first = hendrycks_normal_form(a);
  const auto second = hendrycks_normal_form(b);
  return first && second ? *first == *second : a == b;
}

}  // namespace dlm
