#include "models/tokenizer/oniguruma.h"

#include <optional>

#include "harness/base/error.h"
#include "models/tokenizer/unicode_tables.h"

namespace dlm {
namespace {

// Letters that may follow a backslash and mean the same in both.
constexpr std::string_view kSameEscapes = "dDAzZGnrtfaexRXk123456789";
constexpr std::string_view kSameInClass = "dDnrtfaex";

// \w of Oniguruma: below U+0100 it counts the superscripts and fractions too.
constexpr std::string_view kOnigurumaWord =
    R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE})";

class Translator {
 public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

  std::string run() {
    while (at_ < in_.size()) {
      if (in_[at_] == '\\') {
        escape();
      } else if (in_[at_] == '[') {
        character_class();
      } else if (in_.substr(at_, 2) == "(?") {
        group();
      } else if (in_[at_] == '{') {
        interval();
      } else {
        out_.push_back(in_[at_++]);
      }
    }
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    throw ConfigError("regular expression", in_, fmt::format("{} is not supported", what));
  }

  char escaped_char() const {
    if (at_ + 1 >= in_.size())
      refuse("a lone backslash");
    return in_[at_ + 1];
  }

  void emit(std::string_view text, std::size_t consumed) {
    out_.append(text);
    at_ += consumed;
  }

  void escape() {
    const char c = escaped_char();
    const std::string word = fmt::format("[{}]", kOnigurumaWord);
    if (common_escape(c, true))
      return;
    if (c == 'w') {
      emit(word, 2);
    } else if (c == 'W') {
      emit(fmt::format("[^{}]", kOnigurumaWord), 2);
    } else if (c == 'b') {
      emit(fmt::format("(?:(?<={0})(?!{0})|(?<!{0})(?={0}))", word), 2);
    } else if (c == 'B') {
      emit(fmt::format("(?:(?<={0})(?={0})|(?<!{0})(?!{0}))", word), 2);
    } else if (c == 'h') {
      emit("[0-9A-Fa-f]", 2);
    } else if (c == 'H') {
      emit("[^0-9A-Fa-f]", 2);
    } else if (is_alnum(c) && kSameEscapes.find(c) == std::string_view::npos) {
      refuse(fmt::format("\\{}", c));
    } else {
      emit(in_.substr(at_, 2), 2);
    }
  }

  // Escapes with one translation inside and outside of classes.
  bool common_escape(char c, bool outside) {
    if (c == 's' || c == 'S') {
      emit(c == 's' ? "\\p{White_Space}" : "\\P{White_Space}", 2);
    } else if (c == 'p' || c == 'P') {
      property();
    } else if (c == 'v') {
      emit("\\x0B", 2);
    } else if (c == 'u') {
      if (at_ + 6 > in_.size())
        refuse("\\u without four digits");
      emit(fmt::format("\\x{{{}}}", in_.substr(at_ + 2, 4)), 6);
    } else if (c == '0') {
      refuse(outside ? "\\0" : "\\0 in a class");
    } else {
      return false;
    }
    return true;
  }

  // PCRE2's \p{Han} takes script extensions in, Oniguruma's is the script alone.
  void property() {
    const auto close = in_.find('}', at_);
    if (at_ + 2 >= in_.size() || in_[at_ + 2] != '{' || close == std::string_view::npos) {
      emit(in_.substr(at_, 2), 2);
      return;
    }
    std::string_view name = in_.substr(at_ + 3, close - at_ - 3);
    const bool inverted = name.starts_with('^');
    if (inverted)
      name.remove_prefix(1);
    const char sign = (in_[at_ + 1] == 'P') != inverted ? 'P' : 'p';
    const std::string script = fmt::format("\\{}{{sc:{}}}", sign, name);
    emit(is_script(name) ? script : fmt::format("\\{}{{{}}}", sign, name), close + 1 - at_);
  }

  static bool is_script(std::string_view name) {
    if (name.size() <= 2)
      return false;
    try {
      Regex(fmt::format("\\p{{sc:{}}}", name));
      return true;
    } catch (const ConfigError&) {
      return false;
    }
  }

  void character_class() {
    emit("[", 1);
    if (at_ < in_.size() && in_[at_] == '^')
      emit("^", 1);
    if (at_ < in_.size() && in_[at_] == ']')
      refuse("']' at the start of a class");
    while (at_ < in_.size() && in_[at_] != ']') {
      if (in_.substr(at_, 2) == "&&")
        refuse("the set operation && in a class");
      if (in_[at_] == '[') {
        bracket_in_class();
      } else if (in_[at_] == '\\') {
        escape_in_class();
      } else {
        out_.push_back(in_[at_++]);
      }
    }
    if (at_ == in_.size())
      refuse("a class without an end");
    emit("]", 1);
  }

  void bracket_in_class() {
    if (in_.substr(at_, 9) == "[:space:]") {
      emit("\\p{White_Space}", 9);
    } else if (in_.substr(at_, 9) == "[:alpha:]") {
      emit("\\p{Alphabetic}", 9);
    } else if (in_.substr(at_, 9) == "[:digit:]") {
      emit("\\p{Nd}", 9);
    } else {
      refuse("'[' in a class");
    }
  }

  void escape_in_class() {
    const char c = escaped_char();
    if (common_escape(c, false))
      return;
    if (c == 'w') {
      emit(kOnigurumaWord, 2);
    } else if (c == 'h') {
      emit("0-9A-Fa-f", 2);
    } else if (c == 'b') {
      emit("\\x08", 2);
    } else if (is_alnum(c) && kSameInClass.find(c) == std::string_view::npos) {
      refuse(fmt::format("\\{} in a class", c));
    } else {
      emit(in_.substr(at_, 2), 2);
    }
  }

  // (?imx-imx) and (?imx-imx:...): m is "." matching line ends, which PCRE2 calls s.
  void group() {
    emit("(?", 2);
    if (at_ < in_.size() && in_[at_] == '~')
      refuse("(?~");
    std::size_t end = at_;
    while (end < in_.size() && std::string_view("imx-").find(in_[end]) != std::string_view::npos)
      ++end;
    if (end == at_ || end >= in_.size() || (in_[end] != ':' && in_[end] != ')'))
      return;
    for (; at_ < end; ++at_) out_.push_back(in_[at_] == 'm' ? 's' : in_[at_]);
  }

  // X{n,m}+ repeats X{n,m} in Oniguruma, it is possessive in PCRE2. With n <= 1 it is X{n,}.
  void interval() {
    const auto close = in_.find('}', at_);
    if (close == std::string_view::npos || close + 1 >= in_.size() || in_[close + 1] != '+') {
      out_.push_back(in_[at_++]);
      return;
    }
    const std::string_view body = in_.substr(at_ + 1, close - at_ - 1);
    const std::string_view least = body.substr(0, body.find(','));
    if (body.find(',') == std::string_view::npos ||
        (least != "0" && least != "1" && !least.empty()))
      refuse("an interval with + after it");
    emit(least == "1" ? "{1,}" : "{0,}", close + 2 - at_);
  }

  static bool is_alnum(char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
  }

  std::string_view in_;
  std::size_t at_ = 0;
  std::string out_;
};

}  // namespace

std::string rust_word_class() {
  return std::string(R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})") + kLaterWordCharacters;
}

std::string translate_oniguruma(std::string_view pattern) {
  return Translator(pattern).run();
}

Regex compile_oniguruma(std::string_view pattern) {
  // In Oniguruma ^ and $ always belong to lines.
  return Regex(translate_oniguruma(pattern), {.multi_line = true, .match_limit = UINT32_MAX});
}

}  // namespace dlm
