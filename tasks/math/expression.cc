#include "tasks/math/expression.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "harness/base/text.h"

namespace dlm {
namespace {

constexpr int kMaxDepth = 100;

// Thrown and caught here: the text is not an expression.
class NotAnExpression {};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

class ExpressionReader {
 public:
  explicit ExpressionReader(std::string_view text) : text_(text) {}

  ExactValue run() {
    ExactValue value = sum();
    if (at_ != text_.size())
      throw NotAnExpression();
    return value;
  }

 private:
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  bool accept(std::string_view word) {
    if (!text_.substr(at_).starts_with(word))
      return false;
    // A command ends where its letters end: \pi is not the beginning of \pink.
    const std::size_t end = at_ + word.size();
    if (word.size() > 1 && word[0] == '\\' && end < text_.size() && is_letter(text_[end]))
      return false;
    at_ = end;
    return true;
  }

  void expect(char c) {
    if (peek() != c)
      throw NotAnExpression();
    ++at_;
  }

  ExactValue sum() {
    if (++depth_ > kMaxDepth)
      throw NotAnExpression();
    ExactValue value = product();
    while (peek() == '+' || peek() == '-') {
      const bool minus = text_[at_++] == '-';
      const ExactValue other = product();
      value = minus ? value - other : value + other;
    }
    --depth_;
    return value;
  }

  ExactValue product() {
    ExactValue value = signed_factor();
    while (true) {
      if (accept("\\cdot") || accept("\\times") || accept("*"))
        value = value * signed_factor();
      else if (accept("/") || accept("\\div"))
        value = value / signed_factor();
      else if (begins_factor())
        value = value * power();
      else
        return value;
    }
  }

  ExactValue signed_factor() {
    bool minus = false;
    while (peek() == '-' || peek() == '+') minus ^= text_[at_++] == '-';
    const ExactValue value = power();
    return minus ? ExactValue::number(-1) * value : value;
  }

  bool begins_factor() const {
    const std::string_view rest = text_.substr(at_);
    return peek() == '(' || peek() == '{' || is_letter(peek()) || is_digit(peek()) ||
           rest.starts_with("\\frac") || rest.starts_with("\\sqrt") || rest.starts_with("\\pi");
  }

  ExactValue power() {
    ExactValue value = atom();
    if (peek() == '!') {
      ++at_;
      value = factorial(value);
    }
    if (peek() == '^') {
      ++at_;
      value = value.power(argument());
    }
    return value;
  }

  static ExactValue factorial(const ExactValue& value) {
    const auto n = value.rational();
    if (!n || n->denominator != 1 || n->numerator < 0 || n->numerator > 30)
      throw NotAnExpression();
    ExactValue result = ExactValue::number(1);
    for (Wide i = 2; i <= n->numerator; ++i) result = result * ExactValue::number(i);
    return result;
  }

  // What follows \frac, \sqrt or ^: a group in braces or one character.
  ExactValue argument() {
    if (peek() == '{')
      return group('{', '}');
    if (is_digit(peek()))
      return ExactValue::number(text_[at_++] - '0');
    if (is_letter(peek()))
      return ExactValue::letter(std::string(1, text_[at_++]));
    if (accept("\\pi"))
      return ExactValue::letter("\\pi");
    throw NotAnExpression();
  }

  ExactValue group(char open, char close) {
    expect(open);
    ExactValue value = sum();
    expect(close);
    return value;
  }

  ExactValue atom() {
    if (is_digit(peek()) || peek() == '.')
      return number();
    if (peek() == '(')
      return group('(', ')');
    if (peek() == '{')
      return group('{', '}');
    if (accept("\\pi"))
      return ExactValue::letter("\\pi");
    if (text_.substr(at_).starts_with("\\frac"))
      return fraction();
    if (text_.substr(at_).starts_with("\\sqrt"))
      return root();
    if (is_letter(peek()))
      return letter();
    throw NotAnExpression();
  }

  ExactValue letter() {
    std::size_t end = at_;
    while (end < text_.size() && is_letter(text_[end])) ++end;
    if (end - at_ >= 3)
      throw NotAnExpression();  // a word
    ExactValue value = ExactValue::letter(std::string(1, text_[at_++]));
    if (peek() == '_')
      throw NotAnExpression();
    return value;
  }

  ExactValue fraction() {
    at_ += std::string_view("\\frac").size();
    const ExactValue top = argument();
    return top / argument();
  }

  ExactValue root() {
    at_ += std::string_view("\\sqrt").size();
    std::int64_t degree = 2;
    if (peek() == '[') {
      const std::size_t close = text_.find(']', at_);
      const auto given = close == std::string_view::npos
                             ? std::nullopt
                             : parse_int(text_.substr(at_ + 1, close - at_ - 1));
      if (!given || *given < 2)
        throw NotAnExpression();
      degree = *given;
      at_ = close + 1;
    }
    return argument().root(degree);
  }

  ExactValue number() {
    Wide value = 0;
    Wide scale = 1;
    bool any = false;
    bool point = false;
    for (; is_digit(peek()) || (peek() == '.' && !point); ++at_) {
      if (peek() == '.') {
        point = true;
        continue;
      }
      any = true;
      if (__builtin_mul_overflow(value, Wide{10}, &value) ||
          __builtin_add_overflow(value, static_cast<Wide>(peek() - '0'), &value))
        throw BeyondExact();
      if (point && __builtin_mul_overflow(scale, Wide{10}, &scale))
        throw BeyondExact();
    }
    if (!any || peek() == '_')  // 101_2 is a numeral of another base
      throw NotAnExpression();
    const ExactValue whole = ExactValue::number(value, scale);
    return point ? whole : mixed(whole);
  }

  // 2\frac{1}{3} is 2 + 1/3 where both parts of the fraction are whole numbers. Looked at before it
  // is read: a fraction that was read and given back would be read twice at every level of a nest.
  ExactValue mixed(const ExactValue& whole) {
    constexpr std::string_view kCommand = "\\frac";
    if (!text_.substr(at_).starts_with(kCommand))
      return whole;
    const std::size_t top = whole_argument_end(at_ + kCommand.size());
    const bool is_mixed =
        top != std::string_view::npos && whole_argument_end(top) != std::string_view::npos;
    return is_mixed ? whole + fraction() : whole;
  }

  // Where the argument that begins at `at` ends: a digit, or digits in one pair of braces or more;
  // npos for another argument.
  std::size_t whole_argument_end(std::size_t at) const {
    const std::size_t first = std::min(text_.find_first_not_of('{', at), text_.size());
    const std::size_t braces = first - at;
    std::size_t end = first;
    while (end < text_.size() && is_digit(text_[end])) ++end;
    if (end == first)
      return std::string_view::npos;
    if (braces == 0)
      return first + 1;
    const bool closed = text_.substr(end).substr(0, braces) == std::string(braces, '}');
    return closed ? end + braces : std::string_view::npos;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

std::optional<ExactValue> parse_expression(std::string_view text) {
  try {
    return ExpressionReader(text).run();
  } catch (const NotAnExpression&) {
    return std::nullopt;
  }
}

}  // namespace dlm
