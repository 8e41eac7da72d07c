// `tokenize`: one JSON value per line in, one out.
#include <cstdio>
#include <iostream>
#include <string>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/json.h"
#include "harness/cli.h"
#include "harness/commands/command.h"
#include "harness/data_root.h"
#include "models/tokenizer/tokenizer.h"

namespace dlm {
namespace {

constexpr const char* kText =
    "Reads one JSON value per line from stdin: a string, answered by its list of ids; with "
    "--decode a list of\n"
    "ids, answered by its text (invalid bytes become U+FFFD).\n\n"
    "  echo '\"Hello world\"' | dlmbench tokenize --tokenizer gpt2/\n"
    "  echo '[15496,995]' | dlmbench tokenize --tokenizer gpt2/ --decode";

TokenIds ids_of(const Json& line, std::string_view where) {
  if (!line.is_array())
    throw DataError(where, -1, "a list of ids", line.type_name());
  TokenIds ids;
  for (const Json& id : line) {
    if (!id.is_number_integer())
      throw DataError(where, -1, "whole numbers", canonical_json(id));
    ids.push_back(id.get<std::int64_t>());
  }
  return ids;
}

Json encode_line(const Tokenizer& tokenizer, const ParsedOptions& options, const Json& line,
                 std::string_view where) {
  if (!line.is_string())
    throw DataError(where, -1, "a string", line.type_name());
  const auto special =
      options.has("special-as-text") ? SpecialTokens::kAsText : SpecialTokens::kRecognise;
  TokenIds ids = tokenizer.encode(line.get_ref<const std::string&>(), special);
  return options.has("add-special") ? tokenizer.with_special(std::move(ids)) : ids;
}

}  // namespace

int tokenize_command(const Arguments& args) {
  CommandOptions cli("tokenize --tokenizer DIR [--decode] < lines", kText);
  cli.value("tokenizer", "folder with tokenizer.json, vocab.json + merges.txt, or vocab.txt")
      .flag("decode", "ids to text")
      .flag("add-special", "with the tokens a plain call adds (BOS, [CLS] ... [SEP])")
      .flag("special-as-text", "spellings of special tokens are ordinary text")
      .flag("skip-special", "with --decode: leave special tokens out")
      .flag("clean-up", "with --decode: join punctuation to words as transformers can");
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  if (!options->has("tokenizer"))
    throw ConfigError("tokenizer", "", "is needed: a tokenizer's folder");
  const auto tokenizer = load_tokenizer(resolve_data_path(options->get("tokenizer", "")));
  const DecodeOptions decode{options->has("skip-special"), options->has("clean-up")};
  std::string text;
  for (std::int64_t number = 1; std::getline(std::cin, text); ++number) {
    const std::string where = fmt::format("stdin line {}", number);
    const Json line = parse_json(text, where);
    const Json out = options->has("decode") ? Json(tokenizer->decode(ids_of(line, where), decode))
                                            : encode_line(*tokenizer, *options, line, where);
    const std::string answer = canonical_json(out) + "\n";
    std::fwrite(answer.data(), 1, answer.size(), stdout);
  }
  return kExitOk;
}

}  // namespace dlm
