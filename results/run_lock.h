// Who writes a run: a lock of the kernel on one byte of FILE-lock for each run. It ends with the
// process that holds it, however that ends, so a killed run can be resumed at once and a living one
// is never written by two. It needs no clock, no process number and no rows, so it holds across
// containers that share the file.
#pragma once

#include <set>
#include <string>
#include <string_view>

namespace dlm {

class RunLocks {
 public:
  // `database_path` must exist. Throws DataError where the lock file cannot be made.
  explicit RunLocks(const std::string& database_path);
  RunLocks(const RunLocks&) = delete;
  RunLocks& operator=(const RunLocks&) = delete;
  ~RunLocks();

  // False where the run is held, by another process or by this object already. A process forked
  // while a lock is held shares it until it ends or calls exec.
  bool try_acquire(std::string_view run_id);
  void release(std::string_view run_id);

  bool holds(std::string_view run_id) const { return held_.count(run_id) > 0; }

 private:
  std::string path_;
  int file_;
  std::set<std::string, std::less<>> held_;
};

}  // namespace dlm
