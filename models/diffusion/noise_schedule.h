// How masking grows with time: mask probability p(t) and loss weight w(t) for t in [0, 1]. The
// expectation of the loss over all masking rates does not depend on the schedule, the variance of
// its estimate does (arXiv:2503.09573, section 4.3). On an interval of t it does depend on it: the
// rates below p(t_min) are left out, and some weights are not p' / p.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dlm {

enum class NoiseSchedule {
  kLinear,      // p = t: every headline number
  kSquare,      // p = max(t^2, 1e-3)
  kSquareRoot,  // p = max(sqrt t, 1e-3)
  kLog,         // p = ln(1 + t) / ln 2
  kCosine,      // p = 1 - (1 - 1e-3) cos(pi t / 2)
  kMdlm,        // p = (1 - 1e-3) t, for parity with the older MDLM and SEDD checkpoints
};

struct NoiseLevel {
  double mask_probability = 1;
  double weight = 1;  // of -log p(token) at a masked position: p'(t) / p(t) up to the clamps
};

// The pair at t, as published: clamped where p < 1e-3, and cosine's weight is p' / (p + 1e-3). Its
// weight has the opposite sign there. Source: bd3lms noise_schedule.py, diffusion.py
// (mdlm_loss_scale).
NoiseLevel noise_level(NoiseSchedule schedule, double t);

// Mean over t in [t_min, t_max] of w(t) p(t): the expected total weight of a token's terms, 1 where
// nothing is left out. On [1e-3, 1]: linear 1, square 1.001, log 0.9996, mdlm 0.999, cosine 0.994,
// square_root 0.969.
double mean_token_weight(NoiseSchedule schedule, double t_min, double t_max);

// "linear", "square", "square_root", "log", "cosine", "mdlm". Throws ConfigError for another name.
NoiseSchedule parse_noise_schedule(std::string_view name);

std::vector<std::string> noise_schedule_names();

}  // namespace dlm
