#include "models/tokenizer/pre_tokenizer.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "harness/base/text.h"
#include "models/tokenizer/byte_level.h"
#include "models/tokenizer/component.h"
#include "models/tokenizer/oniguruma.h"
#include "models/tokenizer/split_behaviour.h"
#include "models/tokenizer/unicode.h"

namespace dlm {
namespace {

const std::vector<std::string> kKnown = {
    "ByteLevel",          "Split",     "Digits",           "Whitespace",
    "WhitespaceSplit",    "Metaspace", "BertPreTokenizer", "Punctuation",
    "CharDelimiterSplit", "Sequence"};

// GPT-2 encoder.py, which ByteLevel uses by itself.
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// Replaces the pieces by those that `cut(view, add)` finds in each, where add(begin, end, match)
// takes offsets in the view.
template <class Cut>
void split_pieces(PreTokenized& text, SplitBehaviour behaviour, Cut cut) {
  std::vector<PreTokenized::Piece> pieces;
  pieces.reserve(text.pieces.size() + text.text.size() / 5);
  std::vector<Stretch> stretches;
  const bool direct =
      behaviour == SplitBehaviour::kIsolated || behaviour == SplitBehaviour::kRemoved;
  for (const PreTokenized::Piece& piece : text.pieces) {
    const auto add = [&](std::size_t begin, std::size_t end, bool match) {
      if (!direct) {
        stretches.push_back({piece.begin + begin, piece.begin + end, match});
      } else if (begin < end && (!match || behaviour == SplitBehaviour::kIsolated)) {
        pieces.push_back({piece.begin + begin, piece.begin + end});
      }
    };
    cut(text.view(piece), add);
    if (!direct) {
      append_pieces(stretches, behaviour, pieces);
      stretches.clear();
    }
  }
  text.pieces = std::move(pieces);
}

// Splits at the matches of a regex.
void split_at_matches(PreTokenized& text, SplitBehaviour behaviour, const Regex& regex,
                      bool invert) {
  MatchWalker walker(regex);
  split_pieces(text, behaviour, [&](std::string_view view, const auto& add) {
    std::size_t before = 0;
    walker.start(view);
    while (walker.next()) {
      if (before != walker.begin())
        add(before, walker.begin(), invert);
      add(walker.begin(), walker.end(), !invert);
      before = walker.end();
    }
    if (before != view.size())
      add(before, view.size(), invert);
  });
}

// Splits at single characters of a class.
void split_at_characters(PreTokenized& text, SplitBehaviour behaviour, bool (*matches)(char32_t)) {
  split_pieces(text, behaviour, [&](std::string_view view, const auto& add) {
    std::size_t before = 0;
    std::size_t at = 0;
    for_each_character(view, [&](char32_t c, std::string_view bytes) {
      if (matches(c)) {
        if (before < at)
          add(before, at, false);
        add(at, at + bytes.size(), true);
        before = at + bytes.size();
      }
      at += bytes.size();
    });
    if (before < at)
      add(before, at, false);
  });
}

// Writes every piece anew with write(view, index, out).
template <class Write>
void rewrite_pieces(PreTokenized& text, Write write) {
  std::string out;
  out.reserve(text.text.size() + text.text.size() / 4);
  text.at_start = text.starts_input();
  for (std::size_t i = 0; i < text.pieces.size(); ++i) {
    const std::size_t begin = out.size();
    write(text.view(text.pieces[i]), i, out);
    text.pieces[i] = {begin, out.size()};
  }
  text.text = std::move(out);
}

class ByteLevel : public PreTokenizer {
 public:
  ByteLevel(const Json& spec, std::string_view where)
      : prefix_space_(json_bool_or(spec, "add_prefix_space", true, where)),
        use_regex_(json_bool_or(spec, "use_regex", true, where)),
        regex_(compile_oniguruma(kGpt2Pattern)) {}

  void apply(PreTokenized& text) const override {
    if (prefix_space_) {
      rewrite_pieces(text, [](std::string_view view, std::size_t, std::string& out) {
        if (!view.starts_with(' '))
          out.push_back(' ');
        out.append(view);
      });
    }
    if (use_regex_)
      split_at_matches(text, SplitBehaviour::kIsolated, regex_, false);
    rewrite_pieces(text, [](std::string_view view, std::size_t, std::string& out) {
      append_byte_level(out, view);
    });
  }

 private:
  bool prefix_space_;
  bool use_regex_;
  Regex regex_;
};

class Split : public PreTokenizer {
 public:
  Split(const Json& spec, std::string_view where)
      : regex_(pattern_regex(spec, where)),
        behaviour_(parse_split_behaviour(json_string(spec, "behavior", where), where)),
        invert_(json_bool_or(spec, "invert", false, where)) {}

  void apply(PreTokenized& text) const override {
    split_at_matches(text, behaviour_, regex_, invert_);
  }

 private:
  Regex regex_;
  SplitBehaviour behaviour_;
  bool invert_;
};

class CharacterSplit : public PreTokenizer {
 public:
  CharacterSplit(bool (*matches)(char32_t), SplitBehaviour behaviour)
      : matches_(matches), behaviour_(behaviour) {}

  void apply(PreTokenized& text) const override { split_at_characters(text, behaviour_, matches_); }

