// Policies of Dream, LLaDA and Fast-dLLM that the table of reveal_policy.cc names. Internal to it.
// Torch-free.
#pragma once

#include <memory>

#include "models/sampling/reveal_policy.h"

namespace dlm {

std::unique_ptr<RevealPolicy> make_maskgit_plus(const RevealOptions& options);
std::unique_ptr<RevealPolicy> make_low_confidence(const RevealOptions& options);
std::unique_ptr<RevealPolicy> make_origin(const RevealOptions& options);
std::unique_ptr<RevealPolicy> make_factor(const RevealOptions& options);
std::unique_ptr<RevealPolicy> make_factor_reference(const RevealOptions& options);

// `policy`, but the first step of a block reveals its first hidden position alone.
std::unique_ptr<RevealPolicy> make_first_alone(std::unique_ptr<RevealPolicy> policy);

}  // namespace dlm
