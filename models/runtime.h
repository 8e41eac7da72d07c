// libtorch as a whole: threads, versions, waiting for a device. Torch-free.
#pragma once

#include <cstdint>
#include <string>

namespace dlm {

// Threads of network passes and of host loops; 0 = every core this process may use.
void set_threads(std::int64_t threads);

std::int64_t threads_in_use();

std::string torch_version();  // "2.13.0"

// The vector instructions libtorch uses here: "AVX512", "AVX2", ...
std::string cpu_capability();

bool has_cuda();

// Throws ConfigError unless `device` is cpu, cuda or cuda:N and exists here.
void check_device(const std::string& device);

// Returns when everything queued on the device is done; nothing to do on the CPU.
void synchronise(const std::string& device);

}  // namespace dlm
