#include "tasks/judge.h"

#include <optional>
#include <utility>
#include <vector>

#include <utf8proc.h>

#include "harness/base/error.h"
#include "harness/base/regex.h"
#include "harness/base/text.h"
#include "tasks/extractor.h"
#include "tasks/math/answer_text.h"
#include "tasks/math/math_equal.h"

namespace dlm {
namespace {

// The longest answer of MATH has 159 bytes; some expressions of the normal forms take time that
// grows with the square of the length.
constexpr std::size_t kMostMathBytes = 2000;

std::string lower_case(std::string_view text) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = decode_utf8(text, at);
    append_utf8(result, static_cast<char32_t>(
                            utf8proc_tolower(static_cast<utf8proc_int32_t>(point.value))));
    at += point.bytes;
  }
  return result;
}

// The number of an answer or a reference; a solution's is what follows its last "#### ".
std::optional<double> number_of(std::string_view text) {
  constexpr std::string_view kMark = "#### ";
  if (const std::size_t mark = text.rfind(kMark); mark != std::string_view::npos)
    text = text.substr(mark + kMark.size());
  std::string digits(strip_python_space(text));
  std::erase(digits, ',');
  return parse_double(digits);
}

}  // namespace

struct Judge::State {
  std::vector<Regex> ignored;
};

Judge::Judge(const TaskDefinition& task) {
  auto state = std::make_unique<State>();
  for (const std::string& pattern : task.ignored) state->ignored.emplace_back(pattern);
  state_ = std::move(state);
}

Judge::Judge(Judge&&) noexcept = default;
Judge::~Judge() = default;

bool Judge::correct(JudgeKind kind, std::string_view answer, std::string_view reference) const {
  const auto plain = [&](std::string_view side) {
    std::string text(side);
    for (const Regex& pattern : state_->ignored) text = pattern.replace_all(text, "");
    return lower_case(text);
  };
  switch (kind) {
    case JudgeKind::kText:
      return plain(answer) == plain(reference);
    case JudgeKind::kNumber: {
      const auto left = number_of(answer);
      const auto right = number_of(reference);
      return left && right && *left == *right;
    }
    case JudgeKind::kMath:
      return answer.size() <= kMostMathBytes &&
             math_equal(answer_for_math_equal(answer), answer_for_math_equal(reference));
    case JudgeKind::kHendrycks:
      return answer.size() <= kMostMathBytes && hendrycks_equal(answer, reference);
    case JudgeKind::kExecution:
      break;
  }
  throw ConfigError("judge", "execution", "a program's tests decide; its answer has no judge");
}

std::string Judge::description(JudgeKind kind) {
  if (kind == JudgeKind::kHendrycks)
    return "normal form";
  return kind == JudgeKind::kMath ? kMathJudge : judge_name(kind);
}

}  // namespace dlm
