#include "harness/base/json.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"

namespace dlm {
namespace {

constexpr std::size_t kMaxDepth = 64;

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

// Builds the document from nlohmann's events and refuses what nlohmann accepts and we do not. Its
// own parse with a callback scans the parent again after every member: quadratic time in hostile
// or merely large documents.
class DocumentBuilder : public nlohmann::json_sax<Json> {
 public:
  DocumentBuilder(std::string_view text, std::string_view source)
      : text_(text), reached_(text.data()), source_(source) {}

  Json build() {
    Json::sax_parse(ReadingIterator(text_.data(), &reached_),
                    ReadingIterator(text_.data() + text_.size(), &reached_), this);
    return std::move(root_);
  }

  bool null() override { return add(nullptr) != nullptr; }

  bool boolean(bool value) override { return add(value) != nullptr; }

  bool number_integer(std::int64_t value) override { return add(value) != nullptr; }

  bool number_unsigned(std::uint64_t value) override { return add(value) != nullptr; }

  bool number_float(double value, const std::string& /*text*/) override {
    return add(value) != nullptr;
  }

  bool string(std::string& value) override { return add(std::move(value)) != nullptr; }

  bool binary(Json::binary_t& value) override { return add(std::move(value)) != nullptr; }

  bool start_object(std::size_t /*size*/) override { return open(Json::object()); }

  bool end_object() override { return close(); }

  bool start_array(std::size_t /*size*/) override { return open(Json::array()); }

  bool end_array() override { return close(); }

  bool key(std::string& name) override {
    const auto [member, is_new] = open_.back()->get_ref<Json::object_t&>().emplace(name, nullptr);
    if (!is_new)
      throw DataError(source_, last_read(), "each key once",
                      fmt::format("duplicate key '{}'", name));
    member_ = &member->second;
    return true;
  }

  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const Json::exception& error) override {
    const auto offset = static_cast<std::int64_t>(position) - 1;
    if (dynamic_cast<const Json::out_of_range*>(&error) != nullptr)
      throw DataError(source_, offset, "a number that a double can hold", "a larger one");
    std::string what = error.what();
    if (const auto colon = what.find("] "); colon != std::string::npos)
      what.erase(0, colon + 2);
    throw DataError(source_, offset, "JSON", what);
  }

 private:
  // Puts a value where the document stands and returns its place.
  Json* add(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    *member_ = std::move(value);
    return member_;
  }

  bool open(Json container) {
    if (open_.size() >= kMaxDepth)
      throw DataError(source_, last_read(), fmt::format("nesting up to {}", kMaxDepth),
                      "deeper JSON");
    open_.push_back(add(std::move(container)));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  std::int64_t last_read() const { return reached_ - text_.data() - 1; }

  std::string_view text_;
  const char* reached_;
  std::string_view source_;
  Json root_;
  std::vector<Json*> open_;
  Json* member_ = nullptr;
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
  return DocumentBuilder(text, source).build();
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
