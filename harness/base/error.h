// The three ways this program fails, kept apart: the user's settings (ConfigError), a file's
// content (DataError), and a bug of ours (DLM_CHECK). No error codes, no silent fallback.
#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace dlm {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// What the user can mend: names the field, the value given, and what is allowed.
class ConfigError : public Error {
 public:
  ConfigError(std::string_view field, std::string_view value, std::string_view allowed);
};

// What is wrong in a file: path, byte offset (or -1 where none applies), what was expected and what
// was found.
class DataError : public Error {
 public:
  DataError(std::string_view path, std::int64_t offset, std::string_view expected,
            std::string_view found);
};

// A broken promise of our own code; carries file and line.
class InternalError : public Error {
 public:
  using Error::Error;
};

// A ConfigError for a name outside `known`, with the nearest known one as remedy.
ConfigError unknown_name(std::string_view field, std::string_view value,
                         std::span<const std::string> known);

// The element of `known` with the smallest edit distance to `name`; empty where none is near.
std::string nearest_name(std::string_view name, std::span<const std::string> known);

namespace detail {
[[noreturn]] void check_failed(const char* file, int line, const char* condition,
                               const std::string& message);
}

}  // namespace dlm

// DLM_CHECK(condition, "format", args...): our own invariant, always on.
#define DLM_CHECK(condition, ...)                                                              \
  do {                                                                                         \
    if (!(condition)) [[unlikely]]                                                             \
      ::dlm::detail::check_failed(__FILE__, __LINE__, #condition, ::fmt::format(__VA_ARGS__)); \
  } while (false)
