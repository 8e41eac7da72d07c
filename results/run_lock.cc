#include "results/run_lock.h"

#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <unistd.h>

#include "harness/base/error.h"
#include "harness/base/file.h"

namespace dlm {
namespace {

// The run's byte: 60 bits of its hash. The file itself stays empty.
struct flock lock_of(std::string_view run_id, short type) {
  struct flock lock {};

  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(std::stoll(sha256_hex(run_id).substr(0, 15), nullptr, 16));
  lock.l_len = 1;
  return lock;
}

}  // namespace

// By the real path, so that two names of one file share their locks.
RunLocks::RunLocks(const std::string& database_path)
    : path_(std::filesystem::canonical(database_path).string() + "-lock"),
      file_(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
  if (file_ < 0)
    throw DataError(path_, -1, "a lock file that can be written to", std::strerror(errno));
}

RunLocks::~RunLocks() {
  ::close(file_);
}

bool RunLocks::try_acquire(std::string_view run_id) {
  if (holds(run_id))
    return false;
  struct flock lock = lock_of(run_id, F_WRLCK);
  if (::fcntl(file_, F_OFD_SETLK, &lock) != 0) {
    if (errno == EAGAIN || errno == EACCES)
      return false;
    throw DataError(path_, -1, "a file system that supports locks", std::strerror(errno));
  }
  held_.emplace(run_id);
  return true;
}

void RunLocks::release(std::string_view run_id) {
  const auto held = held_.find(run_id);
  if (held == held_.end())
    return;
  struct flock lock = lock_of(run_id, F_UNLCK);
  ::fcntl(file_, F_OFD_SETLK, &lock);
  held_.erase(held);
}

}  // namespace dlm
