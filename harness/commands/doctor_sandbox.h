// `doctor sandbox`: whether the sandbox holds here, and what it costs.
#pragma once

#include <string>

namespace dlm {

// Prints a row for each hostile program, and what a sandboxed program costs beyond Python's own
// start. Returns the exit code: 0 where all was held. Throws SandboxUnavailable.
int doctor_sandbox(const std::string& output_format);

}  // namespace dlm
