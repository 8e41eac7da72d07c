#include "results/run_id.h"

#include <array>
#include <chrono>

#include <sys/random.h>

#include "harness/base/error.h"

namespace dlm {
namespace {

constexpr std::string_view kAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
constexpr std::size_t kTimeDigits = 10;
constexpr std::size_t kRandomDigits = 16;

std::string time_digits(std::int64_t now_ms) {
  std::string digits(kTimeDigits, '0');
  for (std::size_t i = kTimeDigits; i-- > 0; now_ms /= 32)
    digits[i] = kAlphabet[static_cast<std::size_t>(now_ms % 32)];
  return digits;
}

// A name, not a measurement: the one place where randomness comes from the system.
std::string random_digits() {
  std::array<unsigned char, kRandomDigits> bytes{};
  const ssize_t n = ::getrandom(bytes.data(), bytes.size(), 0);
  DLM_CHECK(n == static_cast<ssize_t>(bytes.size()), "the system gave no random bytes");
  std::string digits;
  for (const unsigned char byte : bytes) digits += kAlphabet[byte % 32];
  return digits;
}

std::string successor(std::string_view id) {
  std::string next(id);
  for (std::size_t i = next.size(); i-- > 0;) {
    const std::size_t digit = kAlphabet.find(next[i]);
    DLM_CHECK(digit != std::string_view::npos, "'{}' is not a run id", id);
    if (digit + 1 < kAlphabet.size()) {
      next[i] = kAlphabet[digit + 1];
      return next;
    }
    next[i] = kAlphabet[0];
  }
  DLM_CHECK(false, "run ids are used up after '{}'", id);
  return next;
}

}  // namespace

std::string next_run_id(std::int64_t now_ms, std::string_view last) {
  DLM_CHECK(now_ms >= 0, "the clock says {} ms", now_ms);
  const std::string time = time_digits(now_ms);
  if (last.substr(0, kTimeDigits) >= time)
    return successor(last);
  return time + random_digits();
}

std::string next_run_id(std::string_view last) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return next_run_id(std::chrono::duration_cast<std::chrono::milliseconds>(now).count(), last);
}

}  // namespace dlm
