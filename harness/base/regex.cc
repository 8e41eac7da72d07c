#include "harness/base/regex.h"

#include <array>
#include <utility>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "harness/base/error.h"
#include "harness/base/text.h"

namespace dlm {
namespace {

constexpr std::size_t kJitStackStart = std::size_t{32} << 10U;
constexpr std::size_t kJitStackMost = std::size_t{8} << 20U;
constexpr std::uint32_t kHeapLimitKib = 1U << 20U;

struct FreePcre2 {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }

  void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }

  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }

  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }

  void operator()(pcre2_jit_stack* stack) const { pcre2_jit_stack_free(stack); }
};

template <class T>
using Pcre2Ptr = std::unique_ptr<T, FreePcre2>;

PCRE2_SPTR as_pcre2(std::string_view text) {
  // PCRE2 refuses a null pointer even with length 0.
  return reinterpret_cast<PCRE2_SPTR>(text.data() == nullptr ? "" : text.data());
}

std::string message_of(int code) {
  std::array<PCRE2_UCHAR, 256> buffer{};
  pcre2_get_error_message(code, buffer.data(), buffer.size());
  return reinterpret_cast<const char*>(buffer.data());
}

std::uint32_t compile_flags(const RegexOptions& options) {
  std::uint32_t flags = PCRE2_UTF | PCRE2_UCP;
  if (options.ignore_case)
    flags |= PCRE2_CASELESS;
  if (options.multi_line)
    flags |= PCRE2_MULTILINE;
  if (options.dot_all)
    flags |= PCRE2_DOTALL;
  return flags;
}

// The stack of the JIT code is for one thread at a time; it grows on demand and is kept.
pcre2_jit_stack* jit_stack_of_thread() {
  thread_local const Pcre2Ptr<pcre2_jit_stack> stack(
      pcre2_jit_stack_create(kJitStackStart, kJitStackMost, nullptr));
  return stack.get();
}

pcre2_jit_stack* provide_jit_stack(void* /*unused*/) {
  return jit_stack_of_thread();
}

}  // namespace

struct Regex::Compiled {
  std::string pattern;
  Pcre2Ptr<pcre2_code> code;
  std::uint32_t match_limit = 0;
  std::uint32_t groups = 0;
};

struct RegexScanner::MatchState {
  Pcre2Ptr<pcre2_match_context> context;
  Pcre2Ptr<pcre2_match_data> data;
};

std::string_view RegexMatch::text(std::size_t group) const {
  return matched(group) ? subject_.substr(begin(group), end(group) - begin(group))
                        : std::string_view();
}

Regex::Regex(std::string_view pattern, const RegexOptions& options) {
  const Pcre2Ptr<pcre2_compile_context> context(pcre2_compile_context_create(nullptr));
  DLM_CHECK(context != nullptr, "out of memory");
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  std::size_t offset = 0;
  auto compiled = std::make_unique<Compiled>();
  compiled->pattern = pattern;
  compiled->match_limit = options.match_limit;
  compiled->code.reset(pcre2_compile(as_pcre2(pattern), pattern.size(), compile_flags(options),
                                     &error, &offset, context.get()));
  if (compiled->code == nullptr) {
    throw ConfigError("regular expression", pattern,
                      fmt::format("at byte {}: {}", offset, message_of(error)));
  }
  // A pattern that the JIT cannot take runs in the interpreter, with the same matches.
  pcre2_jit_compile(compiled->code.get(), PCRE2_JIT_COMPLETE);
  pcre2_pattern_info(compiled->code.get(), PCRE2_INFO_CAPTURECOUNT, &compiled->groups);
  compiled_ = std::move(compiled);
}

Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

std::size_t Regex::group_count() const {
  return compiled_->groups;
}

const std::string& Regex::pattern() const {
  return compiled_->pattern;
}

std::optional<std::size_t> Regex::group_index(std::string_view name) const {
  const int index =
      pcre2_substring_number_from_name(compiled_->code.get(), as_pcre2(std::string(name).c_str()));
  return index < 0 ? std::nullopt : std::optional(static_cast<std::size_t>(index));
}

RegexScanner::RegexScanner(const Regex& regex, std::string_view text, Utf8 utf8)
    : compiled_(regex.compiled_.get()), text_(text), state_(std::make_unique<MatchState>()) {
  if (utf8 == Utf8::kCheck) {
    if (const auto bad = find_invalid_utf8(text))
      throw DataError("text", static_cast<std::int64_t>(*bad), "valid UTF-8", "an invalid byte");
  }
  state_->context.reset(pcre2_match_context_create(nullptr));
  state_->data.reset(pcre2_match_data_create_from_pattern(compiled_->code.get(), nullptr));
  DLM_CHECK(state_->context != nullptr && state_->data != nullptr, "out of memory");
  pcre2_set_match_limit(state_->context.get(), compiled_->match_limit);
  pcre2_set_heap_limit(state_->context.get(), kHeapLimitKib);
  pcre2_jit_stack_assign(state_->context.get(), provide_jit_stack, nullptr);
  offsets_ = pcre2_get_ovector_pointer(state_->data.get());
}

RegexScanner::~RegexScanner() = default;

