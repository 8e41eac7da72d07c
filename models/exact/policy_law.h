// What a sampler's text follows, exactly: the law of its output on a world small enough to go
// through every state, no draw made. The truth that sampling is checked against, and the distance
// from the joint that several tokens per step cost. Torch-free.
#pragma once

#include <cstdint>
#include <vector>

#include "harness/base/record.h"
#include "models/exact/tabular.h"
#include "models/sampling/reveal_policy.h"
#include "models/sampling/token_filter.h"

namespace dlm {

struct PolicyLawOptions {
  std::int64_t block_size = 0;  // L'; 0 = the whole length
  RevealOptions reveal = {};
  TokenFilter filter = {};
};

// The law of the text that the block loop (models/sampling/block_sampler.h) writes from nothing to
// the world's whole length, V^L probabilities ordered as TabularWorld's joint. Throws ConfigError
// for a block size that does not divide L, bad options, and a world of more than 2^24 states, (V +
// 1)^L.
std::vector<double> policy_law(const TabularWorld& world, const PolicyLawOptions& options);

// sum p ln(p / q), nats; infinite where q lacks mass that p has. Laws of one size.
double kl_divergence(const std::vector<double>& p, const std::vector<double>& q);

// The joint law of a tabular world, V^L probabilities.
std::vector<double> joint_law(const TabularWorld& world);

// How the divergence of the joint law from that of a sampler's output is stored.
MetricDefinition kl_to_joint_definition();

}  // namespace dlm
