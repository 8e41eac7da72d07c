// Which token ids a judge takes.
#include "harness/text_judging.h"

#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/base/error.h"

namespace dlm {
namespace {

template <class Thrown>
std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Thrown& error) {
    return error.what();
  }
  return "nothing thrown";
}

TEST(TextJudging, TakesIdsOfItsVocabularyAndNamesOthers) {
  const LoadedModel judge = load_model("exact:markov?v=8", {});
  const auto check = [&](const std::vector<std::int64_t>& ids, std::int64_t mask) {
    check_judged_ids(ids, "000004", judge, mask);
  };
  EXPECT_NO_THROW(check({0, 7, 3}, 8));
  EXPECT_NO_THROW(check({}, -1));
  const std::string beyond = error_of<ConfigError>([&] { check({0, 9}, 8); });
  EXPECT_NE(beyond.find("document 000004 holds 9 at position 1, and the judge knows 0 to 7"),
            std::string::npos)
      << beyond;
  EXPECT_NE(error_of<ConfigError>([&] { check({-2}, 8); }).find("holds -2"), std::string::npos);
  const std::string masked = error_of<InternalError>([&] { check({0, 1, 8}, 8); });
  EXPECT_NE(masked.find("document 000004: position 2 of a finished text is the mask, 8"),
            std::string::npos)
      << masked;
  // The mask is told as what it is where the judge has an id of that number, too.
  EXPECT_NE(error_of<InternalError>([&] { check({5}, 5); }).find("is the mask, 5"),
            std::string::npos);
}

}  // namespace
}  // namespace dlm
