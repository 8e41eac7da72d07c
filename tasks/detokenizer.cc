#include "tasks/detokenizer.h"

#include <array>
#include <utility>

#include "harness/base/error.h"
#include "harness/base/regex.h"
#include "harness/base/text.h"

namespace dlm {
namespace {

// str.replace: every occurrence from left to right, none overlapping.
void replace(std::string& text, std::string_view from, std::string_view to) {
  std::size_t at = text.find(from);
  if (at == std::string::npos)
    return;
  std::string out;
  out.reserve(text.size());
  std::size_t copied = 0;
  for (; at != std::string::npos; at = text.find(from, copied)) {
    out.append(text, copied, at - copied).append(to);
    copied = at + from.size();
  }
  out.append(text, copied);
  text = std::move(out);
}

// str.strip() with Python's idea of white space, which is also that of \s in its `re`.
std::string_view strip(std::string_view text) {
  std::size_t first = 0;
  std::size_t last = 0;  // end of the last character that is no space
  bool seen = false;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = decode_utf8(text, at);
    if (!is_unicode_space(c.value)) {
      first = seen ? first : at;
      last = at + c.bytes;
      seen = true;
    }
    at += c.bytes;
  }
  return text.substr(first, last - first);
}

// re.sub(r"\(\s*([^\)]*?)\s*\)", r"(\1)") and its like for other pairs. A match reaches from an
// opening mark to the first closing one, so one pass does it: no backtracking over a long text
// where a mark stays open.
void strip_inside(std::string& text, char open, char close) {
  std::string out;
  out.reserve(text.size());
  std::size_t copied = 0;
  while (true) {
    const std::size_t begin = text.find(open, copied);
    if (begin == std::string::npos)
      break;
    const std::size_t end = text.find(close, begin + 1);
    if (end == std::string::npos)
      break;
    out.append(text, copied, begin + 1 - copied);
    out.append(strip(std::string_view(text).substr(begin + 1, end - begin - 1)));
    out.push_back(close);
    copied = end + 1;
  }
  out.append(text, copied);
  text = std::move(out);
}

// re.sub(r"\( ([^\(\)]+) \)", r"(\1)") and its like: exactly one space on each side goes.
void join_inside(std::string& text, char open, char close) {
  const std::array<char, 2> marks{open, close};
  const std::string_view either(marks.data(), marks.size());
  std::string out;
  out.reserve(text.size());
  std::size_t copied = 0;
  for (std::size_t begin = text.find(open); begin != std::string::npos;) {
    const std::size_t end = text.find_first_of(either, begin + 1);
    if (end == std::string::npos)
      break;
    const bool joined =
        text[end] == close && end - begin >= 4 && text[begin + 1] == ' ' && text[end - 1] == ' ';
    if (joined) {
      out.append(text, copied, begin + 1 - copied).append(text, begin + 2, end - begin - 3);
      copied = end;
    }
    begin = text.find(open, joined ? end + 1 : begin + 1);
  }
  out.append(text, copied);
  text = std::move(out);
}

using Rule = std::pair<std::string_view, std::string_view>;

template <std::size_t N>
void replace_each(std::string& text, const std::array<Rule, N>& rules) {
  for (const auto& [from, to] : rules) replace(text, from, to);
}

std::string keep(std::string_view text) {
  return std::string(text);
}

std::string wikitext(std::string_view source) {
  static const Regex kSlashedNumber("/' [0-9]/");
  constexpr std::array<Rule, 9> kSeparators{{{" @-@ ", "-"},
                                             {" @,@ ", ","},
                                             {" @.@ ", "."},
                                             {" : ", ": "},
                                             {" ; ", "; "},
                                             {" . ", ". "},
                                             {" ! ", "! "},
                                             {" ? ", "? "},
                                             {" , ", ", "}}};
  constexpr std::array<Rule, 8> kRest{{{"= = = =", "===="},
                                       {"= = =", "==="},
                                       {"= =", "=="},
                                       {" \u00b0 ", "\u00b0"},
                                       {" \n", "\n"},
                                       {"\n ", "\n"},
                                       {" N ", " 1 "},
                                       {" 's", "'s"}}};
  std::string text(source);
  replace(text, "s '", "s'");
  text = kSlashedNumber.replace_all(text, "/'[0-9]/");
  replace_each(text, kSeparators);
  strip_inside(text, '(', ')');
  strip_inside(text, '[', ']');
  strip_inside(text, '{', '}');
  strip_inside(text, '"', '"');
  strip_inside(text, '\'', '\'');
  replace_each(text, kRest);
  return text;
}

std::string ptb(std::string_view source) {
  constexpr std::array<Rule, 5> kBefore{
      {{" 's", "'s"}, {"s ' ", "s' "}, {" n't", "n't"}, {" \n ", "\n"}, {"\\/", "/"}}};
  constexpr std::array<Rule, 3> kAfter{{{"$ 1", "$1"}, {"# 1", "#1"}, {"<unk>", "?"}}};
  std::string text(source);
  replace_each(text, kBefore);
  // Matches share their spaces, so runs of N need several passes; the original makes ten.
  for (int pass = 0; pass < 10; ++pass) replace(text, " N ", " 1 ");
  replace_each(text, kAfter);
  return text;
}

std::string lm1b(std::string_view source) {
  // Letters, numbers and "_": \w as Python has it, in every version of PCRE2.
  static const Regex kQuotedWord(R"( '([\p{L}\p{N}_]+))");
  static const Regex kFullStop(R"( ([\p{L}\p{N}_]+) \. )");
  static const Regex kLastFullStop(R"( ([\p{L}\p{N}_]+) \.$)");
  static const Regex kLastQuestion(R"( \?$)");
  static const Regex kLastExclamation(R"( !$)");
  constexpr std::array<Rule, 4> kMarks{{{" , ", ", "}, {" : ", ": "}, {" ; ", "; "}, {" / ", "/"}}};
  std::string text(source);
  replace(text, "http : / / ", "http://");
  replace(text, "https : / / ", "https://");
  text = kQuotedWord.replace_all(text, R"('\1)");
  text = kFullStop.replace_all(text, R"( \1. )");
  text = kLastFullStop.replace_all(text, R"( \1.)");
  replace(text, " ? ", "? ");
  text = kLastQuestion.replace_all(text, "?");
  replace(text, " ! ", "! ");
  text = kLastExclamation.replace_all(text, "!");
  replace_each(text, kMarks);
  join_inside(text, '"', '"');
  join_inside(text, '\'', '\'');
  join_inside(text, '(', ')');
  join_inside(text, '[', ']');
  replace(text, "$ ", "$");
  replace(text, "\u00a3 ", "\u00a3");
  return text;
}

std::string lambada(std::string_view source) {
  std::string text(source);
  replace(text, "\u201c", "\"");
  replace(text, "\u201d", "\"");
  return "\n" + std::string(strip(text));
}

std::string scientific_papers(std::string_view source) {
  return lm1b(wikitext(source));
}

constexpr std::array<std::pair<const char*, Detokenizer>, 6> kDetokenizers{
    {{"none", keep},
     {"wikitext", wikitext},
     {"ptb", ptb},
     {"lm1b", lm1b},
     {"lambada", lambada},
     {"scientific_papers", scientific_papers}}};

}  // namespace

Detokenizer find_detokenizer(std::string_view name) {
  for (const auto& [known, detokenizer] : kDetokenizers) {
    if (name == known)
      return detokenizer;
  }
  throw unknown_name("detokenizer", name, detokenizer_names());
}

std::vector<std::string> detokenizer_names() {
  std::vector<std::string> names;
  for (const auto& [name, detokenizer] : kDetokenizers) names.emplace_back(name);
  return names;
}

}  // namespace dlm
