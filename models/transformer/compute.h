// Where and in what precision a network computes: ModelOptions checked and turned into libtorch's
// terms.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include "models/model_options.h"
#include "models/transformer/linear.h"

namespace dlm {

struct Compute {
  at::ScalarType dtype = at::kFloat;
  at::Device device = at::kCPU;
  LinearBackend backend = LinearBackend::kAten;
};

// Throws ConfigError for an unknown dtype, device or back end, for a device this machine lacks, and
// for a back end that cannot compute the dtype there.
Compute resolve_compute(const ModelOptions& options);

}  // namespace dlm
