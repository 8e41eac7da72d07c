#include "harness/base/gzip.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <string_view>

#include <fmt/format.h>
#include <zlib.h>

#include "harness/base/error.h"
#include "harness/base/file.h"

namespace dlm {
namespace {

constexpr int kGzipWindow = 15 + 16;  // the largest window, gzip header and trailer
constexpr std::size_t kPiece = std::size_t{64} << 10U;

class Inflater {
 public:
  explicit Inflater(const std::string& path) : path_(path) {
    DLM_CHECK(inflateInit2(&stream_, kGzipWindow) == Z_OK, "zlib cannot start");
  }

  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  ~Inflater() { inflateEnd(&stream_); }

  std::string run(std::string_view packed, std::size_t most_bytes) {
    std::string text;
    std::size_t offset = 0;
    while (offset < packed.size()) {
      const std::size_t used = member(packed.substr(offset), offset, most_bytes, text);
      offset += used;
      DLM_CHECK(inflateReset(&stream_) == Z_OK, "zlib cannot start anew");
    }
    return text;
  }

 private:
  // One gzip member; returns the bytes it takes.
  std::size_t member(std::string_view packed, std::size_t base, std::size_t most_bytes,
                     std::string& text) {
    std::array<char, kPiece> piece{};
    std::size_t given = 0;
    stream_.avail_in = 0;
    int state = Z_OK;
    while (state != Z_STREAM_END) {
      if (stream_.avail_in == 0)
        given += feed(packed, given);
      stream_.next_out = reinterpret_cast<Bytef*>(piece.data());
      stream_.avail_out = kPiece;
      state = inflate(&stream_, Z_NO_FLUSH);
      const std::size_t at = given - stream_.avail_in;
      if (state != Z_OK && state != Z_STREAM_END) {
        const bool cut = state == Z_BUF_ERROR && given == packed.size();
        fail(base + at, cut ? "the end of the file" : message());
      }
      text.append(piece.data(), kPiece - stream_.avail_out);
      if (text.size() > most_bytes)
        fail(base + at, fmt::format("more than {} bytes", most_bytes));
    }
    return given - stream_.avail_in;
  }

  std::size_t feed(std::string_view packed, std::size_t given) {
    constexpr std::size_t kMost = std::numeric_limits<uInt>::max();
    const std::size_t n = std::min(packed.size() - given, kMost);
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data() + given));
    stream_.avail_in = static_cast<uInt>(n);
    return n;
  }

  std::string message() const { return stream_.msg == nullptr ? "damaged data" : stream_.msg; }

  [[noreturn]] void fail(std::size_t offset, const std::string& found) const {
    throw DataError(path_, static_cast<std::int64_t>(offset), "a whole gzip file", found);
  }

  const std::string& path_;
  z_stream stream_{};
};

bool is_gzip(std::string_view text) {
  return text.starts_with("\x1f\x8b");
}

}  // namespace

std::string read_text_file(const std::string& path, std::size_t most_bytes) {
  const auto file = MappedFile::open(path);
  const std::string_view text = file->text();
  if (is_gzip(text))
    return Inflater(path).run(text, most_bytes);
  if (text.size() > most_bytes) {
    throw DataError(path, -1, fmt::format("at most {} bytes", most_bytes),
                    fmt::format("{} bytes", text.size()));
  }
  return std::string(text);
}

}  // namespace dlm
