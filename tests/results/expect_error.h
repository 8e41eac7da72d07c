// Checks on the type and the text of an error.
#pragma once

#include <string>

#include <gtest/gtest.h>

namespace dlm::testing {

// The message of the `Expected` that `work` throws; a failed test where it throws nothing.
template <class Expected, class Work>
std::string error_of(const Work& work) {
  try {
    work();
  } catch (const Expected& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace dlm::testing

#define EXPECT_CONTAINS(text, part) \
  EXPECT_TRUE(::dlm::testing::contains(text, part)) << "no '" << (part) << "' in: " << (text)
