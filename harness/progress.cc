#include "harness/progress.h"

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>
#include <unistd.h>

#include "harness/base/log.h"

namespace dlm {

Progress::Progress(std::string what, std::string unit, double done, double total)
    : what_(std::move(what)),
      unit_(std::move(unit)),
      first_(done),
      total_(std::max(total, 1.0)),
      terminal_(isatty(STDERR_FILENO) != 0),
      start_(Clock::now()),
      last_(start_) {}

Progress::~Progress() {
  if (line_open_)
    std::fputs("\r\033[K", stderr);
}

void Progress::update(double done, std::string_view note) {
  const auto now = Clock::now();
  const auto pause = terminal_ ? std::chrono::milliseconds(200) : std::chrono::milliseconds(15000);
  if (now - last_ < pause)
    return;
  last_ = now;
  write(done, note);
}

void Progress::write(double done, std::string_view note) {
  const double seconds = std::chrono::duration<double>(last_ - start_).count();
  const double rate = (done - first_) / std::max(seconds, 1e-9);
  const std::string left = rate > 0 ? duration_text((total_ - done) / rate) : "?";
  const std::string line = fmt::format("{}: {:.1f} %, {:.0f} {}/s, {} left, {}", what_,
                                       100 * done / total_, rate, unit_, left, note);
  if (!terminal_) {
    log_line(LogLevel::kInfo, line);
  } else if (log_level() >= LogLevel::kInfo) {
    std::fputs(("\r\033[K" + line).c_str(), stderr);
    std::fflush(stderr);
    line_open_ = true;
  }
}

std::string duration_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds + 0.5);
  if (whole < 60)
    return fmt::format("{} s", whole);
  if (whole < 3600)
    return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
}

}  // namespace dlm
