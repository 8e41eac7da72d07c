// Text files that may be compressed: read whole, gzip or plain, told by their first two bytes.
#pragma once

#include <cstddef>
#include <string>

namespace dlm {

// Most bytes of text that a file may hold; a small hostile file can unpack to far more.
inline constexpr std::size_t kMaxTextBytes = std::size_t{2} << 30U;

// The content of a file, unpacked where it is gzip (several members in a row are one text, as
// gunzip has it). Throws DataError where it is missing, not a regular file, cut short, damaged
// (CRC), or above `most_bytes` unpacked.
std::string read_text_file(const std::string& path, std::size_t most_bytes = kMaxTextBytes);

}  // namespace dlm