bool RegexScanner::find(std::size_t offset, Empty empty) {
  DLM_CHECK(offset <= text_.size(), "offset {} of {} bytes", offset, text_.size());
  std::uint32_t flags = PCRE2_NO_UTF_CHECK;
  if (empty == Empty::kNotAtStart)
    flags |= PCRE2_NOTEMPTY_ATSTART;
  const auto match = [&](std::uint32_t extra) {
    return pcre2_match(compiled_->code.get(), as_pcre2(text_), text_.size(), offset, flags | extra,
                       state_->data.get(), state_->context.get());
  };
  int status = match(0);
  // The interpreter keeps its state on the heap, so it can finish what is too deep for the JIT.
  if (status == PCRE2_ERROR_JIT_STACKLIMIT)
    status = match(PCRE2_NO_JIT);
  if (status == PCRE2_ERROR_NOMATCH)
    return false;
  if (status < 0) {
    throw DataError(fmt::format("text searched for /{}/", compiled_->pattern),
                    static_cast<std::int64_t>(offset), "a search within the limits",
                    message_of(status));
  }
  return true;
}

std::optional<RegexMatch> Regex::find(std::string_view text, std::size_t offset) const {
  RegexScanner scanner(*this, text);
  if (!scanner.find(offset))
    return std::nullopt;
  RegexMatch match;
  match.subject_ = text;
  for (std::size_t g = 0; g <= group_count(); ++g) {
    match.offsets_.push_back(scanner.begin(g));
    match.offsets_.push_back(scanner.end(g));
  }
  return match;
}

bool Regex::matches_whole(std::string_view text) const {
  // The alternatives of the pattern are retried until one ends where the text does.
  const Pcre2Ptr<pcre2_match_data> data(
      pcre2_match_data_create_from_pattern(compiled_->code.get(), nullptr));
  const Pcre2Ptr<pcre2_match_context> context(pcre2_match_context_create(nullptr));
  DLM_CHECK(data != nullptr && context != nullptr, "out of memory");
  pcre2_set_match_limit(context.get(), compiled_->match_limit);
  pcre2_set_heap_limit(context.get(), kHeapLimitKib);
  const int status = pcre2_match(compiled_->code.get(), as_pcre2(text), text.size(), 0,
                                 PCRE2_ANCHORED | PCRE2_ENDANCHORED, data.get(), context.get());
  if (status < 0 && status != PCRE2_ERROR_NOMATCH) {
    throw DataError(fmt::format("text searched for /{}/", compiled_->pattern), 0,
                    "valid UTF-8 and a search within the limits", message_of(status));
  }
  return status > 0;
}

std::vector<RegexMatch> Regex::find_all(std::string_view text) const {
  std::vector<RegexMatch> matches;
  RegexScanner scanner(*this, text);
  auto empty = RegexScanner::Empty::kAllowed;
  for (std::size_t at = 0; at <= text.size() && scanner.find(at, empty);) {
    RegexMatch match;
    match.subject_ = text;
    for (std::size_t g = 0; g <= group_count(); ++g) {
      match.offsets_.push_back(scanner.begin(g));
      match.offsets_.push_back(scanner.end(g));
    }
    at = match.end();
    empty = match.begin() == match.end() ? RegexScanner::Empty::kNotAtStart
                                         : RegexScanner::Empty::kAllowed;
    matches.push_back(std::move(match));
  }
  return matches;
}

namespace {

// A replacement template cut into literal text and group numbers.
struct TemplatePart {
  std::string literal;
  std::optional<std::size_t> group;
};

class TemplateParser {
 public:
  TemplateParser(const Regex& regex, std::string_view text) : regex_(regex), text_(text) {}

  std::vector<TemplatePart> parse() {
    while (at_ < text_.size()) {
      if (text_[at_] != '\\') {
        literal_.push_back(text_[at_++]);
      } else {
        ++at_;
        escape();
      }
    }
    flush();
    return std::move(parts_);
  }

 private:
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }

  [[noreturn]] void fail(std::string_view why) const {
    throw ConfigError("replacement", text_, why);
  }

  void flush() {
    if (!literal_.empty())
      parts_.push_back({std::exchange(literal_, {}), std::nullopt});
  }

  void add_group(std::optional<std::size_t> group, std::string_view name) {
    if (!group || *group > regex_.group_count())
      fail(fmt::format("the pattern has no group '{}'", name));
    flush();
    parts_.push_back({{}, group});
  }

  void escape() {
    if (at_ == text_.size())
      fail("ends in a lone backslash");
    const char c = text_[at_];
    if (c >= '1' && c <= '9') {
      const std::size_t digits = at_ + 1 < text_.size() && is_digit(text_[at_ + 1]) ? 2 : 1;
      const std::string_view name = text_.substr(at_, digits);
      at_ += digits;
      add_group(parse_uint(name), name);
    } else if (c == 'g') {
      named_group();
    } else if (c == '\\' || c == 'n') {
      literal_.push_back(c == 'n' ? '\n' : c);
      ++at_;
    } else {
      fail(fmt::format("unknown escape '\\{}'", c));
    }
  }

  void named_group() {
    const auto close = text_.find('>', at_);
    if (close == std::string_view::npos || text_.substr(at_, 2) != "g<")
      fail("expected \\g<name>");
    const std::string_view name = text_.substr(at_ + 2, close - at_ - 2);
    at_ = close + 1;
    const auto number = parse_uint(name);
    add_group(number ? number : regex_.group_index(name), name);
  }

  const Regex& regex_;
  std::string_view text_;
  std::size_t at_ = 0;
  std::string literal_;
  std::vector<TemplatePart> parts_;
};

}  // namespace

std::string Regex::replace_all(std::string_view text, std::string_view replacement) const {
  const std::vector<TemplatePart> parts = TemplateParser(*this, replacement).parse();
  std::string out;
  std::size_t copied = 0;
  for (const RegexMatch& match : find_all(text)) {
    out.append(text.substr(copied, match.begin() - copied));
    for (const TemplatePart& part : parts)
      out.append(part.group ? match.text(*part.group) : std::string_view(part.literal));
    copied = match.end();
  }
  out.append(text.substr(copied));
  return out;
}

}  // namespace dlm
