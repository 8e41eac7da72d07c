#include "models/training/token_file.h"

#include <functional>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

using testing::TemporaryFolder;

TokenFile two_documents() {
  TokenFile file;
  file.vocab_size = 10;
  file.source = "a test";
  file.first_token = "given";
  file.ids = {1, 2, 3, 9, 0};
  file.lengths = {3, 2};
  file.nats = {2.5, 0.5};
  return file;
}

std::string refusal(const std::string& path) {
  try {
    (void)read_token_file(path);
  } catch (const DataError& error) {
    return error.what();
  }
  return "accepted";
}

// What is said of the file after a change to it.
std::string refusal_after(const std::function<void(TokenFile&)>& change) {
  const TemporaryFolder folder;
  TokenFile file = two_documents();
  change(file);
  write_token_file(folder.file("t"), file);
  return refusal(folder.file("t"));
}

TEST(TokenFile, ComesBackAsItWas) {
  const TemporaryFolder folder;
  for (const std::int64_t vocab_size : {10, 70'000}) {
    TokenFile file = two_documents();
    file.vocab_size = vocab_size;
    file.ids[1] = static_cast<std::int32_t>(vocab_size - 1);
    write_token_file(folder.file("t"), file);
    const TokenFile back = read_token_file(folder.file("t"));
    EXPECT_EQ(back.ids, file.ids);
    EXPECT_EQ(back.lengths, file.lengths);
    EXPECT_EQ(back.nats, file.nats);
    EXPECT_EQ(back.vocab_size, vocab_size);
    EXPECT_EQ(back.source, "a test");
    EXPECT_EQ(back.first_token, "given");
  }
}

TEST(TokenFile, NatsAreOfTheTokensThatAreScored) {
  TokenFile file = two_documents();
  EXPECT_EQ(file.nats_per_token(), 3.0 / 3);
  EXPECT_EQ(file.nats_per_token(1), 2.5 / 2);
  file.first_token = "scored";
  EXPECT_EQ(file.nats_per_token(), 3.0 / 5);
  file.nats.clear();
  EXPECT_EQ(file.nats_per_token(), std::nullopt);
}

TEST(TokenFile, RefusesWhatDoesNotAddUp) {
  const auto has = [](const std::string& message, const char* part) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  has(refusal_after([](TokenFile& f) { f.vocab_size = 9; }), "ids from 0 to 8, found 9");
  has(refusal_after([](TokenFile& f) { f.nats.pop_back(); }), "2 values of 'nats', found 1");
  has(refusal_after([](TokenFile& f) { f.nats[0] = -1; }), "at least 0");
  has(refusal_after([](TokenFile& f) { f.lengths = {5, 0}; }), "a length of 0");
  has(refusal_after([](TokenFile& f) { f.lengths = {6, -1}; }), "a length of 6");
  has(refusal_after([](TokenFile& f) { f.first_token = "maybe"; }), "given or scored");
  has(refusal_after([](TokenFile& f) {
        f.ids.clear();
        f.lengths.clear();
        f.nats.clear();
      }),
      "at least one document");
}

TEST(TokenFile, RefusesOtherFiles) {
  const TemporaryFolder folder;
  write_file_atomically(folder.file("text"), "not a safetensors file, but long enough for one");
  EXPECT_NE(refusal(folder.file("text")), "accepted");
  EXPECT_NE(refusal(folder.file("missing")), "accepted");
  write_file_atomically(folder.file("empty"), std::string("\x02\0\0\0\0\0\0\0{}", 10));
  EXPECT_NE(refusal(folder.file("empty")).find("a file of token ids"), std::string::npos);
}

}  // namespace
}  // namespace dlm
