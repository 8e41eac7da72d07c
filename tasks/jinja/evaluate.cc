#include "tasks/jinja/evaluate.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "tasks/jinja/jinja.h"
#include "tasks/jinja/lexer.h"
#include "tasks/jinja/parser.h"
#include "tasks/jinja/values.h"

namespace dlm::jinja {
namespace {

constexpr std::size_t kMostOutput = std::size_t{64} << 20U;
constexpr std::int64_t kMostRounds = 100'000;  // of all loops of one template together
constexpr std::int64_t kMostRange = 10'000;

using Scope = std::map<std::string, Json, std::less<>>;

class Evaluator {
 public:
  Evaluator(const Json& variables, std::string_view name, Undefined undefined)
      : variables_(variables), name_(name), undefined_(undefined), scopes_(1) {}

  std::string run(const Nodes& nodes) {
    for (const Node& node : nodes) visit(node);
    return std::move(output_);
  }

 private:
  void visit(const Node& node) {
    switch (node.kind) {
      case NodeKind::kText:
        return print(node.text, node.line);
      case NodeKind::kOutput:
        return print_value(value_of(*node.value), node);
      case NodeKind::kIf:
        return branch(node);
      case NodeKind::kFor:
        return loop(node);
      case NodeKind::kSet:
        return set(node);
    }
  }

  [[noreturn]] void fail(std::size_t line, std::string_view what) const {
    throw template_error(name_, line, what);
  }

  void print(std::string_view text, std::size_t line) {
    if (output_.size() + text.size() > kMostOutput)
      fail(line, "more than 64 MiB of text");
    output_ += text;
  }

  template <class F>
  auto guarded(std::size_t line, F operation) const {
    try {
      return operation();
    } catch (const ValueError& error) {
      fail(line, error.what());
    }
  }

  void print_value(const Json& value, const Node& node) {
    if (is_undefined(value) && undefined_ == Undefined::kError)
      fail(node.line, fmt::format("'{}' is not there", described(*node.value)));
    print(guarded(node.line, [&] { return text_of(value); }), node.line);
  }

  static std::string described(const Expr& expr) {
    if (expr.kind == ExprKind::kMember)
      return described(*expr.args[0]) + "." + expr.text;
    if (expr.kind == ExprKind::kIndex)
      return described(*expr.args[0]) + "[...]";
    return expr.text.empty() ? "a value" : expr.text;
  }

  void branch(const Node& node) {
    for (const auto& [condition, body] : node.branches) {
      if (condition != nullptr && !is_true(value_of(*condition)))
        continue;
      for (const Node& child : body) visit(child);
      return;
    }
  }

  void loop(const Node& node) {
    const Json list = value_of(*node.value);
    if (is_undefined(list) && undefined_ == Undefined::kEmpty)
      return;
    if (!list.is_array())
      fail(node.line, "a for over what is not a list");
    const auto n = static_cast<std::int64_t>(list.size());
    for (std::int64_t i = 0; i < n; ++i) {
      if (++rounds_ > kMostRounds)
        fail(node.line, "more than 100,000 rounds of loops");
      // Every round has a scope of its own: what it sets ends with it.
      Scope& scope = scopes_.emplace_back();
      scope[node.text] = list[static_cast<std::size_t>(i)];
      scope["loop"] = {{"index", i + 1},        {"index0", i}, {"first", i == 0},
                       {"last", i + 1 == n},    {"length", n}, {"revindex", n - i},
                       {"revindex0", n - i - 1}};
      if (i > 0)
        scope["loop"]["previtem"] = list[static_cast<std::size_t>(i - 1)];
      if (i + 1 < n)
        scope["loop"]["nextitem"] = list[static_cast<std::size_t>(i + 1)];
      for (const Node& child : node.body) visit(child);
      scopes_.pop_back();
    }
  }

  void set(const Node& node) {
    Json value = value_of(*node.value);
    if (node.member.empty()) {
      scopes_.back()[node.text] = std::move(value);
      return;
    }
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      const auto it = scope->find(node.text);
      if (it == scope->end())
        continue;
      if (!it->second.is_object() || !it->second.contains(kNamespaceMark))
        break;
      it->second[node.member] = std::move(value);
      return;
    }
    fail(node.line, fmt::format("'{}' is not a namespace()", node.text));
  }

  Json look_up(std::string_view name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      const auto it = scope->find(name);
      if (it != scope->end())
        return it->second;
    }
    const auto it = variables_.find(std::string(name));
    return it == variables_.end() ? undefined_value() : *it;
  }

  Json value_or_open(const ExprPtr& expr) {
    return expr == nullptr ? undefined_value() : value_of(*expr);
  }

