#include "models/tokenizer/decoder.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "harness/base/text.h"
#include "models/tokenizer/byte_level.h"
#include "models/tokenizer/component.h"

namespace dlm {
namespace {

const std::vector<std::string> kKnown = {"ByteLevel", "ByteFallback", "Fuse",
                                         "Strip",     "Replace",      "WordPiece",
                                         "Metaspace", "BPEDecoder",   "Sequence"};

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  if (from.empty() || text.find(from) == std::string::npos)
    return;
  std::string out;
  std::size_t copied = 0;
  for (std::size_t at = 0; (at = text.find(from, copied)) != std::string::npos;) {
    out.append(text, copied, at - copied).append(to);
    copied = at + from.size();
  }
  text = out.append(text, copied);
}

void join(std::vector<std::string>& tokens) {
  std::string out;
  for (const std::string& token : tokens) out.append(token);
  tokens.assign(1, std::move(out));
}

class ByteLevelDecoder : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::string bytes;
    for (const std::string& token : tokens) append_from_byte_level(bytes, token);
    tokens.assign(1, replace_invalid_utf8(bytes));
  }
};

// <0x41> and its like are bytes; a run of them that is not UTF-8 gives one U+FFFD for each byte.
class ByteFallback : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::vector<std::string> out;
    std::string bytes;
    const auto flush = [&] {
      if (find_invalid_utf8(bytes)) {
        out.insert(out.end(), bytes.size(), "\xEF\xBF\xBD");
      } else if (!bytes.empty()) {
        out.push_back(bytes);
      }
      bytes.clear();
    };
    for (std::string& token : tokens) {
      const int byte = byte_of(token);
      if (byte >= 0) {
        bytes.push_back(static_cast<char>(byte));
      } else {
        flush();
        out.push_back(std::move(token));
      }
    }
    flush();
    tokens = std::move(out);
  }

 private:
  static int digit(char c) {
    if (c >= '0' && c <= '9')
      return c - '0';
    if (c >= 'A' && c <= 'F')
      return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  }

  static int byte_of(std::string_view token) {
    if (token.size() != 6 || !token.starts_with("<0x") || !token.ends_with('>'))
      return -1;
    // Rust's from_str_radix takes a sign.
    const int high = token[3] == '+' ? 0 : digit(token[3]);
    const int low = digit(token[4]);
    return high < 0 || low < 0 ? -1 : 16 * high + low;
  }
};

class Fuse : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override { join(tokens); }
};

class StripDecoder : public Decoder {
 public:
  StripDecoder(const Json& spec, std::string_view where)
      : content_(single_character(spec, "content", where)),
        start_(json_int(spec, "start", where)),
        stop_(json_int(spec, "stop", where)) {}

  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      std::string_view rest = token;
      for (std::int64_t i = 0; i < start_ && rest.starts_with(content_); ++i)
        rest.remove_prefix(content_.size());
      for (std::int64_t i = 0; i < stop_ && rest.ends_with(content_); ++i)
        rest.remove_suffix(content_.size());
      token = std::string(rest);
    }
  }

 private:
  std::string content_;
  std::int64_t start_;
  std::int64_t stop_;
};

class ReplaceDecoder : public Decoder {
 public:
  ReplaceDecoder(const Json& spec, std::string_view where)
      : regex_(pattern_regex(spec, where)), content_(json_string(spec, "content", where)) {}

  void apply(std::vector<std::string>& tokens) const override {
    MatchWalker walker(regex_);
    for (std::string& token : tokens) {
      if (!token.empty())
        token = replace_matches(walker, token, content_);
    }
  }

 private:
  Regex regex_;
  std::string content_;
};

class WordPieceDecoder : public Decoder {
 public:
  WordPieceDecoder(const Json& spec, std::string_view where)
      : prefix_(json_string_or(spec, "prefix", "##", where)),
        clean_up_(json_bool_or(spec, "cleanup", true, where)) {}

  void apply(std::vector<std::string>& tokens) const override {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      std::string& token = tokens[i];
      if (i > 0 && token.starts_with(prefix_)) {
        token.erase(0, prefix_.size());
      } else if (i > 0) {
        token.insert(0, " ");
      }
      if (clean_up_)
        clean_up(token);
    }
  }

 private:
  // The library's own list, which has " do not" beside those of transformers.
  static void clean_up(std::string& token) {
    constexpr std::pair<const char*, const char*> kRules[] = {
        {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
        {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
        {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (const auto& [from, to] : kRules) replace_all(token, from, to);
  }

  std::string prefix_;
  bool clean_up_;
};

class MetaspaceDecoder : public Decoder {
 public:
  MetaspaceDecoder(const Json& spec, std::string_view where)
      : replacement_(single_character(spec, "replacement", where)),
        drops_first_(json_string_or(spec, "prepend_scheme", "always", where) != "never" &&
                     json_bool_or(spec, "add_prefix_space", true, where)) {}

  void apply(std::vector<std::string>& tokens) const override {
    for (std::size_t i = 0; i < tokens.size(); ++i)
      replace_all(tokens[i], replacement_, i == 0 && drops_first_ ? "" : " ");
  }

 private:
  std::string replacement_;
  bool drops_first_;
};

class BpeDecoder : public Decoder {
 public:
  BpeDecoder(const Json& spec, std::string_view where)
      : suffix_(json_string_or(spec, "suffix", "</w>", where)) {}

  void apply(std::vector<std::string>& tokens) const override {
    for (std::size_t i = 0; i < tokens.size(); ++i)
      replace_all(tokens[i], suffix_, i + 1 == tokens.size() ? "" : " ");
  }

 private:
  std::string suffix_;
};

class DecoderSequence : public Decoder {
 public:
  DecoderSequence(const Json& spec, std::string_view where) {
    for (const Json& part : sequence_parts(spec, "decoders", where)) {
      component_type(part, where);
      parts_.push_back(make_decoder(part, where));
    }
  }

  void apply(std::vector<std::string>& tokens) const override {
    for (const auto& part : parts_) part->apply(tokens);
  }

 private:
  std::vector<std::unique_ptr<Decoder>> parts_;
};

}  // namespace

std::unique_ptr<Decoder> make_decoder(const Json& spec, std::string_view where) {
  if (spec.is_null())
    return nullptr;
  const std::string type = component_type(spec, where);
  if (type == "ByteLevel")
    return std::make_unique<ByteLevelDecoder>();
  if (type == "ByteFallback")
    return std::make_unique<ByteFallback>();
  if (type == "Fuse")
    return std::make_unique<Fuse>();
  if (type == "Strip")
    return std::make_unique<StripDecoder>(spec, where);
  if (type == "Replace")
    return std::make_unique<ReplaceDecoder>(spec, where);
  if (type == "WordPiece")
    return std::make_unique<WordPieceDecoder>(spec, where);
  if (type == "Metaspace")
    return std::make_unique<MetaspaceDecoder>(spec, where);
  if (type == "BPEDecoder")
    return std::make_unique<BpeDecoder>(spec, where);
  if (type == "Sequence")
    return std::make_unique<DecoderSequence>(spec, where);
  refuse_component("a decoder", type, kKnown, where);
}

void clean_up_spaces(std::string& text) {
  constexpr std::pair<const char*, const char*> kRules[] = {
      {" .", "."},     {" ?", "?"},   {" !", "!"},   {" ,", ","},     {" ' ", "'"},
      {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kRules) replace_all(text, from, to);
}

}  // namespace dlm
