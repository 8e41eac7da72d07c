// Regular expressions of tokenizer.json files are written for Oniguruma; this compiles them with
// PCRE2, to the same matches.
#pragma once

#include <string>
#include <string_view>

#include "harness/base/regex.h"

namespace dlm {

// \w of the regex crate of Rust, which the library uses here and there, as the inside of a PCRE2
// class.
std::string rust_word_class();

// Throws ConfigError for a construct whose meaning differs and cannot be translated (set operations
// in classes, subexpression calls, ...), never guesses.
Regex compile_oniguruma(std::string_view pattern);

// The PCRE2 pattern, for tests.
std::string translate_oniguruma(std::string_view pattern);

}  // namespace dlm