 private:
  bool (*matches_)(char32_t);
  SplitBehaviour behaviour_;
};

class BertPreTokenizer : public PreTokenizer {
 public:
  void apply(PreTokenized& text) const override {
    split_at_characters(text, SplitBehaviour::kRemoved, is_white_space);
    split_at_characters(text, SplitBehaviour::kIsolated, is_punctuation);
  }
};

// Runs of word characters, and runs of what is neither word nor space.
class Whitespace : public PreTokenizer {
 public:
  Whitespace()
      : regex_(fmt::format(R"([{0}]+|[^{0}\p{{White_Space}}]+)", rust_word_class()),
               {.match_limit = UINT32_MAX}) {}

  void apply(PreTokenized& text) const override {
    split_at_matches(text, SplitBehaviour::kRemoved, regex_, true);
  }

 private:
  Regex regex_;
};

class CharDelimiterSplit : public PreTokenizer {
 public:
  CharDelimiterSplit(const Json& spec, std::string_view where)
      : delimiter_(single_character(spec, "delimiter", where)) {}

  void apply(PreTokenized& text) const override {
    split_pieces(text, SplitBehaviour::kRemoved, [&](std::string_view view, const auto& add) {
      std::size_t before = 0;
      for (std::size_t at = 0; (at = view.find(delimiter_, before)) != std::string_view::npos;) {
        add(before, at, false);
        before = at + delimiter_.size();
      }
      add(before, view.size(), false);
    });
  }

 private:
  std::string delimiter_;
};

// Scheme "first" goes by the normalised text: where a normaliser has taken the first characters
// away, upstream prepends nothing, this does.
class Metaspace : public PreTokenizer {
 public:
  Metaspace(const Json& spec, std::string_view where)
      : replacement_(single_character(spec, "replacement", where)),
        scheme_(json_string_or(spec, "prepend_scheme", "always", where)),
        split_(json_bool_or(spec, "split", true, where)) {
    if (scheme_ != "always" && scheme_ != "first" && scheme_ != "never")
      throw DataError(where, -1, "prepend_scheme always, first or never", scheme_);
    if (!json_bool_or(spec, "add_prefix_space", true, where)) {
      if (scheme_ != "never" && spec.contains("prepend_scheme"))
        throw DataError(where, -1, "prepend_scheme never where add_prefix_space is false", scheme_);
      scheme_ = "never";
    }
  }

  void apply(PreTokenized& text) const override {
    const bool at_start = text.starts_input();
    rewrite_pieces(text, [&](std::string_view view, std::size_t index, std::string& out) {
      const bool has = view.starts_with(' ') || view.starts_with(replacement_);
      if (!has && (scheme_ == "always" || (scheme_ == "first" && at_start && index == 0)))
        out.append(replacement_);
      for (const char c : view) {
        if (c == ' ') {
          out.append(replacement_);
        } else {
          out.push_back(c);
        }
      }
    });
    if (split_) {
      split_pieces(text, SplitBehaviour::kMergedWithNext,
                   [&](std::string_view view, const auto& add) { cut(view, add); });
    }
  }

 private:
  template <class Add>
  void cut(std::string_view view, const Add& add) const {
    std::size_t before = 0;
    for (std::size_t at = 0; (at = view.find(replacement_, before)) != std::string_view::npos;) {
      if (before < at)
        add(before, at, false);
      before = at + replacement_.size();
      add(at, before, true);
    }
    if (before < view.size())
      add(before, view.size(), false);
  }

  std::string replacement_;
  std::string scheme_;
  bool split_;
};

class PreTokenizerSequence : public PreTokenizer {
 public:
  PreTokenizerSequence(const Json& spec, std::string_view where) {
    for (const Json& part : sequence_parts(spec, "pretokenizers", where)) {
      component_type(part, where);
      parts_.push_back(make_pre_tokenizer(part, where));
    }
  }

  void apply(PreTokenized& text) const override {
    for (const auto& part : parts_) part->apply(text);
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> parts_;
};

}  // namespace

std::unique_ptr<PreTokenizer> make_pre_tokenizer(const Json& spec, std::string_view where) {
  if (spec.is_null())
    return nullptr;
  const std::string type = component_type(spec, where);
  if (type == "ByteLevel")
    return std::make_unique<ByteLevel>(spec, where);
  if (type == "Split")
    return std::make_unique<Split>(spec, where);
  if (type == "Digits") {
    const bool individual = json_bool_or(spec, "individual_digits", false, where);
    return std::make_unique<CharacterSplit>(
        is_numeric, individual ? SplitBehaviour::kIsolated : SplitBehaviour::kContiguous);
  }
  if (type == "Whitespace")
    return std::make_unique<Whitespace>();
  if (type == "WhitespaceSplit")
    return std::make_unique<CharacterSplit>(is_white_space, SplitBehaviour::kRemoved);
  if (type == "Metaspace")
    return std::make_unique<Metaspace>(spec, where);
  if (type == "BertPreTokenizer")
    return std::make_unique<BertPreTokenizer>();
  if (type == "Punctuation") {
    return std::make_unique<CharacterSplit>(
        is_punctuation,
        parse_split_behaviour(json_string_or(spec, "behavior", "Isolated", where), where));
  }
  if (type == "CharDelimiterSplit")
    return std::make_unique<CharDelimiterSplit>(spec, where);
  if (type == "Sequence")
    return std::make_unique<PreTokenizerSequence>(spec, where);
  refuse_component("a pre_tokenizer", type, kKnown, where);
}

}  // namespace dlm
