#include "models/exact/exact_denoiser.h"

#include <cmath>
#include <exception>
#include <utility>

#include "harness/base/error.h"
#include "models/exact/exact_decoder.h"

namespace dlm {
namespace {

class SequencesContext : public CleanContext {
 public:
  SequencesContext(std::span<const std::vector<std::int64_t>> sequences, std::int64_t block_size)
      : sequences_(sequences.begin(), sequences.end()), block_size_(block_size) {}

  std::int64_t block_size() const override { return block_size_; }

  std::span<const std::vector<std::int64_t>> sequences() const { return sequences_; }

 private:
  std::vector<std::vector<std::int64_t>> sequences_;
  std::int64_t block_size_;
};

void check_query(const MaskQuery& query, const SequencesContext& context) {
  const std::int64_t n = std::ssize(context.sequences());
  if (query.sequence < 0 || query.sequence >= n)
    throw ConfigError("query sequence", fmt::to_string(query.sequence),
                      fmt::format("in [0, {})", n));
  const std::int64_t length =
      std::ssize(context.sequences()[static_cast<std::size_t>(query.sequence)]);
  const std::int64_t blocks = length / context.block_size();
  if (query.block < 0 || query.block >= blocks)
    throw ConfigError("query block", fmt::to_string(query.block),
                      fmt::format("in [0, {})", blocks));
  if (query.masked.empty())
    throw ConfigError("query mask", "", "at least one position");
  std::int64_t lowest = 0;
  for (const std::int64_t position : query.masked) {
    if (position < lowest || position >= context.block_size())
      throw ConfigError("query mask", fmt::to_string(position),
                        fmt::format("ascending positions in [0, {})", context.block_size()));
    lowest = position + 1;
  }
}

std::vector<double> terms_of(const ExactWorld& world, const SequencesContext& context,
                             const MaskQuery& query) {
  const auto& ids = context.sequences()[static_cast<std::size_t>(query.sequence)];
  const std::int64_t begin = query.block * context.block_size();
  std::vector<std::int64_t> known(ids.begin(), ids.begin() + begin + context.block_size());
  for (const std::int64_t position : query.masked)
    known[static_cast<std::size_t>(begin + position)] = -1;
  const std::vector<double> laws = world.conditionals(known);
  std::vector<double> terms;
  terms.reserve(query.masked.size());
  for (const std::int64_t position : query.masked) {
    const std::int64_t token = ids[static_cast<std::size_t>(begin + position)];
    const std::int64_t row = (begin + position) * world.info().vocab_size;
    terms.push_back(-std::log(laws[static_cast<std::size_t>(row + token)]));
    if (!std::isfinite(terms.back()))
      throw InternalError(fmt::format("{}: sequence {}, position {}: token {} has probability 0",
                                      world.spec(), query.sequence, begin + position, token));
  }
  return terms;
}

}  // namespace

ExactDenoiser::ExactDenoiser(std::shared_ptr<const ExactWorld> world) : world_(std::move(world)) {
  DLM_CHECK(world_ != nullptr, "an exact denoiser without a world");
}

void ExactDenoiser::check_sequence(std::span<const std::int64_t> ids,
                                   std::int64_t block_size) const {
  const std::int64_t length = std::ssize(ids);
  if (length == 0)
    throw ConfigError("sequence", "", "at least one token");
  if (info().max_length > 0 && length > info().max_length)
    throw ConfigError("length", fmt::to_string(length),
                      fmt::format("at most max_length = {}", info().max_length));
  if (length % block_size != 0)
    throw ConfigError("block_size", fmt::to_string(block_size),
                      fmt::format("a divisor of the length {}", length));
  for (const std::int64_t id : ids) {
    if (id == mask_id())
      throw ConfigError("token", fmt::to_string(id), "text without the mask id");
    if (id < 0 || id >= info().vocab_size)
      throw ConfigError("token", fmt::to_string(id),
                        fmt::format("ids in [0, {})", info().vocab_size));
  }
}

std::unique_ptr<CleanContext> ExactDenoiser::encode(
    std::span<const std::vector<std::int64_t>> sequences, std::int64_t block_size) const {
  if (block_size < 1)
    throw ConfigError("block_size", fmt::to_string(block_size), "an integer >= 1");
  PassCounts pass;
  for (const auto& ids : sequences) {
    check_sequence(ids, block_size);
    if (ids.size() != sequences.front().size())
      throw ConfigError("length", fmt::to_string(ids.size()),
                        fmt::format("{}, as the first sequence", sequences.front().size()));
    pass.positions += std::ssize(ids) - block_size;
  }
  pass.passes = pass.positions > 0 ? 1 : 0;
  counts_ += pass;
  return std::make_unique<SequencesContext>(sequences, block_size);
}

std::vector<std::vector<double>> ExactDenoiser::token_terms(
    const CleanContext& context, std::span<const MaskQuery> queries) const {
  const auto* clean = dynamic_cast<const SequencesContext*>(&context);
  DLM_CHECK(clean != nullptr, "{}: a context that another model encoded", world_->spec());
  PassCounts pass;
  pass.passes = queries.empty() ? 0 : 1;
  for (const MaskQuery& query : queries) {
    check_query(query, *clean);
    pass.positions += clean->block_size();
    pass.cached_positions += query.block * clean->block_size();
    pass.head_rows += std::ssize(query.masked);
  }
  std::vector<std::vector<double>> terms(queries.size());
  std::vector<std::exception_ptr> failures(queries.size());
#pragma omp parallel for schedule(dynamic, 16) if (queries.size() >= 64)
  for (std::size_t q = 0; q < queries.size(); ++q) {
    try {
      terms[q] = terms_of(*world_, *clean, queries[q]);
    } catch (...) {
      failures[q] = std::current_exception();
    }
  }
  for (const auto& failure : failures) {
    if (failure)
      std::rethrow_exception(failure);
  }
  counts_ += pass;
  return terms;
}

std::unique_ptr<BlockDecoder> ExactDenoiser::new_decoder(const DecoderOptions& options) const {
  return make_exact_decoder(world_, options, counts_);
}

std::unique_ptr<ExactDenoiser> make_exact_denoiser(std::string_view spec) {
  return std::make_unique<ExactDenoiser>(make_exact_world(spec));
}

}  // namespace dlm
