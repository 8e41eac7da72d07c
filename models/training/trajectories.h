// The texts that a denoiser writes one token a pass, each with the order of its reveals: what an
// ADJUST layer learns from. Torch-free.
//
// Shape legend: L positions of a text, P of its prompt.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "models/block_decoder.h"
#include "models/sampling/block_sampler.h"
#include "models/training/row_source.h"

namespace dlm {

// What decides a set of trajectories beside its prompts. Trajectory n continues prompt n modulo
// their number, drawn as example n of the block sampler under `seed`: any share of them is the same
// in any company, and after any kill.
struct TrajectorySpec {
  std::string base_sha256;
  std::int64_t length = 0;         // L
  std::int64_t prompt_tokens = 0;  // P
  std::int64_t block_size = 0;     // L'; 0 = the base's
  std::string policy = "entropy";  // reveal_policy.h
  double temperature = 1;
  std::int64_t count = 0;
  std::uint64_t seed = 1;
};

// count rows of 2 L - P numbers: the text, then its new positions in the order of their reveals.
struct Trajectories {
  TrajectorySpec spec;
  std::string prompts_sha256;
  std::int64_t vocab_size = 0;  // ids of the base lie below it
  std::vector<std::int32_t> rows;

  std::int64_t row_length() const { return 2 * spec.length - spec.prompt_tokens; }

  std::int64_t done() const { return std::ssize(rows) / row_length(); }
};

// A sampler's own draws, each of which is a reveal, kept in order; not for policies that draw
// before they choose a place.
class RecordedDraws final : public TokenDraws {
 public:
  explicit RecordedDraws(std::uint64_t seed) : seed_(seed) {}

  DrawnToken draw(const TokenLaw& law, const DrawName& name) override;

  // Positions in the order in which they were revealed.
  const std::vector<std::int64_t>& order(std::uint64_t example) const;

 private:
  std::uint64_t seed_;
  std::map<std::uint64_t, std::vector<std::int64_t>> orders_;  // by example
};

struct TrajectoryOptions {
  std::int64_t batch_size = 16;  // rows of a network pass; decides nothing
  std::int64_t save_every = 64;  // trajectories between two states of the file
  // Called with what is in the file so far; may be empty.
  std::function<void(std::int64_t done)> progress = {};
};

// The set in the file, generated where it is missing and gone on with where it is not whole; the
// file is replaced part by part, each whole or not at all. Prompts are rows of P tokens or more, of
// which the first P are read. Throws ConfigError where the file holds another set, and for
// settings that the model does not take; DataError for a damaged file.
Trajectories make_trajectories(const BlockDenoiser& base,
                               std::span<const std::vector<std::int64_t>> prompts,
                               const TrajectorySpec& spec, const std::string& file,
                               const TrajectoryOptions& options = {});

// Throws DataError for a file that is not of this form, or whose rows are no texts of the
// vocabulary with each new position once.
Trajectories read_trajectories(const std::string& file);

// SHA-256 of what decides the set: of its settings and prompts.
std::string trajectories_sha256(const Trajectories& set);

// The rows in an order of their own in every epoch, see StoredRows; sha256() is that of the
// trajectories.
std::unique_ptr<RowSource> trajectory_rows(const Trajectories& set, std::uint64_t seed);

// A window of a trajectory: the state before reveal `start` and `passes` reveals behind it, all in
// one block, in which hidden tokens are left at its end.
struct TrajectoryWindow {
  std::int64_t begin = 0;   // of the block
  std::int64_t start = 0;   // reveals before it
  std::int64_t passes = 0;  // at least 1
};

// Every start of a trajectory that has a window, with the most passes it can have, at most `depth`.
// order: the new positions; blocks of `block_size` from position `first` on.
std::vector<TrajectoryWindow> trajectory_windows(std::span<const std::int64_t> order,
                                                 std::int64_t first, std::int64_t block_size,
                                                 std::int64_t depth);

}  // namespace dlm
