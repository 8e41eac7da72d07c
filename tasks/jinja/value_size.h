// How much memory the values of a template may take: a template comes with a model, and one that
// doubles a text in a loop must not take the machine's.
#pragma once

#include <cstddef>
#include <string>

#include "harness/base/json.h"

namespace dlm::jinja {

inline constexpr std::size_t kMostValueBytes = std::size_t{64} << 20U;  // of one text or list
inline constexpr std::size_t kMostHeldBytes = std::size_t{256} << 20U;  // of all variables together

// Of an element of a list or a member of an object, beside its text.
inline constexpr std::size_t kElementBytes = 64;

// Bytes that a value takes, near enough. Throws ValueError for lists nested deeper than 100: values
// are copied by recursion.
std::size_t size_of(const Json& value);

// Throws ValueError where one text or list would take more than kMostValueBytes.
void expect_size(std::size_t bytes);

}  // namespace dlm::jinja
