#include "models/tokenizer/token_lists.h"

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "harness/base/text.h"

namespace dlm {
namespace {

// Walks over JSON values without reading them.
class Skipper {
 public:
  explicit Skipper(std::string_view text) : text_(text) {}

  std::size_t at() const { return at_; }

  // The next character that is no white space is `c`; passes it.
  bool take(char c) {
    at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size());
    if (at_ == text_.size() || text_[at_] != c)
      return false;
    ++at_;
    return true;
  }

  // The inside of a string, escapes as they are.
  std::optional<std::string_view> string() {
    if (!take('"'))
      return std::nullopt;
    const std::size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != '"') at_ += text_[at_] == '\\' ? 2U : 1U;
    if (at_ >= text_.size())
      return std::nullopt;
    return text_.substr(begin, at_++ - begin);
  }

  // The text of the next value.
  std::optional<std::string_view> value() {
    at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size());
    const std::size_t begin = at_;
    std::size_t depth = 0;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"') {
        if (!string())
          return std::nullopt;
      } else if (depth == 0 && (c == ',' || c == '}' || c == ']')) {
        break;
      } else {
        depth += (c == '{' || c == '[') ? 1U : 0U;
        depth -= (c == '}' || c == ']') ? 1U : 0U;
        ++at_;
      }
    }
    return text_.substr(begin, at_ - begin);
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
};

// Refuses every event; the two readers take what they expect.
class ListReader : public nlohmann::json_sax<Json> {
 public:
  ListReader(const std::string& where, std::int64_t offset, std::string_view expected)
      : where_(where), offset_(offset), expected_(expected) {}

  bool null() override { return refuse("null"); }

  bool boolean(bool /*value*/) override { return refuse("a boolean"); }

  bool number_integer(number_integer_t /*value*/) override { return refuse("a number"); }

  bool number_unsigned(number_unsigned_t /*value*/) override { return refuse("a number"); }

  bool number_float(number_float_t /*value*/, const string_t& text) override {
    return refuse(text);
  }

  bool string(string_t& /*value*/) override { return refuse("a string"); }

  bool binary(binary_t& /*value*/) override { return refuse("binary data"); }

  bool start_object(std::size_t /*elements*/) override { return refuse("an object"); }

  bool key(string_t& /*value*/) override { return refuse("a key"); }

  bool end_object() override { return true; }

  bool start_array(std::size_t /*elements*/) override { return refuse("an array"); }

  bool end_array() override { return true; }

  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& error) override {
    // nlohmann counts from 1.
    throw DataError(where_, offset_ + static_cast<std::int64_t>(position) - 1, "JSON",
                    replace_invalid_utf8(error.what()));
  }

 protected:
  [[noreturn]] bool refuse(std::string_view found) const {
    throw DataError(where_, -1, expected_, found_text(found));
  }

  virtual std::string found_text(std::string_view found) const { return std::string(found); }

  const std::string& where() const { return where_; }

 private:
  const std::string& where_;
  std::int64_t offset_;
  std::string_view expected_;
};

class VocabularyReader : public ListReader {
 public:
  VocabularyReader(const JsonPart& part, const std::string& where)
      : ListReader(where, part.offset, "a vocabulary {token: id} of integer ids"),
        vocabulary_(where) {}

  bool start_object(std::size_t /*elements*/) override {
    return open_ ? refuse("an object") : (open_ = true);
  }

  bool key(string_t& value) override {
    token_.swap(value);
    return true;
  }

  bool number_integer(number_integer_t value) override { return add(value); }

  bool number_unsigned(number_unsigned_t value) override {
    return add(value > INT64_MAX ? INT64_MAX : static_cast<std::int64_t>(value));
  }

  Vocabulary take() { return std::move(vocabulary_); }

 private:
  bool add(std::int64_t id) {
    if (!open_)
      refuse("a number");
    vocabulary_.add(token_, id);
    return true;
  }

  std::string found_text(std::string_view found) const override {
    return open_ ? fmt::format("{} for token '{}'", found, token_) : std::string(found);
  }

  Vocabulary vocabulary_;
  std::string token_;
  bool open_ = false;
};

class MergesReader : public ListReader {
 public:
  MergesReader(const JsonPart& part, const std::string& where)
      : ListReader(where, part.offset, "merges \"a b\" or [\"a\", \"b\"]") {}

  bool start_array(std::size_t /*elements*/) override {
    if (++depth_ > 2)
      refuse("an array");
    in_pair_ = 0;
    return true;
  }

  bool end_array() override {
    if (--depth_ == 1 && in_pair_ != 2)
      refuse(fmt::format("{} tokens", in_pair_));
    return true;
  }

  bool string(string_t& value) override {
    if (depth_ == 1) {
      append_merge_line(value, merges_, where());
    } else if (depth_ == 2 && in_pair_ == 0) {
      merges_.emplace_back(std::move(value), std::string());
      ++in_pair_;
    } else if (depth_ == 2 && in_pair_ == 1) {
      merges_.back().second = std::move(value);
      ++in_pair_;
    } else {
      refuse("a string");
    }
    return true;
  }

  Merges take() { return std::move(merges_); }

 private:
  std::string found_text(std::string_view found) const override {
    return fmt::format("{} after merge {}", found, merges_.size());
  }

  Merges merges_;
  int depth_ = 0;
  int in_pair_ = 0;
};

}  // namespace

std::optional<JsonPart> find_json_member(const JsonPart& object, std::string_view key) {
  Skipper skipper(object.text);
  if (!skipper.take('{'))
    return std::nullopt;
  do {
    const auto name = skipper.string();
    if (!name || !skipper.take(':'))
      return std::nullopt;
    const auto value = skipper.value();
    if (!value)
      return std::nullopt;
    if (*name == key)
      return JsonPart{*value, object.offset + (value->data() - object.text.data())};
  } while (skipper.take(','));
  return std::nullopt;
}

Vocabulary parse_vocabulary(const JsonPart& part, const std::string& where) {
  VocabularyReader reader(part, where);
  nlohmann::json::sax_parse(part.text, &reader);
  return reader.take();
}

Merges parse_merges(const JsonPart& part, const std::string& where) {
  MergesReader reader(part, where);
  nlohmann::json::sax_parse(part.text, &reader);
  return reader.take();
}

void append_merge_line(std::string_view line, Merges& out, std::string_view where) {
  if (line.starts_with("#version"))
    return;
  const auto space = line.find(' ');
  if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
    throw DataError(where, -1, "two tokens with one space between them",
                    fmt::format("merge {}: '{}'", out.size() + 1, line.substr(0, 80)));
  }
  out.emplace_back(line.substr(0, space), line.substr(space + 1));
}

}  // namespace dlm
