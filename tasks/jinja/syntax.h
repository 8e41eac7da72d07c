// The syntax tree of a template, shared by parser and evaluator; see jinja.h for the language.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/json.h"

namespace dlm::jinja {

enum class ExprKind {
  kLiteral,  // literal
  kName,     // text
  kList,     // args
  kMember,   // args[0].text
  kIndex,    // args[0][args[1]]
  kSlice,    // args[0][args[1]:args[2]]; an absent bound is a null pointer
  kCall,     // text(args), or args[0].text(args[1...]) where is_method
  kFilter,   // args[0] | text(args[1...])
  kTest,     // args[0] is text(args[1...])
  kUnary,    // text in "-", "+", "not"
  kBinary,   // text: arithmetic, comparison, "in", "and", "or"
  kTernary,  // args[0] if args[1] else args[2]
};

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Expr {
  ExprKind kind = ExprKind::kLiteral;
  std::size_t line = 1;
  std::string text;
  Json literal;
  std::vector<ExprPtr> args;
  std::vector<std::pair<std::string, ExprPtr>> named;  // keyword arguments of a call or filter
  bool is_method = false;
};

struct Node;
using Nodes = std::vector<Node>;

enum class NodeKind { kText, kOutput, kIf, kFor, kSet };

struct Node {
  NodeKind kind = NodeKind::kText;
  std::size_t line = 1;
  std::string text;    // kText; kFor: the loop variable; kSet: the name
  std::string member;  // kSet of a namespace's member
  ExprPtr value;       // kOutput, kSet, kFor (what is walked)
  std::vector<std::pair<ExprPtr, Nodes>> branches;  // kIf: a condition of nullptr is the else
  Nodes body;                                       // kFor
};

// What a template does that is outside of the supported language, or wrong.
inline ConfigError template_error(std::string_view name, std::size_t line, std::string_view what) {
  return {name, fmt::format("line {}", line), what};
}

}  // namespace dlm::jinja
