// Small networks to be trained, with random weights, and what tests do with them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include <ATen/core/Tensor.h>

#include "models/training/make_trainable.h"

namespace dlm::testing {

// 3 layers of width 24, 4 heads, 13 tokens with the mask, L = 48, L' = 4, no dropout.
TrainableSpec small_spec(const std::string& objective);

// make_trainable with all weights drawn at random, so that no gradient is 0: norms near 1, gates
// near 0.8, all else normal with deviation 0.3.
std::unique_ptr<Trainable> random_network(const TrainableSpec& spec, double scale = 0.3);

// (rows, length) ids in [0, vocab_size - 1).
at::Tensor random_ids(const TrainableSpec& spec, std::int64_t rows, std::uint64_t seed = 5);

void clear_gradients(Trainable& network);

// Copies by name.
std::map<std::string, at::Tensor> gradients_of(Trainable& network);

// Of one call, from 0.
std::map<std::string, at::Tensor> fresh_gradients(Trainable& network, const TrainBatch& batch,
                                                  double scale = 1);

// The largest difference of a tensor, relative to its largest value in `b`; of all tensors the
// largest.
double largest_difference(const std::map<std::string, at::Tensor>& a,
                          const std::map<std::string, at::Tensor>& b);

// Writes config.json and model.safetensors.
void save_network(Trainable& network, const std::string& folder);

}  // namespace dlm::testing
