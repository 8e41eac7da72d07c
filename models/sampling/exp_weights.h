// exp over a whole vocabulary, in a loop that the compiler turns into vector instructions.
// Torch-free.
#pragma once

#include <span>

namespace dlm {

// out[i] = exp((logits[i] - largest) / temperature), to 4e-16 of its value; 0 below exp(-700).
// logits at most `largest`; -inf gives 0. Returns the sum.
double exp_weights(std::span<const float> logits, double largest, double temperature,
                   std::span<double> out);

}  // namespace dlm
