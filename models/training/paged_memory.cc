#include "models/training/paged_memory.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>

#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <c10/util/accumulate.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness/base/error.h"

namespace dlm {
namespace {

constexpr std::size_t kSmall = std::size_t{1} << 20;  // below, pages are not worth the call

std::size_t bytes_of(at::IntArrayRef sizes) {
  return static_cast<std::size_t>(c10::multiply_integers(sizes)) * sizeof(float);
}

at::Tensor tensor_over(void* memory, at::IntArrayRef sizes) {
  const std::size_t bytes = bytes_of(sizes);
  return at::from_blob(
      memory, sizes, [bytes](void* at) { ::munmap(at, bytes); },
      at::TensorOptions().dtype(at::kFloat));
}

// A file without a name, of so many bytes: its descriptor.
int hidden_file(const std::string& folder, std::size_t bytes) {
  std::string path = folder + "/average.part-XXXXXX";
  const int file = ::mkostemp(path.data(), O_CLOEXEC);
  if (file < 0)
    throw DataError(folder, -1, "a folder that can be written to", std::strerror(errno));
  (void)::unlink(path.c_str());
  // All of it now: a disk that is full later would kill the process.
  const int error = ::posix_fallocate(file, 0, static_cast<off_t>(bytes));
  if (error != 0) {
    ::close(file);
    throw DataError(path, -1, fmt::format("room for {} bytes", bytes), std::strerror(error));
  }
  return file;
}

// Repeats `call`, which moves at most so many bytes from an offset on, until all are moved.
template <class Call>
int move_all(std::size_t bytes, std::int64_t offset, Call call) {
  std::size_t done = 0;
  while (done < bytes) {
    const ssize_t moved = call(done, bytes - done, offset + static_cast<off_t>(done));
    if (moved < 0 && errno == EINTR)
      continue;
    if (moved <= 0)
      return moved < 0 ? errno : EIO;
    done += static_cast<std::size_t>(moved);
  }
  return 0;
}

}  // namespace

at::Tensor untouched_zeros(at::IntArrayRef sizes) {
  const std::size_t bytes = bytes_of(sizes);
  if (bytes < kSmall)
    return at::zeros(sizes, at::kFloat);
  void* const memory =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    throw std::bad_alloc();
  return tensor_over(memory, sizes);
}

void forget_to_zero(float* values, std::int64_t count) {
  static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  std::fill(values, values + count, 0.0F);
  const auto from = reinterpret_cast<std::uintptr_t>(values);
  const std::uintptr_t begin = (from + page - 1) / page * page;
  const std::uintptr_t end =
      (from + static_cast<std::uintptr_t>(count) * sizeof(float)) / page * page;
  if (begin < end)
    (void)::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

DiskValues::DiskValues(at::IntArrayRef sizes, const std::string& folder)
    : file_(hidden_file(folder, bytes_of(sizes))) {
  void* const memory =
      ::mmap(nullptr, bytes_of(sizes), PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
  if (memory == MAP_FAILED) {
    const int error = errno;
    ::close(file_);
    throw DataError(folder, -1, "a file that can be mapped", std::strerror(error));
  }
  tensor_ = tensor_over(memory, sizes);
}

DiskValues::~DiskValues() {
  ::close(file_);
}

int DiskValues::read(std::int64_t begin, std::int64_t count, float* to) const {
  constexpr std::int64_t kBytes = sizeof(float);
  auto* const bytes = reinterpret_cast<char*>(to);
  return move_all(static_cast<std::size_t>(count * kBytes), begin * kBytes,
                  [&](std::size_t done, std::size_t left, off_t at) {
                    return ::pread(file_, bytes + done, left, at);
                  });
}

int DiskValues::write(std::int64_t begin, std::int64_t count, const float* from) const {
  constexpr std::int64_t kBytes = sizeof(float);
  const auto* const bytes = reinterpret_cast<const char*>(from);
  return move_all(static_cast<std::size_t>(count * kBytes), begin * kBytes,
                  [&](std::size_t done, std::size_t left, off_t at) {
                    return ::pwrite(file_, bytes + done, left, at);
                  });
}

void DiskValues::leave() const {
  (void)::madvise(tensor_.data_ptr(), bytes_of(tensor_.sizes()), MADV_DONTNEED);
}

}  // namespace dlm
