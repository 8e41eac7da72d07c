// Files as read-only memory maps, and SHA-256 of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace dlm {

// A whole file mapped read-only and private. The map lives as long as the object; share it with
// what points into it.
class MappedFile {
 public:
  // Throws DataError where the path is missing, not a regular file, or not readable.
  static std::shared_ptr<const MappedFile> open(const std::string& path);

  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }

  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }

  const std::string& path() const { return path_; }

  // Gives the pages that were read back to the system; they are read again when touched.
  void release_pages() const;

  // The same for the pages that `part`, a range inside bytes(), lies on. A page that another range
  // shares is dropped too: harmless, it is read again from the system's cache.
  void release_pages(std::span<const std::byte> part) const;

 private:
  MappedFile(std::string path, const std::byte* data, std::size_t size);

  std::string path_;
  const std::byte* data_;
  std::size_t size_;
};

// Lower-case hexadecimal SHA-256 (OpenSSL).
std::string sha256_hex(std::span<const std::byte> bytes);
std::string sha256_hex(std::string_view text);
std::string sha256_hex_of_file(const std::string& path);

bool file_exists(const std::string& path);

// Writes a file piece by piece, whole or not at all: the pieces go to a temporary file beside it,
// which commit() brings to the disk and renames to `path`. Without commit() nothing of it remains
// and a file that stood at `path` is untouched.
class AtomicFileWriter {
 public:
  explicit AtomicFileWriter(std::string path);  // throws DataError, like the two below

  AtomicFileWriter(const AtomicFileWriter&) = delete;
  AtomicFileWriter& operator=(const AtomicFileWriter&) = delete;
  ~AtomicFileWriter();

  void append(std::span<const std::byte> piece);
  void append(std::string_view piece);
  void commit();

 private:
  std::string path_;
  std::string temporary_;
  int fd_ = -1;
};

// Writes `content` to `path` whole or not at all, see AtomicFileWriter. Throws DataError.
void write_file_atomically(const std::string& path, std::string_view content);

}  // namespace dlm
