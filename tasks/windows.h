// From token ids to the rows that a model scores. Torch-free, and blind to what the model is.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/record.h"

namespace dlm {

struct TokenizedDocument {
  std::string id;
  std::string cluster;
  std::string sha;                // SHA-256 of the text
  std::vector<std::int64_t> ids;  // no special tokens around them
  std::int64_t bytes = 0;
  std::int64_t words = 0;
};

// Adds what is counted on the text.
TokenizedDocument tokenized_document(const Document& document, std::vector<std::int64_t> ids);

enum class WindowMode {
  // Each document alone, one unit per document. One longer than `length` is scored in windows that
  // overlap: window j starts at token j * stride and scores what no earlier window scored.
  kDocument,
  // Documents joined (EOS after each where eos_id is given) and cut into chunks, one unit each.
  kPacked,
  // Documents joined as they are into one stream, scored like one long document; one unit per
  // window.
  kSliding,
};

// Source of the chunk ends: kuleshov-group/bd3lms dataloader.py _group_texts.
struct WindowOptions {
  WindowMode mode = WindowMode::kDocument;
  std::int64_t length = 1024;  // most ids of one window, special tokens included
  std::int64_t stride = 512;   // document and sliding; 1 <= stride <= length
  // First id of every document (document), of the stream (sliding, packed), or of every chunk
  // (packed with bos_per_chunk).
  std::optional<std::int64_t> bos_id;
  bool bos_per_chunk = false;
  std::optional<std::int64_t> eos_id;        // packed: after each document
  std::optional<std::int64_t> chunk_eos_id;  // packed: last id of every chunk
  // Packed: the last, shorter chunk is dropped, its tokens counted as dropped.
  bool drop_remainder = false;
  // Packed: documents are joined within groups of this many, each with a remainder of its own; 0 =
  // all in one. The reference joins 1,000 at a time.
  std::int64_t documents_per_group = 0;
  // Packed: the documents are first cut into this many runs of neighbours (fewer where there are
  // fewer documents), the longer runs first, and groups do not cross them. The reference has as
  // many as worker processes. Source: huggingface/datasets Dataset.map(num_proc), contiguous
  // shards.
  std::int64_t shards = 1;
  // The model defines p(x_1). Otherwise the first id of a window without earlier context is
  // conditioned on, not scored, and a stride of `length` acts as length - 1, so that a window that
  // continues a text begins with one token of context.
  bool scores_first_token = false;
  // BOS is scored like any token where the first token is: the published evaluation of masked and
  // score-entropy diffusion hides and scores it. Otherwise BOS is only conditioned on.
  bool scores_bos = false;
};

// What one row of the results measures: a document, a chunk or a window.
//
// `bytes` and `words` are those of the whole document, or for chunks and windows its documents'
// shares by tokens (a document's b bytes over n tokens: floor(b k / n) up to token k), so that sums
// are exact. They include the text of a first token that cannot be scored for want of BOS: its
// share of the bytes is known only to the tokenizer. That lowers bits per byte by one token per
// document; with BOS there is no such bias.
struct ScoringUnit {
  std::string id;   // the document's, or "c000012" (chunk), "w000012" (window)
  std::string sha;  // the document's, or of its ids as little-endian int64
  std::string
      cluster;  // of the document (that its own tokens begin in); a document without one is its own
  std::vector<ScoringWindow> windows;
  std::int64_t bytes = 0;
  std::int64_t words = 0;
  std::int64_t prompt_tokens = 0;   // ids conditioned on and not scored, over all windows
  std::int64_t special_tokens = 0;  // EOS and BOS ids that are scored

  std::int64_t scored_tokens() const;
};

// What became of the documents. Every token of a document is in a unit or dropped: it was in a
// remainder (drop_remainder), or in a document or chunk without a token to score.
struct WindowCounts {
  std::int64_t documents = 0;
  std::int64_t empty_documents = 0;         // without a token
  std::int64_t tokens = 0;                  // of the documents, BOS and EOS not counted
  std::int64_t special_tokens = 0;          // BOS and EOS ids in the units, scored or not
  std::int64_t dropped_tokens = 0;          // of the documents
  std::int64_t dropped_special_tokens = 0;  // EOS (and BOS) ids dropped with them
  std::int64_t dropped_documents = 0;       // with tokens, all of them dropped
};

struct WindowPlan {
  std::vector<ScoringUnit> units;
  std::int64_t skipped_units = 0;  // documents or chunks without a token to score; not in `units`
  WindowCounts counts;
};

// The order of units is that of the documents. Throws ConfigError for lengths, strides or options
// that do not fit the mode.
WindowPlan plan_windows(std::span<const TokenizedDocument> documents, const WindowOptions& options);

// "document", "packed", "sliding". The reverse throws ConfigError.
std::string window_mode_name(WindowMode mode);
WindowMode window_mode(std::string_view name);

}  // namespace dlm
