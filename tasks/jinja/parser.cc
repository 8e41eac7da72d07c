#include "tasks/jinja/parser.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "harness/base/text.h"

namespace dlm::jinja {
namespace {

constexpr int kMaxDepth = 100;
constexpr int kMostParts =
    1000;  // of one tag; a chain of operators is as deep a tree as it is long

bool is_sign(const Word& word, std::string_view sign) {
  return word.kind == WordKind::kSign && word.text == sign;
}

bool is_name(const Word& word, std::string_view name) {
  return word.kind == WordKind::kName && word.text == name;
}

// Parses the expression of one tag, by the precedence of Jinja (loosest first): ternary, or, and,
// not, comparison, + -, ~, * / // %, unary; members, calls, filters and tests bind tightest.
class ExpressionParser {
 public:
  ExpressionParser(const Piece& tag, std::string_view name)
      : words_(cut_words(tag, name)), line_(tag.line), name_(name) {}

  const Word& peek(std::size_t ahead = 0) const {
    return words_[std::min(at_ + ahead, words_.size() - 1)];
  }

  Word take() {
    Word word = peek();
    if (at_ + 1 < words_.size())
      ++at_;
    return word;
  }

  bool accept_sign(std::string_view sign) {
    if (!is_sign(peek(), sign))
      return false;
    take();
    return true;
  }

  bool accept_name(std::string_view name) {
    if (!is_name(peek(), name))
      return false;
    take();
    return true;
  }

  void expect_sign(std::string_view sign) {
    if (!accept_sign(sign))
      fail(fmt::format("expected '{}' and not '{}'", sign, peek().text));
  }

  std::string expect_name() {
    if (peek().kind != WordKind::kName)
      fail(fmt::format("expected a name and not '{}'", peek().text));
    return take().text;
  }

  void expect_end() const {
    if (peek().kind != WordKind::kEnd)
      fail(fmt::format("'{}' is one word too many", peek().text));
  }

  [[noreturn]] void fail(std::string_view what) const { throw template_error(name_, line_, what); }

  ExprPtr ternary() {
    const Depth depth(*this);
    ExprPtr value = either();
    if (!accept_name("if"))
      return value;
    ExprPtr condition = either();
    ExprPtr other = accept_name("else") ? ternary() : undefined();
    return make(ExprKind::kTernary, "", std::move(value), std::move(condition), std::move(other));
  }

 private:
  // Keeps a hostile template from exhausting the stack.
  class Depth {
   public:
    explicit Depth(ExpressionParser& parser) : parser_(parser) {
      if (++parser_.depth_ > kMaxDepth)
        parser_.fail("an expression nested deeper than 100");
    }

    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;

    ~Depth() { --parser_.depth_; }

   private:
    ExpressionParser& parser_;
  };

  template <class... Args>
  ExprPtr make(ExprKind kind, std::string text, Args... args) {
    if (++n_parts_ > kMostParts)
      fail("an expression of more than 1,000 parts");
    auto expr = std::make_unique<Expr>();
    expr->kind = kind;
    expr->line = line_;
    expr->text = std::move(text);
    (expr->args.push_back(std::move(args)), ...);
    return expr;
  }

  ExprPtr literal(Json value) {
    ExprPtr expr = make(ExprKind::kLiteral, "");
    expr->literal = std::move(value);
    return expr;
  }

  ExprPtr undefined() { return literal(Json(Json::value_t::discarded)); }

  ExprPtr either() {
    ExprPtr left = both();
    while (accept_name("or")) left = make(ExprKind::kBinary, "or", std::move(left), both());
    return left;
  }

  ExprPtr both() {
    ExprPtr left = negation();
    while (accept_name("and")) left = make(ExprKind::kBinary, "and", std::move(left), negation());
    return left;
  }

  ExprPtr negation() {
    const Depth depth(*this);
    if (accept_name("not"))
      return make(ExprKind::kUnary, "not", negation());
    return comparison();
  }

  std::optional<std::string> comparison_sign() {
    for (const char* sign : {"==", "!=", "<=", ">=", "<", ">"}) {
      if (accept_sign(sign))
        return sign;
    }
    if (accept_name("in"))
      return "in";
    if (is_name(peek(), "not") && is_name(peek(1), "in")) {
      take();
      take();
      return "not in";
    }
    return std::nullopt;
  }

  ExprPtr comparison() {
    ExprPtr left = sum();
    bool first = true;
    while (const auto sign = comparison_sign()) {
      if (!first)
        fail("a chain of comparisons is not supported");
      left = make(ExprKind::kBinary, *sign, std::move(left), sum());
      first = false;
    }
    return left;
  }

