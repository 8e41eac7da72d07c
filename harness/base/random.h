// Counter-based random numbers. Every draw that decides a result names itself: the stream by (seed,
// purpose, example, replicate), the draw by (step, position). So a draw is the same at any batch
// size, thread count or shard count.
#pragma once

#include <array>
#include <cstdint>

namespace dlm {

// What a stream is for; two purposes never share numbers. Values are part of the run key: append
// only.
enum class Purpose : std::uint32_t {
  kTest = 0,
  kTokenDraw = 1,     // the token at a position
  kPositionDraw = 2,  // which position is revealed
  kMaskDraw = 3,      // which positions are masked
  kExactWorld = 4,    // parameters of an exact world
  kCorpusDraw = 5,    // documents: drawn from an exact world; replicate 1: those visited first
  kBootstrap = 6,
  kWeights = 7,          // random weights of test models
  kKmeansStart = 16,     // rows that k-means starts from
  kReferenceSplit = 17,  // which half of a reference a text falls in
  kDropout = 20,         // which activations are dropped in training
  kInitialWeights = 21,  // of networks to be trained
  kNoiseStrata = 22,     // which stratum of noise levels a block of a training batch has
  kTrainingOrder = 24,   // the order of training rows in an epoch
};

// Philox 4x32-10. Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
std::array<std::uint32_t, 4> philox4x32_10(std::array<std::uint32_t, 4> counter,
                                           std::array<std::uint32_t, 2> key);

class RandomStream {
 public:
  RandomStream(std::uint64_t seed, Purpose purpose, std::uint64_t example,
               std::uint64_t replicate = 0);

  // Four independent 32-bit words.
  std::array<std::uint32_t, 4> words(std::uint64_t step, std::uint64_t position) const;

  // A double in [0, 1) with 53 random bits.
  double uniform(std::uint64_t step, std::uint64_t position) const;

  // An integer in [0, bound), without modulo bias beyond 2^-64; bound > 0.
  std::uint64_t below(std::uint64_t bound, std::uint64_t step, std::uint64_t position) const;

  // A standard normal (Box-Muller on two uniforms of the same counter).
  double normal(std::uint64_t step, std::uint64_t position) const;

 private:
  std::array<std::uint32_t, 2> key_;
};

}  // namespace dlm
