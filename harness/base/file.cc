#include "harness/base/file.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/base/error.h"

namespace dlm {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}

  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  ~Descriptor() {
    if (fd_ >= 0)
      ::close(fd_);
  }

  int get() const { return fd_; }

 private:
  int fd_;
};

[[noreturn]] void fail(const std::string& path, std::string_view expected) {
  throw DataError(path, -1, expected, std::strerror(errno));
}

}  // namespace

MappedFile::MappedFile(std::string path, const std::byte* data, std::size_t size)
    : path_(std::move(path)), data_(data), size_(size) {}

std::shared_ptr<const MappedFile> MappedFile::open(const std::string& path) {
  // Without O_NONBLOCK the opening of a pipe waits for somebody to write to it.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0)
    fail(path, "a readable file");

  struct stat status {};

  if (::fstat(file.get(), &status) != 0)
    fail(path, "a readable file");
  if (!S_ISREG(status.st_mode))
    throw DataError(path, -1, "a regular file", "something else");
  const auto size = static_cast<std::size_t>(status.st_size);
  const std::byte* data = nullptr;
  if (size > 0) {
    void* map = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (map == MAP_FAILED)
      fail(path, "to map it into memory");
    data = static_cast<const std::byte*>(map);
  }
  return std::shared_ptr<const MappedFile>(new MappedFile(path, data, size));
}

MappedFile::~MappedFile() {
  if (size_ > 0)
    ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::release_pages() const {
  release_pages(bytes());
}

void MappedFile::release_pages(std::span<const std::byte> part) const {
  if (part.empty())
    return;
  DLM_CHECK(part.data() >= data_ && part.data() + part.size() <= data_ + size_,
            "a range outside the map of {}", path_);
  // The map begins on a page, so rounding the offset rounds the address.
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = static_cast<std::size_t>(part.data() - data_) / page * page;
  const auto end = static_cast<std::size_t>(part.data() - data_) + part.size();
  ::madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
}

std::string sha256_hex(std::span<const std::byte> bytes) {
  std::array<unsigned char, 32> digest{};
  unsigned int length = 0;
  const int ok =
      EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, EVP_sha256(), nullptr);
  DLM_CHECK(ok == 1 && length == digest.size(), "SHA-256 failed");
  return fmt::format("{:02x}", fmt::join(digest, ""));
}

std::string sha256_hex(std::string_view text) {
  return sha256_hex(std::as_bytes(std::span(text.data(), text.size())));
}

std::string sha256_hex_of_file(const std::string& path) {
  const auto file = MappedFile::open(path);
  return sha256_hex(file->bytes());
}

bool file_exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

AtomicFileWriter::AtomicFileWriter(std::string path)
    : path_(std::move(path)), temporary_(fmt::format("{}.part-{}", path_, ::getpid())) {
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd_ < 0)
    fail(path_, "a place to write to");
}

AtomicFileWriter::~AtomicFileWriter() {
  if (fd_ < 0)
    return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

void AtomicFileWriter::append(std::string_view piece) {
  append(std::as_bytes(std::span(piece.data(), piece.size())));
}

void AtomicFileWriter::append(std::span<const std::byte> piece) {
  DLM_CHECK(fd_ >= 0, "an append to {} after its commit", path_);
  while (!piece.empty()) {
    const ssize_t n = ::write(fd_, piece.data(), piece.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      fail(path_, "to write it whole");
    piece = piece.subspan(static_cast<std::size_t>(n));
  }
}

void AtomicFileWriter::commit() {
  DLM_CHECK(fd_ >= 0, "a second commit of {}", path_);
  if (::fsync(fd_) != 0)
    fail(path_, "to reach the disk");
  if (::rename(temporary_.c_str(), path_.c_str()) != 0)
    fail(path_, "to rename the finished file into place");
  ::close(fd_);
  fd_ = -1;
}

void write_file_atomically(const std::string& path, std::string_view content) {
  AtomicFileWriter writer(path);
  writer.append(content);
  writer.commit();
}

}  // namespace dlm
