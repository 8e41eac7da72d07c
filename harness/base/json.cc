#include "harness/base/json.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <string>
#include <unordered_set>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"

namespace dlm {
namespace {

constexpr int kMaxDepth = 64;

// Walks the text for nlohmann and tells how far it has read, which its events do not carry.
class ReadingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  ReadingIterator(const char* at, const char** reached) : at_(at), reached_(reached) {}

  reference operator*() const { return *at_; }

  ReadingIterator& operator++() {
    *reached_ = ++at_;
    return *this;
  }

  bool operator==(const ReadingIterator& other) const { return at_ == other.at_; }

 private:
  const char* at_;
  const char** reached_;
};

// Watches the parse for what nlohmann accepts and we do not.
class StrictWatcher {
 public:
  StrictWatcher(std::string_view text, std::string_view source)
      : text_(text), reached_(text.data()), source_(source) {}

  ReadingIterator begin() { return {text_.data(), &reached_}; }

  ReadingIterator end() { return {text_.data() + text_.size(), &reached_}; }

  // Offset of the byte that was read last.
  std::int64_t offset() const { return std::max<std::int64_t>(0, reached_ - text_.data() - 1); }

  bool operator()(int depth, Json::parse_event_t event, Json& value) {
    switch (event) {
      case Json::parse_event_t::object_start:
        keys_.emplace_back();
        [[fallthrough]];
      case Json::parse_event_t::array_start:
        if (depth >= kMaxDepth) {
          throw DataError(source_, offset(), fmt::format("nesting up to {}", kMaxDepth),
                          "deeper JSON");
        }
        break;
      case Json::parse_event_t::object_end:
        keys_.pop_back();
        break;
      case Json::parse_event_t::key: {
        const auto& key = value.get_ref<const std::string&>();
        if (!keys_.back().insert(key).second) {
          throw DataError(source_, offset(), "each key once",
                          fmt::format("duplicate key '{}'", key));
        }
        break;
      }
      default:
        break;
    }
    return true;
  }

 private:
  std::string_view text_;
  const char* reached_;
  std::string_view source_;
  std::vector<std::unordered_set<std::string>> keys_;
};

void check_finite(const Json& value) {
  if (value.is_number_float()) {
    DLM_CHECK(std::isfinite(value.get<double>()), "a number that is not finite in canonical JSON");
  } else if (value.is_structured()) {
    for (const auto& item : value) check_finite(item);
  }
}

const Json* find_member(const Json& object, const char* key) {
  if (!object.is_object())
    return nullptr;
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

[[noreturn]] void bad_member(const Json* member, const char* key, const char* type,
                             std::string_view where) {
  throw DataError(where, -1, fmt::format("{} '{}'", type, key),
                  member == nullptr ? "nothing" : canonical_json(*member).substr(0, 80));
}

std::int64_t as_int(const Json* member, const char* key, std::string_view where) {
  if (member == nullptr || !member->is_number_integer())
    bad_member(member, key, "integer", where);
  if (member->is_number_unsigned() && member->get<std::uint64_t>() > INT64_MAX) {
    bad_member(member, key, "64-bit integer", where);
  }
  return member->get<std::int64_t>();
}

double as_double(const Json* member, const char* key, std::string_view where) {
  if (member == nullptr || !member->is_number())
    bad_member(member, key, "number", where);
  return member->get<double>();
}

std::string as_string(const Json* member, const char* key, std::string_view where) {
  if (member == nullptr || !member->is_string())
    bad_member(member, key, "string", where);
  return member->get<std::string>();
}

}  // namespace

Json parse_json(std::string_view text, std::string_view source) {
  StrictWatcher watcher(text, source);
  try {
    // The callback is copied by nlohmann; the watcher is therefore held by reference.
    return Json::parse(watcher.begin(), watcher.end(), std::ref(watcher));
  } catch (const nlohmann::json::parse_error& error) {
    std::string what = error.what();
    if (const auto colon = what.find("] "); colon != std::string::npos)
      what.erase(0, colon + 2);
    throw DataError(source, static_cast<std::int64_t>(error.byte), "JSON", what);
  } catch (const Json::out_of_range&) {
    throw DataError(source, watcher.offset(), "a number that a double can hold", "a larger one");
  }
}

std::string canonical_json(const Json& value) {
  check_finite(value);
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::int64_t json_int(const Json& object, const char* key, std::string_view where) {
  return as_int(find_member(object, key), key, where);
}

std::int64_t json_int_or(const Json& object, const char* key, std::int64_t fallback,
                         std::string_view where) {
  const Json* member = find_member(object, key);
  return member == nullptr ? fallback : as_int(member, key, where);
}

double json_double(const Json& object, const char* key, std::string_view where) {
  return as_double(find_member(object, key), key, where);
}

double json_double_or(const Json& object, const char* key, double fallback,
                      std::string_view where) {
  const Json* member = find_member(object, key);
  return member == nullptr ? fallback : as_double(member, key, where);
}

bool json_bool_or(const Json& object, const char* key, bool fallback, std::string_view where) {
  const Json* member = find_member(object, key);
  if (member == nullptr)
    return fallback;
  if (!member->is_boolean())
    bad_member(member, key, "boolean", where);
  return member->get<bool>();
}

std::string json_string(const Json& object, const char* key, std::string_view where) {
  return as_string(find_member(object, key), key, where);
}

std::string json_string_or(const Json& object, const char* key, std::string_view fallback,
                           std::string_view where) {
  const Json* member = find_member(object, key);
  return member == nullptr ? std::string(fallback) : as_string(member, key, where);
}

}  // namespace dlm
