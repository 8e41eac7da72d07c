#include "harness/base/log.h"

#include <atomic>
#include <cstdio>

#include <unistd.h>

namespace dlm {
namespace {

std::atomic<LogLevel>& level_slot() {
  static std::atomic<LogLevel> level{LogLevel::kInfo};
  return level;
}

void write_line(std::string_view prefix, std::string_view text) {
  const bool terminal = isatty(STDERR_FILENO) != 0;
  const std::string line = fmt::format("{}{}{}\n", terminal ? "\r\033[K" : "", prefix, text);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace

void set_log_level(LogLevel level) {
  level_slot() = level;
}

LogLevel log_level() {
  return level_slot();
}

void log_line(LogLevel level, std::string_view text) {
  if (level <= log_level())
    write_line("", text);
}

void log_warning(std::string_view text) {
  write_line("warning: ", text);
}

}  // namespace dlm
