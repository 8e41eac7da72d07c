// Output texts as they lie in the table blob.
#pragma once

#include <string>
#include <string_view>

namespace dlm {

struct Blob {
  std::string encoding;  // "raw" where compression would not make it smaller, else "zstd"
  std::string data;
};

// Packs and unpacks with contexts that are made once: making one costs more than a short text.
class BlobCodec {
 public:
  BlobCodec();
  BlobCodec(const BlobCodec&) = delete;
  BlobCodec& operator=(const BlobCodec&) = delete;
  ~BlobCodec();

  Blob pack(std::string_view text);

  // The text again. Throws DataError on `where` for an unknown encoding, damaged data, or a text
  // whose SHA-256 is not `sha256`.
  std::string unpack(const Blob& blob, std::string_view sha256, std::string_view where);

 private:
  std::string decompress(const Blob& blob, std::string_view where);

  void* packer_;    // ZSTD_CCtx
  void* unpacker_;  // ZSTD_DCtx
};

}  // namespace dlm
