#include "tasks/python_random.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "harness/base/error.h"

namespace dlm {
namespace {

constexpr std::size_t kShift = 397;
constexpr std::uint32_t kTwist = 0x9908B0DFU;
constexpr std::uint32_t kHighBit = 0x80000000U;

// The size up to which CPython's sample() shuffles a list; above, it draws again what it has.
std::int64_t most_of_pool(std::int64_t k) {
  std::int64_t most = 21;
  if (k > 5) {
    const double exponent = std::ceil(std::log(static_cast<double>(k * 3)) / std::log(4.0));
    most += static_cast<std::int64_t>(std::pow(4.0, exponent));
  }
  return most;
}

}  // namespace

PythonRandom::PythonRandom(std::uint64_t seed) {
  std::vector<std::uint32_t> key{static_cast<std::uint32_t>(seed)};
  if (const auto high = static_cast<std::uint32_t>(seed >> 32U); high != 0)
    key.push_back(high);
  seed_by_array(key);
}

void PythonRandom::seed_by_array(const std::vector<std::uint32_t>& key) {
  state_[0] = 19650218U;
  for (std::size_t i = 1; i < kWords; ++i) {
    state_[i] =
        1812433253U * (state_[i - 1] ^ (state_[i - 1] >> 30U)) + static_cast<std::uint32_t>(i);
  }
  std::size_t i = 1;
  const auto mixed = [&](std::uint32_t factor) {
    return state_[i] ^ ((state_[i - 1] ^ (state_[i - 1] >> 30U)) * factor);
  };
  const auto advance = [&] {
    if (++i == kWords) {
      state_[0] = state_[kWords - 1];
      i = 1;
    }
  };
  std::size_t j = 0;
  for (std::size_t n = std::max(kWords, key.size()); n > 0; --n) {
    state_[i] = mixed(1664525U) + key[j] + static_cast<std::uint32_t>(j);
    advance();
    j = (j + 1) % key.size();
  }
  for (std::size_t n = kWords - 1; n > 0; --n) {
    state_[i] = mixed(1566083941U) - static_cast<std::uint32_t>(i);
    advance();
  }
  state_[0] = kHighBit;
  next_ = kWords;
}

void PythonRandom::refill() {
  for (std::size_t i = 0; i < kWords; ++i) {
    const std::uint32_t y = (state_[i] & kHighBit) | (state_[(i + 1) % kWords] & ~kHighBit);
    state_[i] = state_[(i + kShift) % kWords] ^ (y >> 1U) ^ ((y & 1U) != 0 ? kTwist : 0U);
  }
  next_ = 0;
}

std::uint32_t PythonRandom::bits(int bits) {
  DLM_CHECK(bits >= 1 && bits <= 32, "{} bits", bits);
  if (next_ == kWords)
    refill();
  std::uint32_t y = state_[next_++];
  y ^= y >> 11U;
  y ^= (y << 7U) & 0x9D2C5680U;
  y ^= (y << 15U) & 0xEFC60000U;
  y ^= y >> 18U;
  return y >> static_cast<unsigned>(32 - bits);
}

std::uint32_t PythonRandom::below(std::uint32_t n) {
  DLM_CHECK(n >= 1, "no number is below 0");
  const auto width = static_cast<int>(std::bit_width(n));
  std::uint32_t r = bits(width);
  while (r >= n) r = bits(width);
  return r;
}

std::vector<std::int64_t> PythonRandom::sample(std::int64_t n, std::int64_t k) {
  if (k < 0 || k > n || n > std::numeric_limits<std::uint32_t>::max())
    throw ConfigError("shots", fmt::format("{}", k),
                      fmt::format("0 to {}, the rows to draw from", n));
  std::vector<std::int64_t> drawn;
  if (n <= most_of_pool(k)) {
    std::vector<std::int64_t> pool(static_cast<std::size_t>(n));
    std::iota(pool.begin(), pool.end(), 0);
    for (std::int64_t i = 0; i < k; ++i) {
      const std::size_t left = pool.size() - static_cast<std::size_t>(i);
      const std::size_t j = below(static_cast<std::uint32_t>(left));
      drawn.push_back(pool[j]);
      pool[j] = pool[left - 1];
    }
    return drawn;
  }
  std::set<std::int64_t> taken;
  while (static_cast<std::int64_t>(drawn.size()) < k) {
    const std::int64_t j = below(static_cast<std::uint32_t>(n));
    if (taken.insert(j).second)
      drawn.push_back(j);
  }
  return drawn;
}

}  // namespace dlm
