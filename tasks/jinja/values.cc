#include "tasks/jinja/values.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/text.h"
#include "tasks/jinja/value_size.h"

namespace dlm::jinja {
namespace {

const char* type_name(const Json& value) {
  if (is_undefined(value))
    return "undefined";
  if (value.is_null())
    return "none";
  if (value.is_boolean())
    return "a truth value";
  if (value.is_number())
    return "a number";
  if (value.is_string())
    return "a text";
  return value.is_array() ? "a list" : "an object";
}

[[noreturn]] void no_result(std::string_view what, const Json& left, const Json& right) {
  throw ValueError(fmt::format("{} of {} and {}", what, type_name(left), type_name(right)));
}

const std::string& as_text(const Json& value, std::string_view what) {
  if (!value.is_string())
    throw ValueError(fmt::format("{} of {}", what, type_name(value)));
  return value.get_ref<const std::string&>();
}

std::int64_t as_integer(const Json& value, std::string_view what) {
  if (!value.is_number_integer())
    throw ValueError(fmt::format("{} of {}", what, type_name(value)));
  return value.get<std::int64_t>();
}

void expect_args(std::string_view name, std::span<const Json> args, std::size_t low,
                 std::size_t high) {
  if (args.size() < low || args.size() > high)
    throw ValueError(fmt::format("{} takes {} to {} arguments", name, low, high));
}

bool is_python_space(char32_t c) {
  return is_unicode_space(c) || (c >= 0x1C && c <= 0x1F);
}

enum class Side { kLeft, kRight, kBoth };

// str.strip: white space, or the characters of `set`.
std::string stripped(std::string_view text, std::optional<std::string_view> set, Side side) {
  std::vector<std::pair<std::size_t, std::size_t>> places;  // begin and end of each character
  std::vector<bool> drop;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = decode_utf8(text, at);
    const std::string_view bytes = text.substr(at, point.bytes);
    drop.push_back(set ? set->find(bytes) != std::string_view::npos : is_python_space(point.value));
    places.emplace_back(at, at + point.bytes);
    at += point.bytes;
  }
  std::size_t first = 0;
  std::size_t last = places.size();
  while (side != Side::kRight && first < last && drop[first]) ++first;
  while (side != Side::kLeft && last > first && drop[last - 1]) --last;
  if (first == last)
    return "";
  return std::string(
      text.substr(places[first].first, places[last - 1].second - places[first].first));
}

std::string with_replaced(std::string_view text, std::string_view from, std::string_view to) {
  if (from.empty())
    throw ValueError("replace of an empty text");
  if (to.size() > from.size()) {
    std::size_t hits = 0;
    for (std::size_t at = text.find(from); at != std::string_view::npos;
         at = text.find(from, at + from.size()))
      ++hits;
    expect_size(text.size() + hits * (to.size() - from.size()));
  }
  return replaced(text, from, to);
}

std::string concatenated(std::string_view left, std::string_view right) {
  expect_size(left.size() + right.size());
  return std::string(left).append(right);
}

Json split_at(std::string_view text, std::string_view separator) {
  if (separator.empty())
    throw ValueError("split at an empty text");
  Json parts = Json::array();
  std::size_t at = 0;
  for (std::size_t hit = text.find(separator); hit != std::string_view::npos;
       hit = text.find(separator, at)) {
    parts.push_back(text.substr(at, hit - at));
    expect_size(text.size() + kElementBytes * parts.size());
    at = hit + separator.size();
  }
  parts.push_back(text.substr(at));
  return parts;
}

// Letters beyond ASCII need tables that no published template has a use for.
std::string cased(std::string_view text, std::string_view name) {
  std::string result(text);
  for (char& c : result) {
    if (static_cast<unsigned char>(c) >= 0x80)
      throw ValueError(fmt::format("{} of letters beyond ASCII is not supported", name));
    if (name == "upper" && c >= 'a' && c <= 'z')
      c = static_cast<char>(c - 'a' + 'A');
    if (name == "lower" && c >= 'A' && c <= 'Z')
      c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

std::int64_t length_of(const Json& value) {
  if (value.is_string()) {
    const std::string& text = value.get_ref<const std::string&>();
    return std::count_if(text.begin(), text.end(),
                         [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; });
  }
  if (value.is_array() || value.is_object())
    return static_cast<std::int64_t>(value.size());
  throw ValueError(fmt::format("length of {}", type_name(value)));
}

std::int64_t floor_divided(std::int64_t a, std::int64_t b) {
  return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}

Json integer_arithmetic(std::string_view sign, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  bool overflow = false;
  if (sign == "+") {
    overflow = __builtin_add_overflow(a, b, &result);
  } else if (sign == "-") {
    overflow = __builtin_sub_overflow(a, b, &result);
  } else if (sign == "*") {
    overflow = __builtin_mul_overflow(a, b, &result);
  } else {
    if (b == 0)
      throw ValueError("division by zero");
    if (b == -1)
      overflow = __builtin_sub_overflow(std::int64_t{0}, a, &result);
    else
      result = floor_divided(a, b);
    if (sign == "%")
      result = b == -1 ? 0 : a - result * b;
  }
  if (overflow)
    throw ValueError("a number beyond 64 bits");
  return result;
}

Json arithmetic(std::string_view sign, const Json& left, const Json& right) {
  if (left.is_number_integer() && right.is_number_integer() && sign != "/")
    return integer_arithmetic(sign, left.get<std::int64_t>(), right.get<std::int64_t>());
  if (!left.is_number() || !right.is_number())
    no_result(sign, left, right);
  const auto a = left.get<double>();
  const auto b = right.get<double>();
  if (sign == "+")
    return a + b;
  if (sign == "-")
    return a - b;
  if (sign == "*")
    return a * b;
  if (b == 0)
    throw ValueError("division by zero");
  if (sign == "/")
    return a / b;
  return sign == "//" ? std::floor(a / b) : a - b * std::floor(a / b);
}

bool ordered(std::string_view sign, const Json& left, const Json& right) {
  const bool comparable =
      (left.is_number() && right.is_number()) || (left.is_string() && right.is_string());
  if (!comparable)
    no_result(sign, left, right);
  if (sign == "<")
    return left < right;
  if (sign == ">")
    return right < left;
  return sign == "<=" ? !(right < left) : !(left < right);
}

bool contains(const Json& whole, const Json& part) {
  if (whole.is_string())
    return as_text(whole, "in").find(as_text(part, "in")) != std::string::npos;
  if (whole.is_array())
    return std::find(whole.begin(), whole.end(), part) != whole.end();
  if (whole.is_object())
    return part.is_string() && whole.contains(part.get_ref<const std::string&>());
  no_result("in", part, whole);
}

bool equal(const Json& left, const Json& right) {
  if (is_undefined(left) || is_undefined(right))
    return is_undefined(left) && is_undefined(right);
  return left == right;
}

// json.dumps(ensure_ascii=False) of what has only one form; the order of an object's members is not
// kept here.
std::string to_json_text(const Json& value) {
  if (value.is_structured() || is_undefined(value) || value.is_number_float())
    throw ValueError(fmt::format("tojson of {} is not supported", type_name(value)));
  return value.dump();
}

Json end_of(const Json& value, std::string_view name) {
  if (!value.is_array())
    throw ValueError(fmt::format("{} of {}", name, type_name(value)));
  if (value.empty())
    return undefined_value();
  return name == "first" ? value.front() : value.back();
}

Json joined(const Json& value, std::span<const Json> args) {
  if (!value.is_array())
    throw ValueError(fmt::format("join of {}", type_name(value)));
  const std::string separator = args.empty() ? "" : as_text(args[0], "join");
  std::string result;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const std::string part = text_of(value[i]);
    expect_size(result.size() + separator.size() + part.size());
    if (i > 0)
      result += separator;
    result += part;
  }
  return result;
}

}  // namespace

Json undefined_value() {
  return Json(Json::value_t::discarded);
}

bool is_undefined(const Json& value) {
  return value.is_discarded();
}

bool is_true(const Json& value) {
  if (is_undefined(value) || value.is_null())
    return false;
  if (value.is_boolean())
    return value.get<bool>();
  if (value.is_number())
    return value.get<double>() != 0;
  return value.is_string() ? !value.get_ref<const std::string&>().empty() : !value.empty();
}

std::string text_of(const Json& value) {
  if (value.is_string())
    return value.get<std::string>();
  if (is_undefined(value))
    return "";
  if (value.is_null())
    return "None";
  if (value.is_boolean())
    return value.get<bool>() ? "True" : "False";
  if (value.is_number_integer())
    return value.dump();
  throw ValueError(fmt::format("the text of {} is not supported", value.is_number_float()
                                                                      ? "a number with a fraction"
                                                                      : type_name(value)));
}

Json binary(std::string_view sign, const Json& left, const Json& right) {
  if (sign == "==")
    return equal(left, right);
  if (sign == "!=")
    return !equal(left, right);
  if (sign == "in")
    return contains(right, left);
  if (sign == "not in")
    return !contains(right, left);
  if (sign == "<" || sign == ">" || sign == "<=" || sign == ">=")
    return ordered(sign, left, right);
  if (sign == "~")
    return concatenated(text_of(left), text_of(right));
  if (sign == "+" && left.is_string() && right.is_string())
    return concatenated(as_text(left, sign), as_text(right, sign));
  if (sign == "+" && left.is_array() && right.is_array()) {
    expect_size(size_of(left) + size_of(right));
    Json list = left;
    list.insert(list.end(), right.begin(), right.end());
    return list;
  }
  return arithmetic(sign, left, right);
}

Json unary(std::string_view sign, const Json& value) {
  if (sign == "not")
    return !is_true(value);
  return sign == "-" ? arithmetic("-", 0, value) : arithmetic("+", 0, value);
}

Json member(const Json& object, std::string_view name) {
  if (is_undefined(object))
    throw ValueError(fmt::format("member '{}' of an undefined value", name));
  if (!object.is_object())
    return undefined_value();
  const auto it = object.find(std::string(name));
  return it == object.end() ? undefined_value() : *it;
}

Json index(const Json& object, const Json& at) {
  if (at.is_string())
    return member(object, at.get_ref<const std::string&>());
  if (is_undefined(object))
    throw ValueError("an index of an undefined value");
  std::int64_t i = as_integer(at, "index");
  if (object.is_string())
    throw ValueError("a character of a text is not supported");
  if (!object.is_array())
    return undefined_value();
  const auto n = static_cast<std::int64_t>(object.size());
  i = i < 0 ? i + n : i;
  return i < 0 || i >= n ? undefined_value() : object[static_cast<std::size_t>(i)];
}

Json slice(const Json& object, const Json& first, const Json& last) {
  if (!object.is_array())
    throw ValueError(fmt::format("a slice of {}", type_name(object)));
  const auto n = static_cast<std::int64_t>(object.size());
  const auto bound = [n](const Json& at, std::int64_t open) {
    if (is_undefined(at) || at.is_null())
      return open;
    const std::int64_t i = as_integer(at, "slice");
    return std::clamp<std::int64_t>(i < 0 ? i + n : i, 0, n);
  };
  const std::int64_t begin = bound(first, 0);
  const std::int64_t end = std::max(begin, bound(last, n));
  return Json(std::vector<Json>(object.begin() + begin, object.begin() + end));
}

Json filter(std::string_view name, const Json& value, std::span<const Json> args) {
  if (name == "default" || name == "d") {
    const bool missing =
        is_undefined(value) || (args.size() > 1 && is_true(args[1]) && !is_true(value));
    return missing ? (args.empty() ? Json("") : args[0]) : value;
  }
  if (name == "join")
    return joined(value, args);
  if (name == "replace") {
    expect_args(name, args, 2, 2);
    return with_replaced(text_of(value), as_text(args[0], name), as_text(args[1], name));
  }
  if (name == "trim") {
    const auto set =
        args.empty() ? std::nullopt : std::optional(std::string_view(as_text(args[0], name)));
    return stripped(text_of(value), set, Side::kBoth);
  }
  if (name == "tojson" && args.empty())
    return to_json_text(value);
  if (!args.empty())
    throw ValueError(fmt::format("filter '{}' is not supported with arguments", name));
  if (name == "upper" || name == "lower")
    return cased(text_of(value), name);
  if (name == "length" || name == "count")
    return length_of(value);
  if (name == "string")
    return text_of(value);
  if (name == "first" || name == "last")
    return end_of(value, name);
  throw ValueError(fmt::format("filter '{}' is not supported", name));
}

bool test(std::string_view name, const Json& value, std::span<const Json> args) {
  if (name == "eq" || name == "equalto") {
    expect_args(name, args, 1, 1);
    return equal(value, args[0]);
  }
  if (!args.empty())
    throw ValueError(fmt::format("test '{}' with arguments is not supported", name));
  if (name == "defined")
    return !is_undefined(value);
  if (name == "undefined")
    return is_undefined(value);
  if (name == "none")
    return value.is_null();
  if (name == "string")
    return value.is_string();
  if (name == "number")
    return value.is_number() || value.is_boolean();
  if (name == "integer")
    return value.is_number_integer();
  if (name == "boolean")
    return value.is_boolean();
  if (name == "true" || name == "false")
    return value == Json(name == "true");
  if (name == "mapping")
    return value.is_object();
  if (name == "sequence" || name == "iterable")
    return value.is_structured() || value.is_string();
  throw ValueError(fmt::format("test '{}' is not supported", name));
}

Json method(std::string_view name, const Json& object, std::span<const Json> args) {
  if (object.is_object() && name == "get") {
    expect_args(name, args, 1, 2);
    const Json found = member(object, as_text(args[0], name));
    return !is_undefined(found) ? found : args.size() > 1 ? args[1] : Json(nullptr);
  }
  if (!object.is_string())
    throw ValueError(fmt::format("method '{}' of {} is not supported", name, type_name(object)));
  const std::string& text = object.get_ref<const std::string&>();
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    expect_args(name, args, 0, 1);
    const Side side = name == "strip" ? Side::kBoth : name == "lstrip" ? Side::kLeft : Side::kRight;
    if (args.empty())
      return stripped(text, std::nullopt, side);
    return stripped(text, as_text(args[0], name), side);
  }
  if (name == "upper" || name == "lower") {
    expect_args(name, args, 0, 0);
    return cased(text, name);
  }
  if (name == "replace") {
    expect_args(name, args, 2, 2);
    return with_replaced(text, as_text(args[0], name), as_text(args[1], name));
  }
  if (args.size() != 1)
    throw ValueError(fmt::format("method '{}' with these arguments is not supported", name));
  if (name == "split")
    return split_at(text, as_text(args[0], name));
  if (name == "startswith")
    return text.starts_with(as_text(args[0], name));
  if (name == "endswith")
    return text.ends_with(as_text(args[0], name));
  throw ValueError(fmt::format("method '{}' is not supported", name));
}

}  // namespace dlm::jinja
