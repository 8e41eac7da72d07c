#include "models/tokenizer/pipeline.h"

#include <algorithm>
#include <utility>

#include "harness/base/error.h"
#include "harness/base/text.h"
#include "models/tokenizer/piece_cache.h"

namespace dlm {
namespace {

class Pipeline : public Tokenizer {
 public:
  explicit Pipeline(TokenizerParts parts);

  TokenIds encode(std::string_view text, SpecialTokens special) const override;

  TokenIds with_special(TokenIds ids) const override {
    return parts_.post_processor.apply(std::move(ids));
  }

  std::string decode(std::span<const std::int64_t> ids,
                     const DecodeOptions& options) const override;

  std::int64_t id_limit() const override { return id_limit_; }

  std::optional<std::int64_t> token_id(std::string_view token) const override;

  std::optional<std::int64_t> bos_id() const override { return parts_.bos; }

  std::optional<std::int64_t> eos_id() const override { return parts_.eos; }

  bool adds_bos() const override {
    return parts_.bos && parts_.post_processor.begins_with(*parts_.bos);
  }

  const std::string& sha256() const override { return parts_.sha256; }

 private:
  // One encode call.
  class Run;

  TokenizerParts parts_;
  std::int64_t id_limit_;
  mutable PieceCachePool caches_;
};

Pipeline::Pipeline(TokenizerParts parts) : parts_(std::move(parts)) {
  parts_.added.finish(parts_.normalizer.get(), parts_.where);
  id_limit_ = std::max(parts_.model->vocabulary().id_limit(), parts_.added.id_limit());
  for (const auto& pieces : parts_.post_processor.templates) {
    for (const auto& id : pieces) {
      if (id && (*id < 0 || *id >= id_limit_)) {
        throw DataError(parts_.where, -1, fmt::format("ids below {} in post_processor", id_limit_),
                        std::to_string(*id));
      }
    }
  }
}

class Pipeline::Run {
 public:
  Run(const Pipeline& pipeline, PieceCache& cache) : parts_(pipeline.parts_), cache_(cache) {}

  void add_recognising(std::string_view text) {
    for (const auto& section : parts_.added.split_raw(text)) {
      if (section.id) {
        add_token(*section.id);
      } else {
        add_text(text.substr(section.begin, section.end - section.begin), section.begin == 0,
                 SpecialTokens::kRecognise);
      }
    }
  }

  // Text without tokens that are searched before normalisation.
  void add_text(std::string_view text, bool at_start, SpecialTokens special) {
    std::string normalized(text);
    if (parts_.normalizer)
      parts_.normalizer->apply(normalized);
    if (special == SpecialTokens::kAsText || !parts_.added.has_normalized()) {
      add_normalized(std::move(normalized), at_start);
      return;
    }
    for (const auto& section : parts_.added.split_normalized(normalized)) {
      if (section.id) {
        add_token(*section.id);
      } else {
        add_normalized(normalized.substr(section.begin, section.end - section.begin),
                       at_start && section.begin == 0);
      }
    }
  }

  TokenIds ids() const { return {ids_.begin(), ids_.end()}; }

 private:
  void add_token(std::int64_t id) { ids_.push_back(static_cast<TokenId>(id)); }

  void add_normalized(std::string text, bool at_start) {
    if (text.empty())
      return;
    PreTokenized pieces;
    pieces.pieces.push_back({0, text.size()});
    pieces.text = std::move(text);
    pieces.at_start = at_start;
    if (parts_.pre_tokenizer)
      parts_.pre_tokenizer->apply(pieces);
    for (const auto& piece : pieces.pieces) add_piece(pieces.view(piece));
  }

  void add_piece(std::string_view piece) {
    const std::uint64_t hash = hash_bytes(piece);
    if (cache_.find(piece, hash, ids_))
      return;
    const std::size_t before = ids_.size();
    parts_.model->tokenize(piece, ids_);
    cache_.insert(piece, hash, ids_.data() + before, ids_.size() - before);
  }

  const TokenizerParts& parts_;
  PieceCache& cache_;
  std::vector<TokenId> ids_;
};

TokenIds Pipeline::encode(std::string_view text, SpecialTokens special) const {
  if (const auto bad = find_invalid_utf8(text))
    throw DataError("text", static_cast<std::int64_t>(*bad), "valid UTF-8", "an invalid byte");
  const PieceCachePool::Loan cache(caches_);
  Run run(*this, *cache);
  if (special == SpecialTokens::kRecognise) {
    run.add_recognising(text);
  } else {
    run.add_text(text, true, special);
  }
  return run.ids();
}

std::string Pipeline::decode(std::span<const std::int64_t> ids,
                             const DecodeOptions& options) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const std::int64_t id : ids) {
    if (id < 0 || id >= id_limit_) {
      throw ConfigError("token id", std::to_string(id),
                        fmt::format("ids of this tokenizer are 0 to {}", id_limit_ - 1));
    }
    const AddedToken* added = parts_.added.find(id);
    const auto token = added != nullptr ? std::optional<std::string_view>(added->content)
                                        : parts_.model->vocabulary().token(id);
    // A hole in the ids has no text.
    if (token && !(options.skip_special && parts_.added.is_special(*token)))
      tokens.emplace_back(*token);
  }
  std::string text;
  if (parts_.decoder) {
    parts_.decoder->apply(tokens);
    for (const std::string& token : tokens) text.append(token);
  } else {
    text = fmt::format("{}", fmt::join(tokens, " "));
  }
  if (options.clean_up_spaces)
    clean_up_spaces(text);
  return text;
}

std::optional<std::int64_t> Pipeline::token_id(std::string_view token) const {
  if (const AddedToken* added = parts_.added.find(token))
    return added->id;
  return parts_.model->vocabulary().find(token);
}

}  // namespace

std::unique_ptr<Tokenizer> make_pipeline(TokenizerParts parts) {
  return std::make_unique<Pipeline>(std::move(parts));
}

}  // namespace dlm
