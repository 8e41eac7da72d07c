#include "tasks/extractor.h"

#include <algorithm>
#include <map>
#include <utility>

#include "harness/base/error.h"
#include "harness/base/regex.h"
#include "harness/base/text.h"
#include "tasks/math/answer_text.h"
#include "tasks/word_sums.h"

namespace dlm {
namespace {

bool is_python_space(char32_t c) {
  return is_unicode_space(c) || (c >= 0x1C && c <= 0x1F);
}

// Of a match the first group that took part and is not empty, of a pattern without groups the
// whole.
std::string group_of(const RegexMatch& match) {
  if (match.size() == 1)
    return std::string(match.text());
  for (std::size_t group = 1; group < match.size(); ++group) {
    if (!match.text(group).empty())
      return std::string(match.text(group));
  }
  return "";
}

std::optional<std::string> regex_answer(const Regex& regex, const ExtractorForm& form,
                                        std::string_view text) {
  const std::vector<RegexMatch> matches = regex.find_all(text);
  if (matches.empty())
    return std::nullopt;
  const RegexMatch& match = form.choice == MatchChoice::kFirst ? matches.front() : matches.back();
  return std::string(strip_python_space(group_of(match)));
}

std::string between_dollars(std::string_view text) {
  const std::size_t first = text.find('$');
  const std::size_t last = text.rfind('$');
  if (first == last)  // none or one
    return std::string(text);
  return std::string(text.substr(first + 1, last - first - 1));
}

// The number that a text is (float() of Python), else the first or last it holds.
std::optional<std::string> number_in(std::string_view text, MatchChoice choice) {
  static const Regex pattern(R"(-?[0-9]+\.?[0-9]*)");
  const std::string_view stripped = strip_python_space(text);
  if (parse_double(stripped))
    return std::string(stripped);
  const auto matches = pattern.find_all(stripped);
  if (matches.empty())
    return std::nullopt;
  return std::string((choice == MatchChoice::kFirst ? matches.front() : matches.back()).text());
}

}  // namespace

struct Extractor::State {
  ExtractorForm form;
  std::optional<Regex> regex;
};

Extractor::Extractor(const ExtractorForm& form) {
  auto state = std::make_unique<State>();
  state->form = form;
  if (form.kind == ExtractorKind::kRegex)
    state->regex.emplace(form.pattern);
  state_ = std::move(state);
}

Extractor::Extractor(Extractor&&) noexcept = default;
Extractor::~Extractor() = default;

const ExtractorForm& Extractor::form() const {
  return state_->form;
}

std::optional<std::string> Extractor::find(std::string_view text) const {
  const ExtractorForm& form = state_->form;
  switch (form.kind) {
    case ExtractorKind::kRegex:
      if (form.append.empty())
        return regex_answer(*state_->regex, form, text);
      return regex_answer(*state_->regex, form, std::string(text) + form.append);
    case ExtractorKind::kBoxed:
      return boxed_answer(text);
    case ExtractorKind::kBoxedNumber:
      return boxed_number(text);
    case ExtractorKind::kBetweenDollars:
      return between_dollars(text);
    case ExtractorKind::kWorkedSums:
      return worked_sum_result(text);
    case ExtractorKind::kSanitised:
      return std::string(text);  // cut to its program by those who run it
  }
  DLM_CHECK(false, "no such extractor");
  return std::nullopt;
}

// By hand and not by a regular expression: the time stays proportional to the text's length
// whatever a model repeats.
std::optional<std::string> boxed_number(std::string_view text) {
  constexpr std::string_view kBoxed = "\\boxed{";
  std::size_t end = 0;  // the first "}" or line end behind `at`
  for (std::size_t at = text.find(kBoxed); at != std::string_view::npos;
       at = text.find(kBoxed, at)) {
    at += kBoxed.size();
    if (end < at)
      end = std::min(text.find_first_of("}\n", at), text.size());
    if (end == text.size())
      break;
    if (text[end] != '}')
      continue;
    if (auto number = number_in(text.substr(at, end - at), MatchChoice::kFirst))
      return number;
    at = end;
  }
  constexpr std::string_view kOpen = "<answer>";
  const std::size_t open = text.find(kOpen);
  if (open == std::string_view::npos)
    return std::nullopt;
  const std::size_t begin = open + kOpen.size();
  const std::size_t close = text.find("</answer>", begin);
  return close == std::string_view::npos
             ? std::nullopt
             : number_in(text.substr(begin, close - begin), MatchChoice::kLast);
}

std::string_view cut_at_stops(std::string_view text, const std::vector<std::string>& stops) {
  for (const std::string& stop : stops) {
    if (!stop.empty())
      text = text.substr(0, text.find(stop));
  }
  return text;
}

std::string majority_answer(const std::vector<std::string>& answers) {
  std::map<std::string_view, std::int64_t> votes;
  for (const std::string& answer : answers) ++votes[answer];
  std::int64_t most = 0;
  for (const auto& [answer, n] : votes) most = std::max(most, n);
  for (const std::string& answer : answers) {
    if (votes[answer] == most)
      return answer;
  }
  return "";
}

std::string_view strip_python_space(std::string_view text) {
  std::size_t begin = 0;
  while (begin < text.size()) {
    const CodePoint point = decode_utf8(text, begin);
    if (!is_python_space(point.value))
      break;
    begin += point.bytes;
  }
  std::size_t end = begin;
  for (std::size_t at = begin; at < text.size();) {
    const CodePoint point = decode_utf8(text, at);
    at += point.bytes;
    if (!is_python_space(point.value))
      end = at;
  }
  return text.substr(begin, end - begin);
}

}  // namespace dlm
