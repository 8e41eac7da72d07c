// The system calls that a model-written program may not make, as a classic BPF program for the
// kernel's seccomp. A deny list on top of name spaces and limits: it closes what those leave open
// (tracing, mounts, keys, BPF, new name spaces, memory outside the limits, sockets but local ones),
// and leaves Python everything that it needs.
#pragma once

#include <string>

namespace dlm {

// The filter's instructions as bytes, in the form that `bwrap --seccomp FD` reads. A forbidden call
// fails with EPERM (clone3 with ENOSYS, so that libc falls back on clone, whose flags can be
// looked at); a call of another architecture's table kills the process.
std::string seccomp_filter();

}  // namespace dlm
