#include "models/exact/exact_decoder.h"

#include <cmath>
#include <exception>
#include <utility>
#include <vector>

#include "harness/base/error.h"

namespace dlm {
namespace {

class ExactDecoder final : public BlockDecoder {
 public:
  ExactDecoder(std::shared_ptr<const ExactWorld> world, const DecoderOptions& options,
               PassCounts& counts)
      : world_(std::move(world)),
        options_(options),
        counts_(counts),
        known_(static_cast<std::size_t>(options.rows)) {}

  std::int64_t rows() const override { return options_.rows; }

  std::int64_t context_length(std::int64_t row) const override { return std::ssize(text(row)); }

  void clear(std::int64_t row) override { known_.at(static_cast<std::size_t>(row)).clear(); }

  std::span<float> step(std::span<const DecodeStep> steps) override {
    const auto V = static_cast<std::size_t>(world_->info().vocab_size);
    PassCounts pass;
    pass.passes = 1;
    std::vector<std::size_t> places;
    std::size_t rows = 0;
    for (const DecodeStep& step : steps) {
      begin(step, pass);
      places.push_back(rows);
      rows += step.wanted.size();
    }
    pass.head_rows = static_cast<std::int64_t>(rows);
    logits_.resize(rows * V);
    std::vector<std::exception_ptr> failures(steps.size());
#pragma omp parallel for schedule(dynamic, 16) if (steps.size() >= 64)
    for (std::size_t s = 0; s < steps.size(); ++s) {
      try {
        write_logits(steps[s],
                     std::span(logits_).subspan(places[s] * V, steps[s].wanted.size() * V));
      } catch (...) {
        failures[s] = std::current_exception();
      }
    }
    for (const auto& failure : failures) {
      if (failure)
        std::rethrow_exception(failure);
    }
    counts_ += pass;
    return logits_;
  }

 private:
  const std::vector<std::int64_t>& text(std::int64_t row) const {
    return known_.at(static_cast<std::size_t>(row));
  }

  void begin(const DecodeStep& step, PassCounts& pass) {
    auto& known = known_.at(static_cast<std::size_t>(step.row));
    const std::int64_t mask = world_->info().vocab_size;
    const auto added = std::ssize(step.completed);
    DLM_CHECK(std::ssize(step.block) == options_.block_size && added % options_.block_size == 0,
              "a block of {} ids behind {}", step.block.size(), added);
    if (std::ssize(known) + added + options_.block_size > options_.longest)
      throw ConfigError("text", fmt::format("{} positions", std::ssize(known) + added),
                        fmt::format("at most {}", options_.longest));
    for (const std::int64_t id : step.completed) {
      if (id < 0 || id >= mask)
        throw ConfigError("token", fmt::to_string(id), fmt::format("ids in [0, {})", mask));
    }
    pass.positions += added + options_.block_size;
    if (options_.cache == ContextCache::kOn)
      pass.cached_positions += std::ssize(known);
    else
      pass.positions += std::ssize(known);
    known.insert(known.end(), step.completed.begin(), step.completed.end());
  }

  void write_logits(const DecodeStep& step, std::span<float> out) const {
    std::vector<std::int64_t> known = text(step.row);
    const std::size_t begin = known.size();
    const std::int64_t mask = world_->info().vocab_size;
    for (const std::int64_t id : step.block) known.push_back(id == mask ? -1 : id);
    const std::vector<double> laws = world_->conditionals(known);
    const auto V = static_cast<std::size_t>(mask);
    auto to = out.begin();
    for (const std::int64_t position : step.wanted) {
      const auto from = (begin + static_cast<std::size_t>(position)) * V;
      for (std::size_t v = 0; v < V; ++v) *to++ = static_cast<float>(std::log(laws[from + v]));
    }
  }

  std::shared_ptr<const ExactWorld> world_;
  DecoderOptions options_;
  PassCounts& counts_;
  std::vector<std::vector<std::int64_t>> known_;
  std::vector<float> logits_;
};

}  // namespace

std::unique_ptr<BlockDecoder> make_exact_decoder(std::shared_ptr<const ExactWorld> world,
                                                 const DecoderOptions& options,
                                                 PassCounts& counts) {
  check_sees_blocks_only(options);
  if (options.keeps_hidden)
    throw ConfigError("adjust", "with an exact world", "a network: a world has no hidden states");
  if (options.block_size < 1)
    throw ConfigError("block_size", fmt::to_string(options.block_size), "an integer >= 1");
  const std::int64_t limit = world->info().max_length;
  if (limit > 0 && options.longest > limit)
    throw ConfigError("length", fmt::to_string(options.longest),
                      fmt::format("at most max_length = {}, in whole blocks", limit));
  return std::make_unique<ExactDecoder>(std::move(world), options, counts);
}

}  // namespace dlm
