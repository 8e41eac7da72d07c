#include "models/tokenizer/token_model.h"

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "models/tokenizer/component.h"
#include "models/tokenizer/token_lists.h"

namespace dlm {
namespace {

void refuse_dropout(const Json& spec, std::string_view where) {
  const double dropout = json_double_or(spec, "dropout", 0, where);
  if (dropout != 0) {
    throw DataError(where, -1, "a model without dropout: ids must not be random",
                    fmt::format("dropout {}", dropout));
  }
}

const JsonPart& required(const std::optional<JsonPart>& part, std::string_view what,
                         std::string_view where) {
  if (!part)
    throw DataError(where, -1, fmt::format("{} in 'model'", what), "none");
  return *part;
}

}  // namespace

std::unique_ptr<TokenModel> make_token_model(const Json& spec, const TokenLists& lists,
                                             const std::string& where) {
  // Files of the first versions have no type; only BPE has merges.
  const bool untyped_bpe = spec.is_object() && !spec.contains("type") && lists.merges;
  const std::string type = untyped_bpe ? "BPE" : component_type(spec, where);
  if (type == "BPE") {
    refuse_dropout(spec, where);
    BpeOptions options;
    options.unk_token = json_string_or(spec, "unk_token", "", where);
    options.continuing_subword_prefix =
        json_string_or(spec, "continuing_subword_prefix", "", where);
    options.end_of_word_suffix = json_string_or(spec, "end_of_word_suffix", "", where);
    options.fuse_unk = json_bool_or(spec, "fuse_unk", false, where);
    options.byte_fallback = json_bool_or(spec, "byte_fallback", false, where);
    options.ignore_merges = json_bool_or(spec, "ignore_merges", false, where);
    return make_bpe(parse_vocabulary(required(lists.vocab, "a vocab", where), where),
                    parse_merges(required(lists.merges, "merges", where), where), options);
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
    return make_wordpiece(parse_vocabulary(required(lists.vocab, "a vocab", where), where),
                          options);
  }
  refuse_component("a model", type, {"BPE", "WordPiece"}, where);
}

}  // namespace dlm
