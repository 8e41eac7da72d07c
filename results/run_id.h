// Names of runs: 26 characters of Crockford's base 32, 48 bits of Unix milliseconds and 80 random
// bits (the layout of ULID, RFC 9562's UUIDv7 in a shorter alphabet). Sorted as text, they are
// sorted by time; the beginning of one is enough to name it on the command line.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dlm {

// An id for `now_ms`, greater than `last` (the greatest id in the file, or empty) even where the
// clock stood still or went back.
std::string next_run_id(std::int64_t now_ms, std::string_view last);

// The same with the clock of this machine.
std::string next_run_id(std::string_view last);

}  // namespace dlm
