// Documents as token ids in one safetensors file: what was drawn from a model once and is trained
// or scored on many times. Torch-free.
//
// Tensors: ids (tokens) U16 or I32, lengths (documents) I64, nats (documents) F64 where the source
// is known, and "about" U8, a JSON object: vocab_size, source, first_token.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace dlm {

struct TokenFile {
  std::int64_t vocab_size = 0;
  std::string source;       // what the documents were drawn from, in words
  std::string first_token;  // of a document: "given", or "scored" where the source has a law for it
  std::vector<std::int32_t> ids;      // of all documents, one after another
  std::vector<std::int64_t> lengths;  // of each document
  // -log p of each document under its source, exactly: the mean over many is the source's entropy.
  // Empty where it is not known.
  std::vector<double> nats;

  std::int64_t documents() const { return std::ssize(lengths); }

  // Nats a token over the first `limit` documents (0 = all), a given first token not counted;
  // nothing without nats.
  std::optional<double> nats_per_token(std::int64_t limit = 0) const;
};

// Whole or not at all. Throws DataError where it cannot be written, InternalError for lengths that
// do not add up.
void write_token_file(const std::string& path, const TokenFile& file);

// Throws DataError for a file that is not of this form, with an id outside the vocabulary, an empty
// document, or lengths that do not add up.
TokenFile read_token_file(const std::string& path);

}  // namespace dlm