  Json value_of(const Expr& expr) {
    const auto arg = [&](std::size_t i) { return value_of(*expr.args[i]); };
    switch (expr.kind) {
      case ExprKind::kLiteral:
        return expr.literal;
      case ExprKind::kName:
        return look_up(expr.text);
      case ExprKind::kList:
        return Json(values_of(expr, 0));
      case ExprKind::kMember:
        return guarded(expr.line, [&] { return member(arg(0), expr.text); });
      case ExprKind::kIndex:
        return guarded(expr.line, [&] { return index(arg(0), arg(1)); });
      case ExprKind::kSlice:
        return guarded(expr.line, [&] {
          return slice(arg(0), value_or_open(expr.args[1]), value_or_open(expr.args[2]));
        });
      case ExprKind::kCall:
        return call(expr);
      case ExprKind::kFilter:
        if (!expr.named.empty())
          fail(expr.line, "keyword arguments of a filter are not supported");
        return guarded(expr.line, [&] { return filter(expr.text, arg(0), values_of(expr, 1)); });
      case ExprKind::kTest:
        return guarded(expr.line,
                       [&] { return Json(test(expr.text, arg(0), values_of(expr, 1))); });
      case ExprKind::kUnary:
        return guarded(expr.line, [&] { return unary(expr.text, arg(0)); });
      case ExprKind::kBinary:
        return operation(expr);
      case ExprKind::kTernary:
        return is_true(arg(1)) ? arg(0) : arg(2);
    }
    DLM_CHECK(false, "no such expression");
    return {};
  }

  std::vector<Json> values_of(const Expr& expr, std::size_t first) {
    std::vector<Json> values;
    for (std::size_t i = first; i < expr.args.size(); ++i)
      values.push_back(value_of(*expr.args[i]));
    return values;
  }

  Json operation(const Expr& expr) {
    Json left = value_of(*expr.args[0]);
    if (expr.text == "and")
      return is_true(left) ? value_of(*expr.args[1]) : left;
    if (expr.text == "or")
      return is_true(left) ? left : value_of(*expr.args[1]);
    const Json right = value_of(*expr.args[1]);
    if (undefined_ == Undefined::kError && (is_undefined(left) || is_undefined(right)))
      fail(expr.line, fmt::format("'{}' with a value that is not there", expr.text));
    return guarded(expr.line, [&] { return binary(expr.text, left, right); });
  }

  Json call(const Expr& expr) {
    const std::vector<Json> args = values_of(expr, 0);
    if (expr.is_method) {
      return guarded(expr.line, [&] {
        return method(expr.text, args[0], std::span<const Json>(args).subspan(1));
      });
    }
    if (expr.text == "namespace" && args.empty()) {
      Json object = {{kNamespaceMark, true}};
      for (const auto& [name, value] : expr.named) object[name] = value_of(*value);
      return object;
    }
    if (expr.text == "raise_exception" && args.size() == 1) {
      fail(expr.line,
           "the template refuses: " + guarded(expr.line, [&] { return text_of(args[0]); }));
    }
    if (expr.text == "range" && (args.size() == 1 || args.size() == 2))
      return range(expr.line, args);
    fail(expr.line, fmt::format("function {}() with these arguments is not supported", expr.text));
  }

  Json range(std::size_t line, const std::vector<Json>& args) const {
    for (const Json& bound : args) {
      if (!bound.is_number_integer())
        fail(line, "range() of what is not a whole number");
    }
    const std::int64_t begin = args.size() == 1 ? 0 : args[0].get<std::int64_t>();
    const std::int64_t end = args.back().get<std::int64_t>();
    if (begin < -kMostRange || end > kMostRange)
      fail(line, "range() beyond 10,000");
    Json list = Json::array();
    for (std::int64_t i = begin; i < end; ++i) list.push_back(i);
    return list;
  }

  static constexpr const char* kNamespaceMark = "\x01namespace";

  const Json& variables_;
  std::string_view name_;
  Undefined undefined_;
  std::vector<Scope> scopes_;
  std::string output_;
  std::int64_t rounds_ = 0;
};

std::string without_carriage_returns(std::string_view source) {
  std::string result;
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      result += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n')
        ++i;
    } else {
      result += source[i];
    }
  }
  return result;
}

}  // namespace

std::string evaluate(const Nodes& nodes, const Json& variables, std::string_view name,
                     Undefined undefined) {
  return Evaluator(variables, name, undefined).run(nodes);
}

}  // namespace dlm::jinja

namespace dlm {

struct JinjaTemplate::Parsed {
  std::string name;
  JinjaSetup setup = JinjaSetup::kPrompt;
  jinja::Nodes nodes;
};

JinjaTemplate::JinjaTemplate(std::string_view source, std::string name, JinjaSetup setup) {
  auto parsed = std::make_unique<Parsed>();
  std::string text = jinja::without_carriage_returns(source);
  const bool chat = setup == JinjaSetup::kChat;
  if (chat && text.ends_with('\n'))
    text.pop_back();
  parsed->nodes = jinja::parse(
      jinja::cut_pieces(text, name, chat ? jinja::TrimBlocks::kYes : jinja::TrimBlocks::kNo), name);
  parsed->name = std::move(name);
  parsed->setup = setup;
  parsed_ = std::move(parsed);
}

JinjaTemplate::JinjaTemplate(JinjaTemplate&&) noexcept = default;
JinjaTemplate& JinjaTemplate::operator=(JinjaTemplate&&) noexcept = default;
JinjaTemplate::~JinjaTemplate() = default;

std::string JinjaTemplate::render(const Json& variables) const {
  if (!variables.is_object())
    throw ConfigError(parsed_->name, "", "the variables of a template are an object");
  return jinja::evaluate(
      parsed_->nodes, variables, parsed_->name,
      parsed_->setup == JinjaSetup::kChat ? jinja::Undefined::kEmpty : jinja::Undefined::kError);
}

}  // namespace dlm
