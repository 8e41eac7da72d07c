// What a run ran on, stored with it: the machine, and how this program was built.
#pragma once

#include <cstdint>
#include <string>

#include "harness/base/json.h"

namespace dlm {

// Bumped whenever the same run would give other numbers; part of the run key.
inline constexpr std::int64_t kNumericsEpoch = 6;

// host, machine, cpu, os, gpu, cores, memory_bytes, threads, libtorch, cpu_capability, device.
Json environment_json(const std::string& device);

// git_commit, dirty, compiler, flags, torch, numerics_epoch.
Json build_json();

// Largest resident memory of this process so far, in bytes.
std::int64_t peak_resident_bytes();

// The value of `field` in a /proc-style "field : value" file; empty where there is none.
std::string proc_field(const std::string& path, const std::string& field);

}  // namespace dlm
