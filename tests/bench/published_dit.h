// A network shaped as the published block diffusion models (12 layers, 768 wide, V = 50258) with
// random weights, for benchmarks.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "models/dit.h"

namespace dlm::testing {

inline constexpr std::int64_t kPublishedLength = 1024;
inline constexpr std::int64_t kPublishedVocabulary = 50258;

std::unique_ptr<DitModel> published_dit(std::int64_t block_size, const std::string& dtype);

}  // namespace dlm::testing
