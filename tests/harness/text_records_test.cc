#include "harness/scorers/text_records.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/file.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

std::vector<std::string> texts_of(const std::string& name, const std::string& content) {
  const testing::TemporaryFolder folder;
  write_file_atomically(folder.file(name), content);
  std::vector<std::string> texts;
  for (const TextRecord& record : read_text_file(folder.file(name), "text", 0).records)
    texts.push_back(record.id + " " + record.text);
  return texts;
}

// A line ends at LF or CR LF: the same texts by the same ids, and a blank line is none.
TEST(TextRecords, AreTheSameWithEitherLineEnd) {
  const std::vector<std::string> expected{"000001 one two", "000003 three\rfour"};
  EXPECT_EQ(texts_of("a.txt", "one two\n\nthree\rfour\n"), expected);
  EXPECT_EQ(texts_of("a.txt", "one two\r\n\r\nthree\rfour\r\n"), expected);
  EXPECT_EQ(texts_of("a.txt", "one two\r\n\r\nthree\rfour"), expected);
  const std::vector<std::string> rows{"000001 a\r", "000003 b"};
  EXPECT_EQ(texts_of("a.jsonl", "{\"text\": \"a\\r\"}\r\n\r\n{\"text\": \"b\"}\r\n"), rows);
}

}  // namespace
}  // namespace dlm
