// Regular expressions over UTF-8 (PCRE2 with its JIT): search with groups, and replacement with the
// templates of Python's re.sub. Classes \w \d \s \b follow Unicode; "\n" alone ends a line. What
// Python's `re` does otherwise: its \s also takes U+001C..U+001F, its \w all of Alphabetic.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dlm {

struct RegexOptions {
  bool ignore_case = false;
  bool multi_line = false;  // ^ and $ match at every line
  bool dot_all = false;     // . matches "\n" too
  // Steps of one search before it is given up with a DataError; a hostile text meets this and not
  // an endless loop. Runs of one class cost no steps.
  std::uint32_t match_limit = 10'000'000;
};

// One match: offsets into the text, the whole match is group 0. A group that took no part has
// matched(g) false and text(g) empty.
class RegexMatch {
 public:
  std::size_t begin(std::size_t group = 0) const { return offsets_.at(2 * group); }

  std::size_t end(std::size_t group = 0) const { return offsets_.at(2 * group + 1); }

  std::size_t size() const { return offsets_.size() / 2; }  // groups, the whole match included

  bool matched(std::size_t group) const { return begin(group) != std::string_view::npos; }

  std::string_view text(std::size_t group = 0) const;

 private:
  friend class Regex;
  std::string_view subject_;
  std::vector<std::size_t> offsets_;
};

// A compiled expression; const use from many threads is safe.
class Regex {
 public:
  // Throws ConfigError with the position and reason for a bad pattern.
  explicit Regex(std::string_view pattern, const RegexOptions& options = {});
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  // The first match that starts at or after `offset`, which lies on a character. What stands before
  // the offset is seen by look-behind. Throws DataError for invalid UTF-8 or a match beyond the
  // limits.
  std::optional<RegexMatch> find(std::string_view text, std::size_t offset = 0) const;

  // Whether the text as a whole matches (re.fullmatch).
  bool matches_whole(std::string_view text) const;

  // All matches from left to right, as re.finditer gives them: an empty match may follow a match
  // that was not empty, never another empty one at the same place.
  std::vector<RegexMatch> find_all(std::string_view text) const;

  // Every match replaced by the template: \1 to \99, \g<name> and \g<1> are groups (empty where the
  // group took no part), "\\" a backslash, "\n" a line feed. Throws ConfigError for an unknown
  // group or escape. Source: Python re.sub.
  std::string replace_all(std::string_view text, std::string_view replacement) const;

  std::size_t group_count() const;  // groups of the pattern, the whole match excluded

  std::optional<std::size_t> group_index(std::string_view name) const;

  const std::string& pattern() const;

 private:
  friend class RegexScanner;
  struct Compiled;
  std::unique_ptr<const Compiled> compiled_;
};

// Repeated search in one text without allocation per match, for hot loops: the text is checked for
// valid UTF-8 once, here. The expression and the text outlive the scanner; one thread at a time.
class RegexScanner {
 public:
  enum class Empty { kAllowed, kNotAtStart };

  // What the caller knows about the text; kValid skips the check.
  enum class Utf8 { kCheck, kValid };

  // Throws DataError with the offset of the first invalid byte.
  RegexScanner(const Regex& regex, std::string_view text, Utf8 utf8 = Utf8::kCheck);
  RegexScanner(const RegexScanner&) = delete;
  RegexScanner& operator=(const RegexScanner&) = delete;
  ~RegexScanner();

  // Goes on with another text, which the caller knows to be valid UTF-8.
  void reset(std::string_view text) { text_ = text; }

  // The first match at or after `offset`; then begin() and end() tell where. kNotAtStart refuses an
  // empty match at `offset` itself. Throws DataError beyond the limits.
  bool find(std::size_t offset, Empty empty = Empty::kAllowed);

  std::size_t begin(std::size_t group = 0) const { return offsets_[2 * group]; }

  std::size_t end(std::size_t group = 0) const { return offsets_[2 * group + 1]; }

 private:
  struct MatchState;
  const Regex::Compiled* compiled_;
  std::string_view text_;
  std::unique_ptr<MatchState> state_;
  const std::size_t* offsets_ = nullptr;
};

}  // namespace dlm
