#include "models/tokenizer/token_model.h"

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "models/tokenizer/component.h"

namespace dlm {
namespace {

Merges read_merges(const Json& merges, std::string_view where) {
  if (!merges.is_array())
    throw DataError(where, -1, "an array 'merges'", merges.type_name());
  Merges out;
  out.reserve(merges.size());
  for (const Json& merge : merges) {
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      out.emplace_back(merge[0].get_ref<const std::string&>(),
                       merge[1].get_ref<const std::string&>());
    } else if (merge.is_string()) {
      append_merge_line(merge.get_ref<const std::string&>(), out, where);
    } else {
      throw DataError(where, -1, "merges \"a b\" or [\"a\", \"b\"]",
                      canonical_json(merge).substr(0, 80));
    }
  }
  return out;
}

const Json& vocab_of(const Json& spec, std::string_view where) {
  const auto it = spec.find("vocab");
  if (it == spec.end())
    throw DataError(where, -1, "a vocabulary in 'model'", "none");
  return *it;
}

void refuse_dropout(const Json& spec, std::string_view where) {
  const double dropout = json_double_or(spec, "dropout", 0, where);
  if (dropout != 0) {
    throw DataError(where, -1, "a model without dropout: ids must not be random",
                    fmt::format("dropout {}", dropout));
  }
}

}  // namespace

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

Vocabulary read_vocabulary(const Json& tokens, const std::string& where) {
  if (!tokens.is_object())
    throw DataError(where, -1, "a vocabulary {token: id}", tokens.type_name());
  Vocabulary vocabulary(where);
  for (const auto& [token, id] : tokens.items()) {
    if (!id.is_number_integer()) {
      throw DataError(where, -1, fmt::format("an integer id for token '{}'", token),
                      canonical_json(id).substr(0, 80));
    }
    vocabulary.add(token, id.is_number_unsigned() && id.get<std::uint64_t>() > INT64_MAX
                              ? INT64_MAX
                              : id.get<std::int64_t>());
  }
  return vocabulary;
}

std::unique_ptr<TokenModel> make_token_model(const Json& spec, const std::string& where) {
  // Files of the first versions have no type; only BPE has merges.
  const bool untyped_bpe = spec.is_object() && !spec.contains("type") && spec.contains("merges");
  const std::string type = untyped_bpe ? "BPE" : component_type(spec, where);
  if (type == "BPE") {
    refuse_dropout(spec, where);
    if (!spec.contains("merges"))
      throw DataError(where, -1, "merges in a BPE model", "none");
    BpeOptions options;
    options.unk_token = json_string_or(spec, "unk_token", "", where);
    options.continuing_subword_prefix =
        json_string_or(spec, "continuing_subword_prefix", "", where);
    options.end_of_word_suffix = json_string_or(spec, "end_of_word_suffix", "", where);
    options.fuse_unk = json_bool_or(spec, "fuse_unk", false, where);
    options.byte_fallback = json_bool_or(spec, "byte_fallback", false, where);
    options.ignore_merges = json_bool_or(spec, "ignore_merges", false, where);
    return make_bpe(read_vocabulary(vocab_of(spec, where), where),
                    read_merges(spec["merges"], where), options);
  }
  if (type == "WordPiece") {
    WordPieceOptions options;
    options.unk_token = json_string_or(spec, "unk_token", "[UNK]", where);
    options.continuing_subword_prefix =
        json_string_or(spec, "continuing_subword_prefix", "##", where);
    const std::int64_t most = json_int_or(spec, "max_input_chars_per_word", 100, where);
    if (most < 0)
      throw DataError(where, -1, "max_input_chars_per_word of 0 or more", std::to_string(most));
    options.max_input_chars_per_word = static_cast<std::size_t>(most);
    return make_wordpiece(read_vocabulary(vocab_of(spec, where), where), options);
  }
  refuse_component("a model", type, {"BPE", "WordPiece"}, where);
}

}  // namespace dlm
