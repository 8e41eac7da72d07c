// Networks of a given shape with random weights: what speed can be measured on without a
// checkpoint. Their text means nothing.
#pragma once

#include <string>
#include <string_view>

#include "models/adjust_network.h"
#include "models/factory.h"

namespace dlm {

// "shape:bd3lm?layers=12&hidden=768&heads=12&vocab=50258&block=4&length=1024&seed=1" or
// "shape:gpt2?..." without block; what is left out is as shown (vocab=50257 for gpt2). The last id
// of a bd3lm is the mask. Weights are uniform with standard deviation 0.02, from (seed,
// Purpose::kWeights). Throws ConfigError for an unknown kind or key, and for numbers that make no
// network.
LoadedModel make_shape_model(std::string_view spec, const ModelOptions& options);

bool is_shape(std::string_view spec);

// "shape:adjust?seed=1": an ADJUST layer with the base's heads and inner width and random weights,
// for speed alone; no base is asked for by hash. Throws ConfigError for another spec.
AdjustNetwork make_shape_adjust(std::string_view spec, const HiddenModel& base);

// Its name with every number said.
std::string shape_adjust_name(std::string_view spec);

}  // namespace dlm