  ExprPtr sum() {
    ExprPtr left = concatenation();
    while (is_sign(peek(), "+") || is_sign(peek(), "-")) {
      const std::string sign = take().text;
      left = make(ExprKind::kBinary, sign, std::move(left), concatenation());
    }
    return left;
  }

  ExprPtr concatenation() {
    ExprPtr left = product();
    while (accept_sign("~")) left = make(ExprKind::kBinary, "~", std::move(left), product());
    return left;
  }

  ExprPtr product() {
    ExprPtr left = unary();
    while (is_sign(peek(), "*") || is_sign(peek(), "/") || is_sign(peek(), "//") ||
           is_sign(peek(), "%")) {
      const std::string sign = take().text;
      left = make(ExprKind::kBinary, sign, std::move(left), unary());
    }
    if (is_sign(peek(), "**"))
      fail("'**' is not supported");
    return left;
  }

  ExprPtr unary() {
    const Depth depth(*this);
    if (is_sign(peek(), "-") || is_sign(peek(), "+")) {
      const std::string sign = take().text;
      return make(ExprKind::kUnary, sign, unary());
    }
    return suffixes(primary());
  }

  ExprPtr primary() {
    const Word word = take();
    switch (word.kind) {
      case WordKind::kString:
        return literal(joined_strings(word.text));
      case WordKind::kInteger:
        return literal(integer(word.text));
      case WordKind::kReal:
        return literal(*parse_double(word.text));
      case WordKind::kName:
        return named(word.text);
      case WordKind::kSign:
      case WordKind::kEnd:
        break;
    }
    if (word.text == "(") {
      ExprPtr inner = ternary();
      expect_sign(")");
      return inner;
    }
    if (word.text == "[")
      return list();
    fail(fmt::format("'{}' cannot begin an expression", word.text));
  }

  Json integer(const std::string& digits) const {
    const auto value = parse_int(digits);
    if (!value)
      fail("a number beyond 64 bits");
    return *value;
  }

  std::string joined_strings(std::string text) {
    while (peek().kind == WordKind::kString) text += take().text;
    return text;
  }

  ExprPtr named(const std::string& name) {
    if (name == "true" || name == "True")
      return literal(true);
    if (name == "false" || name == "False")
      return literal(false);
    if (name == "none" || name == "None")
      return literal(nullptr);
    return make(ExprKind::kName, name);
  }

  ExprPtr list() {
    ExprPtr expr = make(ExprKind::kList, "");
    while (!accept_sign("]")) {
      if (!expr->args.empty())
        expect_sign(",");
      if (accept_sign("]"))
        break;
      expr->args.push_back(ternary());
    }
    return expr;
  }

  ExprPtr suffixes(ExprPtr expr) {
    while (true) {
      if (accept_sign(".")) {
        expr = make(ExprKind::kMember, expect_name(), std::move(expr));
      } else if (accept_sign("[")) {
        expr = subscript(std::move(expr));
      } else if (accept_sign("(")) {
        expr = call(std::move(expr));
      } else if (accept_sign("|")) {
        expr = make(ExprKind::kFilter, expect_name(), std::move(expr));
        if (accept_sign("("))
          arguments(*expr);
      } else if (accept_name("is")) {
        expr = test(std::move(expr));
      } else {
        return expr;
      }
    }
  }

  ExprPtr subscript(ExprPtr object) {
    ExprPtr first = is_sign(peek(), ":") ? nullptr : ternary();
    if (accept_sign("]"))
      return make(ExprKind::kIndex, "", std::move(object), std::move(first));
    expect_sign(":");
    ExprPtr last = is_sign(peek(), "]") || is_sign(peek(), ":") ? nullptr : ternary();
    if (is_sign(peek(), ":"))
      fail("a slice with a step is not supported");
    expect_sign("]");
    return make(ExprKind::kSlice, "", std::move(object), std::move(first), std::move(last));
  }

  ExprPtr call(ExprPtr callee) {
    ExprPtr expr = make(ExprKind::kCall, callee->text);
    if (callee->kind == ExprKind::kMember) {
      expr->is_method = true;
      expr->args.push_back(std::move(callee->args[0]));
    } else if (callee->kind != ExprKind::kName) {
      fail("only a name or a method can be called");
    }
    arguments(*expr);
    return expr;
  }

  void arguments(Expr& expr) {
    bool first = true;
    while (!accept_sign(")")) {
      if (!first)
        expect_sign(",");
      first = false;
      if (peek().kind == WordKind::kName && is_sign(peek(1), "=")) {
        std::string name = take().text;
        take();
        expr.named.emplace_back(std::move(name), ternary());
      } else {
        expr.args.push_back(ternary());
      }
    }
  }

