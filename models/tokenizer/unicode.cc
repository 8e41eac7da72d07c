#include "models/tokenizer/unicode.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <vector>

#include <utf8proc.h>

#include "harness/base/error.h"
#include "models/tokenizer/unicode_tables.h"

namespace dlm {
namespace {

template <std::size_t N>
bool in_ranges(const CodeRange (&ranges)[N], char32_t c) {
  const CodeRange* after =
      std::upper_bound(std::begin(ranges), std::end(ranges), c,
                       [](char32_t value, const CodeRange& range) { return value < range.first; });
  return after != std::begin(ranges) && c <= std::prev(after)->last;
}

utf8proc_category_t category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

bool is_ascii_punctuation(char32_t c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
         (c >= '{' && c <= '~');
}

struct Mark {
  utf8proc_int32_t value;
  int combining_class;
};

int combining_class(utf8proc_int32_t c) {
  // A mark that the reference does not know yet has class 0 there.
  const int ccc = utf8proc_get_property(c)->combining_class;
  return ccc != 0 && in_ranges(kNotYetCombining, static_cast<char32_t>(c)) ? 0 : ccc;
}

// Canonical ordering: a stable sort by class of every run between two characters of class 0.
void sort_marks(std::vector<utf8proc_int32_t>& points) {
  std::vector<Mark> run;
  for (std::size_t i = 0; i < points.size();) {
    run.clear();
    std::size_t end = i;
    for (; end < points.size(); ++end) {
      const int ccc = combining_class(points[end]);
      if (ccc == 0)
        break;
      run.push_back({points[end], ccc});
    }
    std::stable_sort(run.begin(), run.end(), [](const Mark& a, const Mark& b) {
      return a.combining_class < b.combining_class;
    });
    for (const Mark& mark : run) points[i++] = mark.value;
    i = end + 1;
  }
}

class FormWriter {
 public:
  FormWriter(NormalForm form, std::string& out)
      : composes_(form == NormalForm::kNfc || form == NormalForm::kNfkc),
        decompose_options_(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE),
        out_(out) {
    if (form == NormalForm::kNfkc || form == NormalForm::kNfkd)
      decompose_options_ |= UTF8PROC_COMPAT;
  }

  // Adds one stretch of text that no neighbour combines with.
  void add(std::string_view text) {
    points_.clear();
    for_each_character(text, [&](char32_t c, std::string_view) { decompose(c); });
    sort_marks(points_);
    auto length = static_cast<utf8proc_ssize_t>(points_.size());
    if (composes_) {
      length = utf8proc_normalize_utf32(
          points_.data(), length,
          static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
    }
    DLM_CHECK(length >= 0, "utf8proc: {}", utf8proc_errmsg(length));
    for (utf8proc_ssize_t i = 0; i < length; ++i)
      append_utf8(out_, static_cast<char32_t>(points_[static_cast<std::size_t>(i)]));
  }

 private:
  void decompose(char32_t c) {
    const auto value = static_cast<utf8proc_int32_t>(c);
    if (in_ranges(kNotYetDecomposing, c)) {
      points_.push_back(value);
      return;
    }
    std::array<utf8proc_int32_t, 32> parts{};
    int last_boundclass = 0;
    const utf8proc_ssize_t n = utf8proc_decompose_char(
        value, parts.data(), static_cast<utf8proc_ssize_t>(parts.size()),
        static_cast<utf8proc_option_t>(decompose_options_), &last_boundclass);
    DLM_CHECK(n >= 0 && n <= static_cast<utf8proc_ssize_t>(parts.size()),
              "decomposition of U+{:04X} has {} parts", static_cast<unsigned>(c), n);
    points_.insert(points_.end(), parts.begin(), parts.begin() + n);
  }

  bool composes_;
  int decompose_options_;
  std::string& out_;
  std::vector<utf8proc_int32_t> points_;
};

}  // namespace

bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool is_numeric(char32_t c) {
  if (c < 0x80)
    return c >= '0' && c <= '9';
  const utf8proc_category_t k = category(c);
  return k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_NO;
}

bool is_punctuation(char32_t c) {
  if (c < 0x80)
    return is_ascii_punctuation(c);
  // U+166D was punctuation until Unicode 12, U+111C9 until Unicode 11.
  if (c == 0x166D || c == 0x111C9)
    return true;
  const utf8proc_category_t k = category(c);
  return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO &&
         !in_ranges(kNotYetPunctuation, c);
}

bool is_nonspacing(char32_t c) {
  if (c < 0x300)
    return false;
  // U+1734 was nonspacing until Unicode 14.
  return c == 0x1734 || (category(c) == UTF8PROC_CATEGORY_MN && !in_ranges(kNotYetNonspacing, c));
}

bool is_combining(char32_t c) {
  if (c < 0x300)
    return false;
  // U+1CF2 and U+1CF3 were marks until Unicode 12.
  if (c == 0x1CF2 || c == 0x1CF3)
    return true;
  const utf8proc_category_t k = category(c);
  return k >= UTF8PROC_CATEGORY_MN && k <= UTF8PROC_CATEGORY_ME && !in_ranges(kNotYetCombining, c);
}

bool is_bert_control(char32_t c) {
  if (c == '\t' || c == '\n' || c == '\r')
    return false;
  if (c < 0x7F)
    return c < 0x20;
  const utf8proc_category_t k = category(c);
  const bool later_format =
      c == 0x890 || c == 0x891 || c == 0x8E2 || c == 0x110CD || (c >= 0x13430 && c <= 0x1343F);
  return k == UTF8PROC_CATEGORY_CC || (k == UTF8PROC_CATEGORY_CF && !later_format) ||
         k == UTF8PROC_CATEGORY_CO;
}

void append_lower(std::string& out, char32_t c) {
  if (c < 0x80) {
    out.push_back(static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c));
  } else if (c == 0x130) {
    out.append("i\xCC\x87");
  } else {
    append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
  }
}

void normalize(std::string& text, NormalForm form) {
  // Below this code point nothing changes, and nothing combines with what stands before it.
  const char32_t inert_below = form == NormalForm::kNfc ? 0x300 : 0x80;
  std::string out;
  FormWriter writer(form, out);
  std::size_t copied = 0;      // text up to here is in `out`
  std::size_t last_inert = 0;  // where the inert character before the present one begins
  bool active = false;         // text from `copied` on must be normalised
  std::size_t at = 0;
  for_each_character(text, [&](char32_t c, std::string_view bytes) {
    if (c >= inert_below && !active) {
      out.append(text, copied, last_inert - copied);
      copied = last_inert;
      active = true;
    } else if (c < inert_below) {
      if (active) {
        writer.add(std::string_view(text).substr(copied, at - copied));
        copied = at;
        active = false;
      }
      last_inert = at;
    }
    at += bytes.size();
  });
  if (copied == 0 && !active)
    return;
  if (active) {
    writer.add(std::string_view(text).substr(copied));
  } else {
    out.append(text, copied);
  }
  text = std::move(out);
}

}  // namespace dlm
