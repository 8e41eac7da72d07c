#include "harness/base/file.h"

#include <cstdio>
#include <filesystem>
#include <iterator>
#include <span>
#include <string>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "harness/base/error.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

TEST(Sha256, MatchesPublishedVectors) {
  EXPECT_EQ(sha256_hex(std::string_view("")),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex(std::string_view("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(MappedFile, ReadsWhatWasWritten) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("a.txt");
  write_file_atomically(path, "first");
  write_file_atomically(path, "second");
  const auto file = MappedFile::open(path);
  EXPECT_EQ(file->text(), "second");
  file->release_pages();
  EXPECT_EQ(file->text(), "second");
  EXPECT_EQ(sha256_hex_of_file(path), sha256_hex(std::string_view("second")));
}

TEST(MappedFile, ReleasesARangeWithoutChangingIt) {
  const testing::TemporaryFolder folder;
  const std::string content(20000, 'x');
  write_file_atomically(folder.file("a"), content);
  const auto file = MappedFile::open(folder.file("a"));
  EXPECT_EQ(file->text(), content);
  file->release_pages(file->bytes().subspan(5000, 7000));
  file->release_pages(file->bytes().subspan(20000, 0));
  EXPECT_EQ(file->text(), content);
  EXPECT_THROW(file->release_pages(std::as_bytes(std::span(content))), InternalError);
}

TEST(MappedFile, OpensAnEmptyFile) {
  const testing::TemporaryFolder folder;
  write_file_atomically(folder.file("empty"), "");
  EXPECT_TRUE(MappedFile::open(folder.file("empty"))->bytes().empty());
}

TEST(MappedFile, RefusesFoldersAndMissingFiles) {
  const testing::TemporaryFolder folder;
  EXPECT_THROW(MappedFile::open(folder.path()), DataError);
  EXPECT_THROW(MappedFile::open(folder.file("missing")), DataError);
}

// A pipe without a writer would keep an opener waiting for ever.
TEST(MappedFile, RefusesPipesAtOnce) {
  const testing::TemporaryFolder folder;
  ASSERT_EQ(::mkfifo(folder.file("pipe").c_str(), 0600), 0);
  EXPECT_THROW(MappedFile::open(folder.file("pipe")), DataError);
}

TEST(WriteFileAtomically, LeavesNothingBehindWhenItFails) {
  const testing::TemporaryFolder folder;
  EXPECT_THROW(write_file_atomically(folder.file("no/such/folder"), "x"), DataError);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(AtomicFileWriter, JoinsItsPieces) {
  const testing::TemporaryFolder folder;
  AtomicFileWriter writer(folder.file("a"));
  writer.append("one, ");
  EXPECT_FALSE(file_exists(folder.file("a")));
  writer.append(std::string_view("two"));
  writer.commit();
  EXPECT_EQ(MappedFile::open(folder.file("a"))->text(), "one, two");
  EXPECT_THROW(writer.append("late"), InternalError);
}

TEST(AtomicFileWriter, WithoutCommitKeepsWhatStoodThere) {
  const testing::TemporaryFolder folder;
  write_file_atomically(folder.file("a"), "old");
  { AtomicFileWriter(folder.file("a")).append("new"); }
  EXPECT_EQ(MappedFile::open(folder.file("a"))->text(), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

}  // namespace
}  // namespace dlm
