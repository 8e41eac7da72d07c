// Values of template expressions as Python has them: truth, text, slices, operators, filters, tests
// and methods. A value is JSON; one that is discarded is Jinja's undefined.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "harness/base/json.h"

namespace dlm::jinja {

// Why an operation has no result; the evaluator adds where.
class ValueError {
 public:
  explicit ValueError(std::string what) : what_(std::move(what)) {}

  const std::string& what() const { return what_; }

 private:
  std::string what_;
};

Json undefined_value();
bool is_undefined(const Json& value);
bool is_true(const Json& value);

// str(value); lists and objects have no text here.
std::string text_of(const Json& value);

// All of these throw ValueError for types that do not fit, names that are not supported, and
// results beyond value_size.h.
Json binary(std::string_view sign, const Json& left, const Json& right);  // but "and" and "or"
Json unary(std::string_view sign, const Json& value);
Json member(const Json& object, std::string_view name);
Json index(const Json& object, const Json& at);
Json slice(const Json& object, const Json& first, const Json& last);  // undefined: an open end
Json filter(std::string_view name, const Json& value, std::span<const Json> args);
bool test(std::string_view name, const Json& value, std::span<const Json> args);
Json method(std::string_view name, const Json& object, std::span<const Json> args);

}  // namespace dlm::jinja
