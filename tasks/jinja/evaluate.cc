#include "tasks/jinja/evaluate.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "tasks/jinja/jinja.h"
#include "tasks/jinja/lexer.h"
#include "tasks/jinja/parser.h"
#include "tasks/jinja/value_size.h"
#include "tasks/jinja/values.h"

namespace dlm::jinja {
namespace {

constexpr std::size_t kMostOutput = std::size_t{64} << 20U;
constexpr std::int64_t kMostRounds = 100'000;  // of all loops of one template together
constexpr std::int64_t kMostRange = 10'000;

struct Scope {
  std::map<std::string, Json, std::less<>> values;
  std::size_t bytes = 0;  // that its values take
};

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
    const std::size_t bytes = guarded(node.line, [&] { return size_of(list); });
    hold(0, bytes, node.line);
    for (std::int64_t i = 0; i < n; ++i) {
      if (++rounds_ > kMostRounds)
        fail(node.line, "more than 100,000 rounds of loops");
      Json state = {{"index", i + 1},        {"index0", i}, {"first", i == 0},
                    {"last", i + 1 == n},    {"length", n}, {"revindex", n - i},
                    {"revindex0", n - i - 1}};
      if (i > 0)
        state["previtem"] = list[static_cast<std::size_t>(i - 1)];
      if (i + 1 < n)
        state["nextitem"] = list[static_cast<std::size_t>(i + 1)];
      // Every round has a scope of its own: what it sets ends with it.
      scopes_.emplace_back();
      assign(node.text, list[static_cast<std::size_t>(i)], node.line);
      assign("loop", std::move(state), node.line);
      for (const Node& child : node.body) visit(child);
      held_ -= scopes_.back().bytes;
      scopes_.pop_back();
    }
    held_ -= bytes;
  }

  // Counts what variables take, before it is taken.
  void hold(std::size_t before, std::size_t after, std::size_t line) {
    held_ += after - before;
    if (after > before && held_ > kMostHeldBytes)
      fail(line, "variables of more than 256 MiB");
  }

  // In the innermost scope.
  void assign(const std::string& name, Json value, std::size_t line) {
    Json& place = scopes_.back().values[name];
    guarded(line, [&] { hold_in(scopes_.back(), size_of(place), size_of(value), line); });
    place = std::move(value);
  }

  void hold_in(Scope& scope, std::size_t before, std::size_t after, std::size_t line) {
    hold(before, after, line);
    scope.bytes += after - before;
  }

  void set(const Node& node) {
    Json value = value_of(*node.value);
    if (node.member.empty())
      return assign(node.text, std::move(value), node.line);
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      const auto it = scope->values.find(node.text);
      if (it == scope->values.end())
        continue;
      Json& object = it->second;
      if (!object.is_object() || !object.contains(kNamespaceMark))
        break;
      return guarded(node.line, [&] {
        const std::size_t before = size_of(object);
        object[node.member] = std::move(value);
        hold_in(*scope, before, size_of(object), node.line);
      });
    }
    fail(node.line, fmt::format("'{}' is not a namespace()", node.text));
  }

  Json look_up(std::string_view name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      const auto it = scope->values.find(name);
      if (it != scope->values.end())
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
        return list(expr);
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

  // Within the limit of one value: an expression must not hold the same text a thousand times.
  std::vector<Json> values_of(const Expr& expr, std::size_t first) {
    std::vector<Json> values;
    std::size_t bytes = 0;
    for (std::size_t i = first; i < expr.args.size(); ++i) {
      values.push_back(value_of(*expr.args[i]));
      guarded(expr.line, [&] {
        bytes += kElementBytes + size_of(values.back());
        expect_size(bytes);
      });
    }
    return values;
  }

  Json list(const Expr& expr) {
    Json made(values_of(expr, 0));
    guarded(expr.line, [&] { return size_of(made); });  // not nested too deep
    return made;
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
      for (const auto& [name, value] : expr.named) {
        object[name] = value_of(*value);
        guarded(expr.line, [&] { expect_size(size_of(object)); });
      }
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
  std::size_t held_ = 0;  // bytes of all variables and of the lists that are being walked
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
