// The sandboxes of one test binary, each opened once. Tests are skipped where bubblewrap itself can
// not make name spaces; where it can, a sandbox that does not open is a failure.
#pragma once

#include <cstdlib>
#include <memory>

#include <gtest/gtest.h>

#include "tasks/sandbox/hostile_programs.h"
#include "tasks/sandbox/sandbox.h"

namespace dlm::testing {

inline bool bubblewrap_works() {
  static const bool kWorks =
      std::system("bwrap --unshare-all --ro-bind / / true >/dev/null 2>&1") == 0;  // NOLINT
  return kWorks;
}

// Limits of the battery: a second of CPU time, a quarter of a gigabyte.
inline Sandbox& small_sandbox() {
  static Sandbox sandbox(battery_options());
  return sandbox;
}

// The limits that scores are taken with.
inline Sandbox& usual_sandbox() {
  static Sandbox sandbox(SandboxOptions{});
  return sandbox;
}

}  // namespace dlm::testing

#define DLM_REQUIRE_SANDBOX()                                                \
  do {                                                                       \
    if (!::dlm::testing::bubblewrap_works())                                 \
      GTEST_SKIP() << "bubblewrap can not make name spaces on this machine"; \
  } while (false)
