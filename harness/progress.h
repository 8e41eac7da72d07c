// The live line of long work on stderr: done of total, rate, time left, the estimate so far with
// its interval.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace dlm {

// On a terminal one line is rewritten five times a second at most; elsewhere a line is logged every
// 15 seconds.
class Progress {
 public:
  // `unit` names what is counted ("tokens"); `done` of `total` were finished by an earlier process.
  Progress(std::string what, std::string unit, double done, double total);
  ~Progress();

  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `note` stands at the end of the line: the estimate so far.
  void update(double done, std::string_view note);

 private:
  using Clock = std::chrono::steady_clock;

  void write(double done, std::string_view note);

  std::string what_, unit_;
  double first_, total_;
  bool terminal_;
  bool line_open_ = false;
  Clock::time_point start_, last_;
};

// "3 s", "2 min 05 s", "1 h 03 min".
std::string duration_text(double seconds);

}  // namespace dlm
