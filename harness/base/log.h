// Log lines on stderr. Results never pass through here: stdout is for results alone.
#pragma once

#include <string>
#include <string_view>

#include <fmt/format.h>

namespace dlm {

enum class LogLevel { kQuiet, kInfo, kVerbose };

// Sets what is written from here on; kInfo until called.
void set_log_level(LogLevel level);

LogLevel log_level();

// Writes one line to stderr, prefixed "warning: " for warnings. A live progress line (progress.h)
// is wiped first.
void log_line(LogLevel level, std::string_view text);

void log_warning(std::string_view text);

template <class... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace dlm
