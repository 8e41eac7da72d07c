#include "harness/base/file.h"

#include <cstdio>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

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

TEST(WriteFileAtomically, LeavesNothingBehindWhenItFails) {
  const testing::TemporaryFolder folder;
  EXPECT_THROW(write_file_atomically(folder.file("no/such/folder"), "x"), DataError);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace dlm
