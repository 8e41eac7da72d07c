#include "models/checkpoint/safetensors.h"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/resource.h>

#include "harness/base/error.h"
#include "harness/base/random.h"
#include "tests/models/checkpoint/files.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

using testing::data_error;
using testing::raw_file;
using testing::TemporaryFolder;
using testing::tensor_of;
using testing::text_of;

// Opens a file of this header and data and returns the text of the DataError without the path.
std::string refusal(std::string_view header, std::string_view data) {
  const TemporaryFolder folder;
  const std::string path = folder.file("x.safetensors");
  write_file_atomically(path, raw_file(header, data));
  const std::string text = data_error([&] { open_safetensors(path); });
  EXPECT_EQ(text.find(path), 0U) << text;
  return text.substr(std::min(text.size(), path.size()));
}

std::string refusal_of_bytes(const std::string& bytes) {
  const TemporaryFolder folder;
  const std::string path = folder.file("x.safetensors");
  write_file_atomically(path, bytes);
  return data_error([&] { open_safetensors(path); }).substr(path.size());
}

// One tensor "w" with these members, quoted with ' for legibility.
std::string entry(std::string members) {
  std::string header = "{'w':{" + std::move(members) + "}}";
  std::replace(header.begin(), header.end(), '\'', '"');
  return header;
}

std::string quoted(std::string text) {
  std::replace(text.begin(), text.end(), '\'', '"');
  return text;
}

TEST(Dtype, NamesAndSizesAreThoseOfTheFormat) {
  EXPECT_STREQ(dtype_name(Dtype::kF8E4M3), "F8_E4M3");
  EXPECT_STREQ(dtype_name(Dtype::kBf16), "BF16");
  EXPECT_EQ(dtype_size(Dtype::kBool), 1U);
  EXPECT_EQ(dtype_size(Dtype::kBf16), 2U);
  EXPECT_EQ(dtype_size(Dtype::kC64), 8U);
  std::set<std::string> names;
  for (int i = 0; i <= static_cast<int>(Dtype::kF8E5M2Fnuz); ++i)
    names.insert(dtype_name(static_cast<Dtype>(i)));
  EXPECT_EQ(names.size(), 19U);
}

