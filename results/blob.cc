#include "results/blob.h"

#include <zstd.h>

#include "harness/base/error.h"
#include "harness/base/file.h"

namespace dlm {
namespace {

constexpr int kLevel = 3;
constexpr unsigned long long kMaxText = 1ULL << 30;  // a damaged length must not eat the memory

}  // namespace

BlobCodec::BlobCodec() : packer_(ZSTD_createCCtx()), unpacker_(ZSTD_createDCtx()) {
  DLM_CHECK(packer_ != nullptr && unpacker_ != nullptr, "no memory for zstd");
}

BlobCodec::~BlobCodec() {
  ZSTD_freeCCtx(static_cast<ZSTD_CCtx*>(packer_));
  ZSTD_freeDCtx(static_cast<ZSTD_DCtx*>(unpacker_));
}

Blob BlobCodec::pack(std::string_view text) {
  std::string packed(ZSTD_compressBound(text.size()), '\0');
  const std::size_t size = ZSTD_compressCCtx(static_cast<ZSTD_CCtx*>(packer_), packed.data(),
                                             packed.size(), text.data(), text.size(), kLevel);
  DLM_CHECK(ZSTD_isError(size) == 0, "zstd: {}", ZSTD_getErrorName(size));
  if (size >= text.size())
    return {"raw", std::string(text)};
  packed.resize(size);
  return {"zstd", std::move(packed)};
}

std::string BlobCodec::decompress(const Blob& blob, std::string_view where) {
  const unsigned long long size = ZSTD_getFrameContentSize(blob.data.data(), blob.data.size());
  if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN || size > kMaxText)
    throw DataError(where, -1, "a zstd frame of known length", "damaged data");
  std::string text(size, '\0');
  const std::size_t written = ZSTD_decompressDCtx(static_cast<ZSTD_DCtx*>(unpacker_), text.data(),
                                                  text.size(), blob.data.data(), blob.data.size());
  if (ZSTD_isError(written) != 0)
    throw DataError(where, -1, "a sound zstd frame", ZSTD_getErrorName(written));
  return text;
}

std::string BlobCodec::unpack(const Blob& blob, std::string_view sha256, std::string_view where) {
  if (blob.encoding != "raw" && blob.encoding != "zstd")
    throw DataError(where, -1, "encoding raw or zstd", blob.encoding);
  std::string text = blob.encoding == "raw" ? blob.data : decompress(blob, where);
  if (sha256_hex(text) != sha256)
    throw DataError(where, -1, fmt::format("the text of SHA-256 {}", sha256), "another text");
  return text;
}

}  // namespace dlm
