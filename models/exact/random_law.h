// Random and explicit probability vectors for the exact worlds.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/random.h"

namespace dlm {

// Throws ConfigError unless `concentration` is in [1e-3, 1e6].
void check_concentration(double concentration);

// A draw from the symmetric Dirichlet of `size` cells with parameter `concentration`, indexed
// by (first_cell + cell) in the stream: normalised gammas, each by Marsaglia and Tsang, "A simple
// method for generating gamma variables", ACM TOMS 26 (2000), and carried as logarithms, since a
// small concentration underflows otherwise. A cell is at least e^-600 of the largest: no sequence
// is impossible, so every conditional exists.
std::vector<double> draw_dirichlet(const RandomStream& stream, std::uint64_t first_cell,
                                   std::size_t size, double concentration);

// Divides by the sum. Throws ConfigError naming `field` where a probability is negative or not
// finite, or where they sum to anything but 1 within 1e-9.
void check_and_normalise(std::string_view field, std::span<double> probabilities);

// -sum p log p in nats, 0 log 0 = 0.
double entropy_of(std::span<const double> probabilities);

// First 16 hexadecimal digits of the SHA-256 of the values: the identity of an explicit world.
std::string digest_of(std::span<const double> values);

}  // namespace dlm