TEST(OpenSafetensors, ReadsTensorsInTheOrderOfTheirBytes) {
  const TemporaryFolder folder;
  const std::string path = folder.file("x.safetensors");
  write_file_atomically(
      path, raw_file(quoted("{'__metadata__':{'format':'pt'},"
                            "'a':{'dtype':'U8','shape':[2],'data_offsets':[4,6]},"
                            "'b':{'data_offsets':[0,4],'shape':[1,2],'dtype':'I16'}}   "),
                     "abcdef"));
  const auto tensors = open_safetensors(path);
  ASSERT_EQ(tensors.size(), 2U);
  EXPECT_EQ(tensors[0].name, "b");
  EXPECT_EQ(tensors[0].dtype, Dtype::kI16);
  EXPECT_EQ(tensors[0].shape, (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(text_of(tensors[0]), "abcd");
  EXPECT_EQ(text_of(tensors[1]), "ef");
  EXPECT_EQ(tensors[1].elements(), 2);
  EXPECT_EQ(static_cast<std::uint64_t>(tensors[1].file_offset()),
            std::filesystem::file_size(path) - 2);
}

TEST(OpenSafetensors, TakesEmptyFilesScalarsAndTensorsWithoutElements) {
  const TemporaryFolder folder;
  const std::string path = folder.file("x.safetensors");
  write_file_atomically(path, raw_file("{}", ""));
  EXPECT_TRUE(open_safetensors(path).empty());
  write_file_atomically(
      path, raw_file(quoted("{'none':{'dtype':'F32','shape':[3,0],'data_offsets':[0,0]},"
                            "'scalar':{'dtype':'F32','shape':[],'data_offsets':[0,4]},"
                            "'last':{'dtype':'F64','shape':[0],'data_offsets':[4,4]}}"),
                     "abcd"));
  std::map<std::string, std::int64_t> elements;
  for (const TensorView& t : open_safetensors(path)) elements[t.name] = t.elements();
  EXPECT_EQ(elements,
            (std::map<std::string, std::int64_t>{{"none", 0}, {"scalar", 1}, {"last", 0}}));
}

TEST(OpenSafetensors, TensorsKeepTheFileMapped) {
  const TemporaryFolder folder;
  const std::string path = folder.file("x.safetensors");
  const std::vector<std::uint8_t> values{1, 2, 3};
  write_safetensors(path, {{"w", tensor_of(Dtype::kU8, {3}, values)}});
  const TensorView kept = open_safetensors(path)[0];
  std::filesystem::remove(path);
  EXPECT_EQ(text_of(kept), "\1\2\3");
}

TEST(OpenSafetensors, RefusesABrokenLength) {
  EXPECT_EQ(refusal_of_bytes(""), ": at byte 0: expected 8 bytes of header length, found 0 bytes");
  EXPECT_EQ(refusal_of_bytes("1234567"),
            ": at byte 0: expected 8 bytes of header length, found 7 bytes");
  EXPECT_EQ(refusal_of_bytes(std::string(9, '\0')),
            ": at byte 0: expected a header length from 2 to 100000000, found 0");
  std::string file = raw_file("{}", "");
  file[0] = 3;
  EXPECT_EQ(refusal_of_bytes(file),
            ": at byte 0: expected a header inside the file, found header length 3 in a file of 10 "
            "bytes");
  file[7] = '\xff';
  EXPECT_NE(refusal_of_bytes(file).find("a header length from 2 to 100000000, found 18374686"),
            std::string::npos);
}

TEST(OpenSafetensors, RefusesAHeaderThatIsNoObject) {
  EXPECT_EQ(refusal("[1]", ""),
            ": at byte 8: expected a header that begins with '{', found byte "
            "0x5b");
  EXPECT_EQ(refusal(" {}", ""),
            ": at byte 8: expected a header that begins with '{', found byte "
            "0x20");
  EXPECT_NE(refusal("{} x", "").find(", header from byte 8: at byte 3"), std::string::npos);
  EXPECT_NE(refusal("{\"a\":", "").find(", header from byte 8: at byte"), std::string::npos);
  EXPECT_EQ(refusal(R"({"w":1,"w":2})", ""),
            ", header from byte 8: at byte 9: expected each key once, found duplicate key 'w'");
}

TEST(OpenSafetensors, RefusesEntriesThatAreNoTensors) {
  EXPECT_EQ(refusal(R"({"w": 7})", ""),
            ": at byte 9: expected tensor 'w' to be an object, found 7");
  EXPECT_EQ(refusal(entry("'dtype':'F32','shape':[1]"), "1234"),
            ": at byte 9: expected tensor 'w' to have 'data_offsets', found "
            "{\"dtype\":\"F32\",\"shape\":[1]}");
  EXPECT_NE(refusal(entry("'dtype':'F32','shape':[1],'data_offsets':[0,4],'more':1"), "1234")
                .find("dtype, shape and data_offsets only"),
            std::string::npos);
  for (const char* dtype : {"'F4'", "'f32'", "null", "['F32']"}) {
    EXPECT_NE(
        refusal(entry(fmt::format("'dtype':{},'shape':[1],'data_offsets':[0,4]", dtype)), "1234")
            .find("at byte 9: expected tensor 'w' to have a known dtype"),
        std::string::npos)
        << dtype;
  }
  for (const char* shape : {"4", "[-1]", "[1.0]", "['1']", "[9223372036854775808]", "[[1]]",
                            "[18446744073709551616]", "{}", "null"}) {
    EXPECT_NE(
        refusal(entry(fmt::format("'dtype':'F32','shape':{},'data_offsets':[0,4]", shape)), "1234")
            .find("at byte 9: expected tensor 'w' to have "),
        std::string::npos)
        << shape;
  }
  for (const char* offsets :
       {"[0]", "[0,2,4]", "[4,0]", "[0.0,4.0]", "[-4,0]", "'0,4'", "['0','4']"}) {
    EXPECT_NE(
        refusal(entry(fmt::format("'dtype':'F32','shape':[1],'data_offsets':{}", offsets)), "1234")
            .find("at byte 9: expected tensor 'w' to have "),
        std::string::npos)
        << offsets;
  }
}

TEST(OpenSafetensors, RefusesSizesThatDoNotFit) {
  EXPECT_EQ(
      refusal(entry("'dtype':'F32','shape':[2,3],'data_offsets':[0,20]"), std::string(20, 'x')),
      ": at byte 9: expected tensor 'w' to take 24 bytes (F32 [2, 3]), found data_offsets "
      "[0, 20]");
  EXPECT_EQ(refusal(entry("'dtype':'F32','shape':[2],'data_offsets':[0,8]"), "1234"),
            ": at byte 9: expected tensor 'w' to end within the 4 bytes of data, found "
            "data_offsets [0, 8]");
  // 2^32 x 2^32 x 4 bytes is 0 modulo 2^64; the same behind a zero must not pass either.
  for (const char* shape : {"[4294967296,4294967296]", "[9223372036854775807,2]",
                            "[0,9223372036854775807,9223372036854775807]"}) {
    EXPECT_NE(
        refusal(entry(fmt::format("'dtype':'F32','shape':{},'data_offsets':[0,0]", shape)), "")
            .find("tensor 'w' to have a size below 2^63 bytes"),
        std::string::npos)
        << shape;
  }
}

TEST(OpenSafetensors, RefusesGapsOverlapsAndLeftovers) {
  const auto pair = [](const char* first, const char* second) {
    return quoted(
        fmt::format("{{'a':{{'dtype':'U8','shape':[4],'data_offsets':{}}},"
                    "'b':{{'dtype':'U8','shape':[4],'data_offsets':{}}}}}",
                    first, second));
  };
  // The header takes 105 bytes, so the data begins at byte 113.
  ASSERT_EQ(pair("[0,4]", "[4,8]").size(), 105U);
  EXPECT_EQ(refusal(pair("[0,4]", "[3,7]"), "1234567"),
            ": at byte 116: expected tensor 'b' to begin at byte 117, where a ends, found an "
            "overlap");
  EXPECT_EQ(refusal(pair("[0,4]", "[5,9]"), "123456789"),
            ": at byte 118: expected tensor 'b' to begin at byte 117, where a ends, found a gap");
  EXPECT_EQ(refusal(pair("[0,4]", "[0,4]"), "1234"),
            ": at byte 113: expected tensor 'b' to begin at byte 117, where a ends, found an "
            "overlap");
  EXPECT_EQ(refusal(pair("[5,9]", "[1,5]"), "123456789"),
            ": at byte 114: expected tensor 'b' to begin at byte 113, where the header ends, found "
            "a gap");
  EXPECT_EQ(refusal(pair("[0,4]", "[4,8]"), "1234567890"),
            ": at byte 121: expected the end of the file after b, found 2 more bytes");
  EXPECT_EQ(refusal("{}", "x"),
            ": at byte 10: expected the end of the file after the header, found 1 more bytes");
  // A tensor without elements must lie at a border too.
  EXPECT_NE(refusal(quoted("{'a':{'dtype':'U8','shape':[4],'data_offsets':[0,4]},"
                           "'b':{'dtype':'U8','shape':[0],'data_offsets':[2,2]}}"),
                    "1234")
                .find("found an overlap"),
            std::string::npos);
}

TEST(OpenSafetensors, RefusesMetadataOtherThanStrings) {
  EXPECT_EQ(refusal(R"({"__metadata__":[]})", ""),
            ": at byte 9: expected __metadata__ to be an object, found []");
  EXPECT_EQ(refusal(R"({"__metadata__":{"step": 3}})", ""),
            ": at byte 25: expected __metadata__ 'step' to be a string, found 3");
}

TEST(WriteSafetensors, RoundTripsEveryDtypeAndAlignsEveryTensor) {
  std::vector<std::uint8_t> bytes(24);
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
  std::map<std::string, TensorToWrite> written;
  for (int i = 0; i <= static_cast<int>(Dtype::kF8E5M2Fnuz); ++i) {
    const auto dtype = static_cast<Dtype>(i);
    const auto span = std::as_bytes(std::span(bytes));
    written[dtype_name(dtype)] = {dtype, {3, 1}, span.first(3 * dtype_size(dtype))};
  }
  written["empty"] = {Dtype::kI64, {2, 0, 5}, {}};
  written["scalar \"quoted\" é"] = {Dtype::kF64, {}, std::as_bytes(std::span(bytes)).first(8)};
  const TemporaryFolder folder;
  const std::string path = folder.file("x.safetensors");
  write_safetensors(path, written, {{"format", "pt"}, {"note", "line\nbreak"}});
  const auto tensors = open_safetensors(path);
  ASSERT_EQ(tensors.size(), written.size());
  EXPECT_EQ(tensors[0].file_offset() % 64, 0);
  for (const TensorView& tensor : tensors) {
    ASSERT_TRUE(written.contains(tensor.name)) << tensor.name;
    const TensorToWrite& source = written[tensor.name];
    EXPECT_EQ(tensor.dtype, source.dtype) << tensor.name;
    EXPECT_EQ(tensor.shape, source.shape) << tensor.name;
    EXPECT_TRUE(std::ranges::equal(tensor.bytes, source.bytes)) << tensor.name;
    EXPECT_EQ(static_cast<std::size_t>(tensor.file_offset()) % dtype_size(tensor.dtype), 0U)
        << tensor.name;
  }
}

TEST(WriteSafetensors, RefusesWhatItCouldNotReadBack) {
  const TemporaryFolder folder;
  const std::string path = folder.file("x.safetensors");
  const std::vector<float> values{1, 2, 3};
  EXPECT_THROW(write_safetensors(path, {{"w", tensor_of(Dtype::kF32, {4}, values)}}),
               InternalError);
  EXPECT_THROW(write_safetensors(path, {{"w", tensor_of(Dtype::kF32, {-3, -1}, values)}}),
               InternalError);
  EXPECT_THROW(write_safetensors(path, {{"\xff", tensor_of(Dtype::kF32, {3}, values)}}),
               InternalError);
  EXPECT_THROW(write_safetensors(path, {{"__metadata__", tensor_of(Dtype::kF32, {3}, values)}}),
               InternalError);
  EXPECT_THROW(write_safetensors(path, {}, {{"k", "\xff"}}), InternalError);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(WriteSafetensors, LeavesTheOldFileWhereWritingFails) {
  const TemporaryFolder folder;
  const std::string path = folder.file("x.safetensors");
  write_file_atomically(path, "old");
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1000, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::vector<float> values(1000);
  const std::string text = data_error([&] {
    write_safetensors(path, {{"w", tensor_of(Dtype::kF32, {1000}, values)}});
  });
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(text.find("x.safetensors: expected to write it whole"), std::string::npos) << text;
  EXPECT_EQ(MappedFile::open(path)->text(), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

// Every mutation of a valid file either opens to tensors that cover the data exactly, or is a
// DataError; reading the bytes would fault outside the map.
class Mutations {
 public:
  Mutations() {
    const std::vector<float> floats{1, 2, 3, 4};
    const std::vector<std::uint8_t> bytes{1, 0, 1};
    write_safetensors(folder_.file("valid"),
                      {{"embed.weight", tensor_of(Dtype::kF32, {2, 2}, floats)},
                       {"bias", tensor_of(Dtype::kU8, {3}, bytes)},
                       {"none", tensor_of(Dtype::kBf16, {0, 7}, std::vector<std::uint16_t>{})}},
                      {{"format", "pt"}});
    valid_ = MappedFile::open(folder_.file("valid"))->text();
  }

  // The file of mutation i: 1 to 4 changes, each a byte set, a bit flipped, a cut, or a piece of
  // the file copied over another.
  std::string mutant(std::uint64_t i) const {
    const RandomStream random(2024, Purpose::kTest, i);
    std::string file = valid_;
    const std::uint64_t changes = 1 + random.below(4, 0, 0);
    for (std::uint64_t c = 1; c <= changes && !file.empty(); ++c) {
      const std::size_t at = random.below(file.size(), c, 0);
      switch (random.below(8, c, 1)) {
        case 0:
          file.resize(at);
          break;
        case 1: {
          const std::size_t from = random.below(file.size(), c, 2);
          file.replace(at, 8, file.substr(from, 8));
          break;
        }
        case 2:
        case 3:
          file[at] = "0123456789-.eE{}[]\":, "[random.below(22, c, 3)];
          break;
        case 4:
          file[at] = static_cast<char>(random.below(256, c, 4));
          break;
        default:
          file[at] = static_cast<char>(file[at] ^ static_cast<char>(1U << random.below(8, c, 5)));
      }
    }
    return file;
  }

  // True where it opens.
  bool open(const std::string& file) const {
    const std::string path = folder_.file("mutant");
    // A new file each time: ext4 brings one that was truncated and written again to the disk.
    std::filesystem::remove(path);
    {
      std::FILE* out = std::fopen(path.c_str(), "wb");
      std::fwrite(file.data(), 1, file.size(), out);
      std::fclose(out);
    }
    try {
      std::size_t covered = 0;
      unsigned int sum = 0;
      for (const TensorView& tensor : open_safetensors(path)) {
        for (const std::byte b : tensor.bytes) sum += std::to_integer<unsigned int>(b);
        covered += tensor.bytes.size();
      }
      std::uint64_t header = 0;
      std::memcpy(&header, file.data(), 8);
      EXPECT_EQ(covered, file.size() - 8 - header) << sum;
      return true;
    } catch (const DataError&) {
      return false;
    }
  }

  const std::string& valid() const { return valid_; }

 private:
  TemporaryFolder folder_;
  std::string valid_;
};

TEST(OpenSafetensors, SurvivesTwentyThousandMutations) {
  const Mutations mutations;
  ASSERT_TRUE(mutations.open(mutations.valid()));
  int opened = 0;
  for (std::uint64_t i = 0; i < 20000; ++i) opened += mutations.open(mutations.mutant(i)) ? 1 : 0;
  // Changes of data bytes, names and padding leave a valid file; most others do not.
  EXPECT_GT(opened, 500);
  EXPECT_LT(opened, 15000);
}

TEST(OpenSafetensors, RefusesEveryTruncation) {
  const Mutations mutations;
  for (std::size_t size = 0; size < mutations.valid().size(); ++size)
    EXPECT_FALSE(mutations.open(mutations.valid().substr(0, size))) << size;
}

}  // namespace
}  // namespace dlm
