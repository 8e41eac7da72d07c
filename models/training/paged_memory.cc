#include "models/training/paged_memory.h"

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

// A file without a name, of so many bytes.
class HiddenFile {
 public:
  HiddenFile(const std::string& folder, std::size_t bytes) {
    std::string path = folder + "/average.part-XXXXXX";
    file_ = ::mkostemp(path.data(), O_CLOEXEC);
    if (file_ < 0)
      throw DataError(folder, -1, "a folder that can be written to", std::strerror(errno));
    (void)::unlink(path.c_str());
    // All of it now: a disk that is full later would kill the process.
    const int error = ::posix_fallocate(file_, 0, static_cast<off_t>(bytes));
    if (error != 0) {
      ::close(file_);
      throw DataError(path, -1, fmt::format("room for {} bytes", bytes), std::strerror(error));
    }
  }

  ~HiddenFile() { ::close(file_); }

  HiddenFile(const HiddenFile&) = delete;
  HiddenFile& operator=(const HiddenFile&) = delete;

  int descriptor() const { return file_; }

 private:
  int file_ = -1;
};

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

at::Tensor zeros_on_disk(at::IntArrayRef sizes, const std::string& folder) {
  const std::size_t bytes = bytes_of(sizes);
  const HiddenFile file(folder, bytes);
  void* const memory =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.descriptor(), 0);
  if (memory == MAP_FAILED)
    throw DataError(folder, -1, "a file that can be mapped", std::strerror(errno));
  return tensor_over(memory, sizes);
}

void leave_to_disk(const float* values, std::int64_t count) {
  static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto from = reinterpret_cast<std::uintptr_t>(values);
  const std::uintptr_t begin = (from + page - 1) / page * page;
  const std::uintptr_t end =
      (from + static_cast<std::uintptr_t>(count) * sizeof(float)) / page * page;
  if (begin < end)
    (void)::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace dlm
