// Templates of prompts and of chat formats: the part of Jinja that the models' published
// chat_template and the tasks' prompts use. What lies outside of it is an error that names it,
// never passed over.
//
// Texts, {{ expression }}, {# comment #}, {% if elif else %}, {% for x in list %} with loop.index,
// index0, first, last, length, {% set x = e %}, namespace(); white space control by "-" and "+".
// Expressions: literals, lists, names, members, indices, slices of lists, + - * / // % ~,
// comparisons, in, and, or, not, the ternary, `is` with the tests of evaluate.cc, its filters
// (trim, upper, lower, length, string, first, last, join, replace, default, tojson of texts,
// numbers and truth values) and methods of texts (strip, lstrip, rstrip, split, startswith,
// endswith, upper, lower, replace), get(key) of objects, range(), raise_exception(). Source:
// Jinja 3.1 template designer documentation.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "harness/base/json.h"

namespace dlm {

// How two users of Jinja set it up.
enum class JinjaSetup {
  // Prompts of lm-evaluation-harness: an undefined name is an error, the last line end is kept.
  kPrompt,
  // transformers' chat templates: an undefined name prints nothing, a block tag takes the blanks
  // before it and the line end after it, a last line end is dropped.
  kChat,
};

class JinjaTemplate {
 public:
  // `name` says in errors which template it is. Throws ConfigError with the line.
  JinjaTemplate(std::string_view source, std::string name, JinjaSetup setup);
  JinjaTemplate(JinjaTemplate&&) noexcept;
  JinjaTemplate& operator=(JinjaTemplate&&) noexcept;
  ~JinjaTemplate();

  // `variables` is an object. Throws ConfigError for what the template raises (raise_exception), a
  // wrong type, more than 64 MiB of output or of one value, or variables of more than 256 MiB.
  std::string render(const Json& variables) const;

 private:
  struct Parsed;
  std::unique_ptr<const Parsed> parsed_;
};

}  // namespace dlm
