#include "models/tokenizer/normalizer.h"

#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/base/json.h"
#include "models/tokenizer/byte_level.h"
#include "models/tokenizer/component.h"
#include "models/tokenizer/unicode.h"

namespace dlm {
namespace {

const std::vector<std::string> kKnown = {
    "NFC",          "NFD",     "NFKC",    "NFKD",           "Lowercase", "Strip",
    "StripAccents", "Prepend", "Replace", "BertNormalizer", "ByteLevel", "Sequence"};

class FormNormalizer : public Normalizer {
 public:
  explicit FormNormalizer(NormalForm form) : form_(form) {}

  void apply(std::string& text) const override { normalize(text, form_); }

 private:
  NormalForm form_;
};

void lowercase(std::string& text) {
  std::string out;
  out.reserve(text.size());
  for_each_character(text, [&](char32_t c, std::string_view) { append_lower(out, c); });
  text = std::move(out);
}

template <class Keep>
void filter(std::string& text, Keep keep) {
  std::string out;
  out.reserve(text.size());
  for_each_character(text, [&](char32_t c, std::string_view bytes) {
    if (keep(c))
      out.append(bytes);
  });
  text = std::move(out);
}

class Lowercase : public Normalizer {
 public:
  void apply(std::string& text) const override { lowercase(text); }
};

class StripAccents : public Normalizer {
 public:
  void apply(std::string& text) const override {
    filter(text, [](char32_t c) { return !is_combining(c); });
  }
};

class StripNormalizer : public Normalizer {
 public:
  StripNormalizer(const Json& spec, std::string_view where)
      : left_(json_bool_or(spec, "strip_left", true, where)),
        right_(json_bool_or(spec, "strip_right", true, where)) {}

  void apply(std::string& text) const override {
    std::size_t first = std::string::npos;
    std::size_t last = 0;
    std::size_t at = 0;
    for_each_character(text, [&](char32_t c, std::string_view bytes) {
      if (!is_white_space(c)) {
        first = std::min(first, at);
        last = at + bytes.size();
      }
      at += bytes.size();
    });
    if (first == std::string::npos) {
      if (left_ || right_)
        text.clear();
      return;
    }
    if (right_)
      text.resize(last);
    if (left_)
      text.erase(0, first);
  }

 private:
  bool left_;
  bool right_;
};

class Prepend : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}

  void apply(std::string& text) const override {
    if (!text.empty())
      text.insert(0, prefix_);
  }

 private:
  std::string prefix_;
};

class Replace : public Normalizer {
 public:
  Replace(const Json& spec, std::string_view where)
      : regex_(pattern_regex(spec, where)), content_(json_string(spec, "content", where)) {}

  void apply(std::string& text) const override {
    if (text.empty())
      return;
    MatchWalker walker(regex_);
    text = replace_matches(walker, text, content_);
  }

 private:
  Regex regex_;
  std::string content_;
};

class ByteLevelNormalizer : public Normalizer {
 public:
  void apply(std::string& text) const override {
    std::string out;
    append_byte_level(out, text);
    text = std::move(out);
  }
};

bool is_chinese(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

class BertNormalizer : public Normalizer {
 public:
  BertNormalizer(const Json& spec, std::string_view where)
      : clean_(json_bool_or(spec, "clean_text", true, where)),
        chinese_(json_bool_or(spec, "handle_chinese_chars", true, where)),
        lower_(json_bool_or(spec, "lowercase", true, where)),
        accents_(json_bool_or(spec, "strip_accents", lower_, where)) {}

  void apply(std::string& text) const override {
    if (clean_)
      clean(text);
    if (chinese_)
      surround_chinese(text);
    if (accents_) {
      normalize(text, NormalForm::kNfd);
      filter(text, [](char32_t c) { return !is_nonspacing(c); });
    }
    if (lower_)
      lowercase(text);
  }

 private:
  static void clean(std::string& text) {
    std::string out;
    out.reserve(text.size());
    for_each_character(text, [&](char32_t c, std::string_view bytes) {
      if (c == 0 || c == 0xFFFD || is_bert_control(c))
        return;
      if (is_white_space(c)) {
        out.push_back(' ');
      } else {
        out.append(bytes);
      }
    });
    text = std::move(out);
  }

  static void surround_chinese(std::string& text) {
    std::string out;
    out.reserve(text.size());
    for_each_character(text, [&](char32_t c, std::string_view bytes) {
      if (is_chinese(c)) {
        out.append(" ").append(bytes).append(" ");
      } else {
        out.append(bytes);
      }
    });
    text = std::move(out);
  }

  bool clean_;
  bool chinese_;
  bool lower_;
  bool accents_;
};

class NormalizerSequence : public Normalizer {
 public:
  NormalizerSequence(const Json& spec, std::string_view where) {
    for (const Json& part : sequence_parts(spec, "normalizers", where)) {
      component_type(part, where);
      parts_.push_back(make_normalizer(part, where));
    }
  }

  void apply(std::string& text) const override {
    for (const auto& part : parts_) part->apply(text);
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> parts_;
};

}  // namespace

std::unique_ptr<Normalizer> make_normalizer(const Json& spec, std::string_view where) {
  if (spec.is_null())
    return nullptr;
  const std::string type = component_type(spec, where);
  const std::pair<const char*, NormalForm> forms[] = {{"NFC", NormalForm::kNfc},
                                                      {"NFD", NormalForm::kNfd},
                                                      {"NFKC", NormalForm::kNfkc},
                                                      {"NFKD", NormalForm::kNfkd}};
  for (const auto& [name, form] : forms) {
    if (type == name)
      return std::make_unique<FormNormalizer>(form);
  }
  if (type == "Lowercase")
    return std::make_unique<Lowercase>();
  if (type == "Strip")
    return std::make_unique<StripNormalizer>(spec, where);
  if (type == "StripAccents")
    return std::make_unique<StripAccents>();
  if (type == "Prepend")
    return std::make_unique<Prepend>(json_string(spec, "prepend", where));
  if (type == "Replace")
    return std::make_unique<Replace>(spec, where);
  if (type == "BertNormalizer")
    return std::make_unique<BertNormalizer>(spec, where);
  if (type == "ByteLevel")
    return std::make_unique<ByteLevelNormalizer>();
  if (type == "Sequence")
    return std::make_unique<NormalizerSequence>(spec, where);
  refuse_component("a normalizer", type, kKnown, where);
}

}  // namespace dlm