  ExprPtr test(ExprPtr subject) {
    const bool negated = accept_name("not");
    ExprPtr expr = make(ExprKind::kTest, expect_name(), std::move(subject));
    if (accept_sign("("))
      arguments(*expr);
    return negated ? make(ExprKind::kUnary, "not", std::move(expr)) : std::move(expr);
  }

  std::vector<Word> words_;
  std::size_t at_ = 0;
  std::size_t line_;
  std::string_view name_;
  int depth_ = 0;
  int n_parts_ = 0;
};

// Parses pieces into nodes, tags into their blocks.
class BlockParser {
 public:
  BlockParser(std::vector<Piece> pieces, std::string_view name)
      : pieces_(std::move(pieces)), name_(name) {}

  Nodes run() {
    Nodes nodes = block({});
    return nodes;
  }

 private:
  // Nodes up to a tag that is one of `ends` (which is then in end_), or up to the end of the
  // template where there are none.
  Nodes block(const std::vector<std::string>& ends) {
    if (++depth_ > kMaxDepth)
      throw template_error(name_, line(), "blocks nested deeper than 100");
    Nodes nodes;
    for (; at_ < pieces_.size(); ++at_) {
      const Piece& piece = pieces_[at_];
      if (piece.kind == PieceKind::kText) {
        nodes.push_back(text_node(piece));
      } else if (piece.kind == PieceKind::kOutput) {
        nodes.push_back(output_node(piece));
      } else if (tag(piece, ends, nodes)) {
        --depth_;
        return nodes;
      }
    }
    if (!ends.empty())
      throw template_error(name_, line(), fmt::format("'{}' is missing", ends.back()));
    --depth_;
    return nodes;
  }

  std::size_t line() const { return pieces_.empty() ? 1 : pieces_.back().line; }

  static Node text_node(const Piece& piece) {
    Node node;
    node.line = piece.line;
    node.text = piece.text;
    return node;
  }

  Node output_node(const Piece& piece) const {
    ExpressionParser parser(piece, name_);
    Node node;
    node.kind = NodeKind::kOutput;
    node.line = piece.line;
    node.value = parser.ternary();
    parser.expect_end();
    return node;
  }

  // True where the tag ends the block.
  bool tag(const Piece& piece, const std::vector<std::string>& ends, Nodes& nodes) {
    ExpressionParser parser(piece, name_);
    const std::string word = parser.expect_name();
    for (const std::string& end : ends) {
      if (word == end) {
        end_ = word;
        return true;
      }
    }
    if (word == "if")
      nodes.push_back(if_node(parser));
    else if (word == "for")
      nodes.push_back(for_node(parser));
    else if (word == "set")
      nodes.push_back(set_node(parser));
    else
      parser.fail(fmt::format("{{% {} %}} is not supported: if, for and set are", word));
    nodes.back().line = piece.line;
    return false;
  }

  Node if_node(ExpressionParser& first) {
    Node node;
    node.kind = NodeKind::kIf;
    ExprPtr condition = first.ternary();
    first.expect_end();
    while (true) {
      ++at_;
      Nodes body = block({"elif", "else", "endif"});
      node.branches.emplace_back(std::move(condition), std::move(body));
      if (end_ == "endif")
        return node;
      ExpressionParser parser(pieces_[at_], name_);
      parser.take();
      if (end_ == "else") {
        ++at_;
        node.branches.emplace_back(nullptr, block({"endif"}));
        return node;
      }
      condition = parser.ternary();
      parser.expect_end();
    }
  }

  Node for_node(ExpressionParser& parser) {
    Node node;
    node.kind = NodeKind::kFor;
    node.text = parser.expect_name();
    if (!parser.accept_name("in"))
      parser.fail("a for with one variable and `in` is supported");
    node.value = parser.ternary();
    if (parser.peek().kind != WordKind::kEnd)
      parser.fail("a for with a condition or `recursive` is not supported");
    ++at_;
    node.body = block({"endfor"});
    return node;
  }

  static Node set_node(ExpressionParser& parser) {
    Node node;
    node.kind = NodeKind::kSet;
    node.text = parser.expect_name();
    if (parser.accept_sign("."))
      node.member = parser.expect_name();
    if (!parser.accept_sign("="))
      parser.fail("a set with one name and `=` is supported");
    node.value = parser.ternary();
    parser.expect_end();
    return node;
  }

  std::vector<Piece> pieces_;
  std::string_view name_;
  std::size_t at_ = 0;
  std::string end_;
  int depth_ = 0;
};

}  // namespace

Nodes parse(std::vector<Piece> pieces, std::string_view name) {
  return BlockParser(std::move(pieces), name).run();
}

}  // namespace dlm::jinja
