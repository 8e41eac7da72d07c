#include "harness/base/gzip.h"

#include <string>

#include <gtest/gtest.h>
#include <zlib.h>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

std::string gzipped(const std::string& text) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string packed(deflateBound(&stream, text.size()) + 64, '\0');
  std::string input = text;
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

TEST(ReadTextFile, PlainAndGzip) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("f");
  const auto read = [&](const std::string& content, std::size_t most = 1000000) {
    write_file_atomically(path, content);
    return read_text_file(path, most);
  };
  const std::string text(200000, 'x');
  EXPECT_EQ(read(text), text);
  EXPECT_EQ(read(""), "");
  EXPECT_EQ(read(gzipped(text)), text);
  EXPECT_EQ(read(gzipped("a") + gzipped("b")), "ab");
  EXPECT_THROW(read(text, 1000), DataError);
  EXPECT_THROW(read(gzipped(text), 1000), DataError);  // a bomb
  const std::string packed = gzipped(text);
  EXPECT_THROW(read(packed.substr(0, packed.size() - 9)), DataError);
  std::string damaged = packed;
  damaged[packed.size() - 6] = static_cast<char>(~damaged[packed.size() - 6]);  // the CRC
  EXPECT_THROW(read(damaged), DataError);
  EXPECT_THROW(read(packed + "tail"), DataError);
}

}  // namespace
}  // namespace dlm
