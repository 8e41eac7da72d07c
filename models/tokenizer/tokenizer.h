// Text to token ids and back, from the files of a published tokenizer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dlm {

using TokenIds = std::vector<std::int64_t>;

enum class SpecialTokens {
  kRecognise,  // spellings of added and special tokens inside the text become those tokens
  kAsText,     // their spellings are ordinary text
};

struct DecodeOptions {
  bool skip_special = false;
  bool clean_up_spaces = false;  // transformers' clean_up_tokenization_spaces
};

// All calls are const and safe from many threads at once.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Ids of the text, no tokens added around it. The text must be valid UTF-8 (DataError with the
  // offset otherwise).
  virtual TokenIds encode(std::string_view text,
                          SpecialTokens special = SpecialTokens::kRecognise) const = 0;

  // The ids with what a plain call of the published tokenizer adds around them (BOS, [CLS] ...
  // [SEP]).
  virtual TokenIds with_special(TokenIds ids) const = 0;

  // Text of the ids; incomplete or invalid UTF-8 becomes U+FFFD. Throws ConfigError for an id
  // outside [0, id_limit()).
  virtual std::string decode(std::span<const std::int64_t> ids,
                             const DecodeOptions& options = {}) const = 0;

  virtual std::int64_t id_limit() const = 0;  // one more than the largest id
  virtual std::optional<std::int64_t> token_id(std::string_view token) const = 0;
  virtual std::optional<std::int64_t> bos_id() const = 0;
  virtual std::optional<std::int64_t> eos_id() const = 0;
  virtual bool adds_bos() const = 0;  // a plain call puts BOS first

  // SHA-256 of the lines "NAME SHA-256\n" of all files read, in name order: part of the run key.
  virtual const std::string& sha256() const = 0;
};

// From a folder with tokenizer.json (preferred), or vocab.json + merges.txt, or vocab.txt (BERT,
// uncased unless tokenizer_config.json says do_lower_case false), with tokenizer_config.json /
// special_tokens_map.json / added_tokens.json beside them; or from one tokenizer.json or vocab.txt
// by itself. Which form vocab.json + merges.txt has is decided as legacy_forms.h says. Ids agree
// with transformers 4.49 and tokenizers 0.21. A component that this program does not have is
// refused by name. Throws DataError/ConfigError that names the missing or bad file (for example
// vocab.json without merges.txt).
std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path);

// Whether the folder holds a file that load_tokenizer begins with.
bool has_tokenizer_files(const std::string& folder);

}  // namespace dlm
