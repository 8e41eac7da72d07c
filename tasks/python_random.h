// The random numbers of CPython, for one purpose: lm-evaluation-harness draws a question's
// exemplars with random.Random(1234).sample, and a prompt that should equal its prompts needs the
// same ones. Nothing that this program decides by itself is drawn here; that is
// harness/base/random.h.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace dlm {

// random.Random(seed) of CPython 3: MT19937 seeded by init_by_array. Source: CPython
// Modules/_randommodule.c and Lib/random.py; Matsumoto and Nishimura, TOMACS 8 (1998) 3.
class PythonRandom {
 public:
  explicit PythonRandom(std::uint64_t seed);

  // getrandbits(bits); 1 <= bits <= 32.
  std::uint32_t bits(int bits);

  // randrange(n); 1 <= n < 2^32.
  std::uint32_t below(std::uint32_t n);

  // sample(range(n), k): k different numbers below n, in the order drawn. Throws ConfigError for
  // k > n.
  std::vector<std::int64_t> sample(std::int64_t n, std::int64_t k);

 private:
  static constexpr std::size_t kWords = 624;

  void seed_by_array(const std::vector<std::uint32_t>& key);
  void refill();

  std::array<std::uint32_t, kWords> state_{};
  std::size_t next_ = kWords;
};

}  // namespace dlm
