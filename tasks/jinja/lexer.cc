#include "tasks/jinja/lexer.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "harness/base/text.h"
#include "tasks/jinja/syntax.h"

namespace dlm::jinja {
namespace {

constexpr std::string_view kSpace = " \t\n\r\f\v";

bool is_space(char c) {
  return kSpace.find(c) != std::string_view::npos;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool begins_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

class PieceCutter {
 public:
  PieceCutter(std::string_view source, std::string_view name, TrimBlocks trim)
      : source_(source), name_(name), trim_(trim) {}

  std::vector<Piece> run() {
    while (at_ < source_.size()) {
      const std::size_t open = next_tag();
      if (open == std::string_view::npos) {
        add_text(source_.substr(at_));
        break;
      }
      text_before(open);
      tag(open);
    }
    return std::move(pieces_);
  }

 private:
  std::size_t next_tag() const {
    std::size_t open = source_.find('{', at_);
    while (open != std::string_view::npos) {
      if (open + 1 < source_.size() &&
          std::string_view("{%#").find(source_[open + 1]) != std::string_view::npos)
        return open;
      open = source_.find('{', open + 1);
    }
    return open;
  }

  void text_before(std::size_t open) {
    std::string_view text = source_.substr(at_, open - at_);
    const char mark = open + 2 < source_.size() ? source_[open + 2] : ' ';
    if (mark == '-') {
      const std::size_t last = text.find_last_not_of(kSpace);
      text = last == std::string_view::npos ? std::string_view() : text.substr(0, last + 1);
    } else if (trim_ == TrimBlocks::kYes && source_[open + 1] != '{' && mark != '+') {
      text = without_indent(text);
    }
    add_text(text);
  }

  // lstrip_blocks: blanks between the start of a line and a block tag are not printed.
  std::string_view without_indent(std::string_view text) const {
    const std::size_t last = text.find_last_not_of(" \t");
    if (last == std::string_view::npos)
      return at_ == 0 || source_[at_ - 1] == '\n' ? std::string_view() : text;
    return text[last] == '\n' ? text.substr(0, last + 1) : text;
  }

  void add_text(std::string_view text) {
    if (!text.empty())
      pieces_.push_back({PieceKind::kText, std::string(text), line_of(at_)});
  }

  void tag(std::size_t open) {
    const char kind = source_[open + 1];
    const std::string_view closing = kind == '{' ? "}}" : kind == '%' ? "%}" : "#}";
    std::size_t begin = open + 2;
    if (begin < source_.size() && (source_[begin] == '-' || source_[begin] == '+'))
      ++begin;
    const std::size_t close = find_close(begin, kind, closing);
    if (close == std::string_view::npos)
      throw template_error(name_, line_of(open), fmt::format("'{}' is missing", closing));
    std::size_t end = close;
    char mark = ' ';
    if (end > begin && (source_[end - 1] == '-' || source_[end - 1] == '+'))
      mark = source_[--end];
    if (kind != '#') {
      pieces_.push_back({kind == '{' ? PieceKind::kOutput : PieceKind::kBlock,
                         std::string(source_.substr(begin, end - begin)), line_of(open)});
    }
    at_ = close + 2;
    if (mark == '-') {
      at_ = std::min(source_.find_first_not_of(kSpace, at_), source_.size());
    } else if (trim_ == TrimBlocks::kYes && kind != '{' && mark != '+' && at_ < source_.size() &&
               source_[at_] == '\n') {
      ++at_;
    }
  }

  // The end of the tag; one that stands in a string literal does not count.
  std::size_t find_close(std::size_t begin, char kind, std::string_view closing) const {
    if (kind == '#')
      return source_.find(closing, begin);
    char quote = '\0';
    for (std::size_t i = begin; i + 1 < source_.size(); ++i) {
      const char c = source_[i];
      if (quote != '\0') {
        if (c == '\\')
          ++i;
        else if (c == quote)
          quote = '\0';
      } else if (c == '\'' || c == '"') {
        quote = c;
      } else if (source_.substr(i, 2) == closing) {
        return i;
      }
    }
    return std::string_view::npos;
  }

  std::size_t line_of(std::size_t offset) const {
    return 1 + static_cast<std::size_t>(std::count(
                   source_.begin(), source_.begin() + static_cast<std::ptrdiff_t>(offset), '\n'));
  }

  std::string_view source_, name_;
  TrimBlocks trim_;
  std::size_t at_ = 0;
  std::vector<Piece> pieces_;
};

char unescaped(char c) {
  switch (c) {
    case 'n':
      return '\n';
    case 't':
      return '\t';
    case 'r':
      return '\r';
    default:
      return c;
  }
}

class WordCutter {
 public:
  WordCutter(const Piece& tag, std::string_view name) : text_(tag.text), tag_(tag), name_(name) {}

  std::vector<Word> run() {
    while (true) {
      while (at_ < text_.size() && is_space(text_[at_])) ++at_;
      if (at_ == text_.size())
        break;
      words_.push_back(next());
    }
    words_.push_back({WordKind::kEnd, "the end of the tag"});
    return std::move(words_);
  }

 private:
  Word next() {
    const char c = text_[at_];
    if (begins_name(c))
      return {WordKind::kName, take([](char d) { return begins_name(d) || is_digit(d); })};
    if (is_digit(c))
      return number();
    if (c == '\'' || c == '"')
      return string(c);
    static constexpr std::array<std::string_view, 6> kPairs{"==", "!=", "<=", ">=", "//", "**"};
    for (const std::string_view pair : kPairs) {
      if (text_.substr(at_, 2) == pair) {
        at_ += 2;
        return {WordKind::kSign, std::string(pair)};
      }
    }
    if (std::string_view("+-*/%~<>=()[]{}.,:|").find(c) == std::string_view::npos)
      throw template_error(name_, tag_.line, fmt::format("'{}' has no meaning here", c));
    ++at_;
    return {WordKind::kSign, std::string(1, c)};
  }

  template <class Predicate>
  std::string take(Predicate belongs) {
    const std::size_t begin = at_;
    while (at_ < text_.size() && belongs(text_[at_])) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }

  Word number() {
    std::string digits = take(is_digit);
    if (at_ + 1 < text_.size() && text_[at_] == '.' && is_digit(text_[at_ + 1])) {
      ++at_;
      digits += '.' + take(is_digit);
      return {WordKind::kReal, std::move(digits)};
    }
    return {WordKind::kInteger, std::move(digits)};
  }

  Word string(char quote) {
    std::string value;
    for (++at_; at_ < text_.size() && text_[at_] != quote; ++at_) {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) {
        const char c = text_[++at_];
        if (std::string_view("ntr\\'\"").find(c) == std::string_view::npos)
          throw template_error(name_, tag_.line, fmt::format("escape \\{} is not supported", c));
        value += unescaped(c);
      } else {
        value += text_[at_];
      }
    }
    if (at_ >= text_.size())
      throw template_error(name_, tag_.line, "a string without its end");
    ++at_;
    return {WordKind::kString, std::move(value)};
  }

  std::string_view text_;
  const Piece& tag_;
  std::string_view name_;
  std::size_t at_ = 0;
  std::vector<Word> words_;
};

}  // namespace

std::vector<Piece> cut_pieces(std::string_view source, std::string_view name, TrimBlocks trim) {
  return PieceCutter(source, name, trim).run();
}

std::vector<Word> cut_words(const Piece& tag, std::string_view name) {
  return WordCutter(tag, name).run();
}

}  // namespace dlm::jinja
