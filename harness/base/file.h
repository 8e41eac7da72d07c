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

// Writes `content` to `path` whole or not at all (temporary file beside it, fsync, rename). Throws
// DataError.
void write_file_atomically(const std::string& path, std::string_view content);

}  // namespace dlm
