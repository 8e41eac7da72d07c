// The alphabet of byte-level BPE: each of the 256 bytes is one printable character. Source: GPT-2
// encoder.py, bytes_to_unicode.
#pragma once

#include <string>
#include <string_view>

namespace dlm {

// Appends the characters of the bytes.
void append_byte_level(std::string& out, std::string_view bytes);

// Appends the bytes of a token; where one character is not of the alphabet, the token as it is.
void append_from_byte_level(std::string& out, std::string_view token);

}  // namespace dlm
