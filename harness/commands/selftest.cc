// `selftest`: is the arithmetic of this build, on this machine, right? Checked against worlds whose
// truth is known.
#include <cmath>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "harness/base/error.h"
#include "harness/base/random.h"
#include "harness/base/stats.h"
#include "harness/cli.h"
#include "harness/commands/command.h"
#include "harness/commands/store_options.h"
#include "models/exact/exact_world.h"
#include "models/sampling/autoregressive.h"
#include "results/table.h"

namespace dlm {
namespace {

constexpr const char* kText =
    "Checks that need no data: the random numbers against published ones, exact worlds against "
    "their own law (chain\n"
    "rule, entropy, the sampler's output law), batch size and cache against each other. Exit code "
    "2 where one fails.\n\n"
    "  dlmbench selftest";

struct Check {
  const char* name;
  std::function<std::string()> run;  // what was found; throws Error where it is wrong
};

void require(bool holds, const std::string& found) {
  if (!holds)
    throw Error(found);
}

std::string check_random_numbers() {
  // Random123's known answer for counter and key of all ones.
  constexpr std::uint32_t kOnes = 0xffffffffU;
  const auto words = philox4x32_10({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes});
  require(words == std::array<std::uint32_t, 4>{0x408f276dU, 0x41c83b0eU, 0xa20bc7c6U, 0x6d5451fdU},
          "Philox differs from its known answer");
  return "Philox 4x32-10 gives its known answer";
}

std::string check_chain_rule() {
  const auto world = make_exact_world("exact:tabular?v=3&l=5&seed=7");
  double total = 0;
  double worst = 0;
  std::vector<std::int64_t> ids(5, 0);
  for (int code = 0; code < 243; ++code) {
    for (int i = 0, rest = code; i < 5; ++i, rest /= 3) ids[static_cast<std::size_t>(i)] = rest % 3;
    const std::vector<ScoringWindow> window{{ids, 0}};
    double nll = 0;
    const auto terms = world->token_nll(window);
    for (const double nats : terms[0]) nll += nats;
    total += std::exp(-nll);
    worst = std::max(worst, std::abs(nll + world->log_probability(ids)));
  }
  const std::string found = fmt::format(
      "243 sequences: sum of p - 1 = {:.1e}, worst difference {:.1e} nats", total - 1, worst);
  require(std::abs(total - 1) < 1e-12 && worst < 1e-12, found);
  return found;
}

std::vector<ScoringWindow> drawn_windows(const ExactWorld& world, std::int64_t documents,
                                         std::int64_t length) {
  std::vector<ScoringWindow> windows;
  for (std::int64_t i = 0; i < documents; ++i) {
    windows.push_back({world.draw(1, static_cast<std::uint64_t>(i), length), 0});
  }
  return windows;
}

std::string check_entropy() {
  constexpr std::int64_t kLength = 64;
  const auto world = make_exact_world("exact:markov?v=8&seed=1");
  std::vector<double> nats;
  for (const auto& document : world->token_nll(drawn_windows(*world, 1000, kLength))) {
    double sum = 0;
    for (const double one : document) sum += one;
    nats.push_back(sum / kLength);
  }
  const MeanEstimate mean = mean_estimate(nats);
  const double truth = world->entropy_per_token(kLength);
  const double z = (mean.value - truth) / mean.std_error.value();
  const std::string found =
      fmt::format("measured {:.5f} ± {:.5f}, entropy {:.5f} nats/token (z = {:.2f})", mean.value,
                  mean.std_error.value(), truth, z);
  require(std::abs(z) < 4, found);
  return found;
}

std::string check_batch_invariance() {
  const auto world = make_exact_world("exact:markov?v=8&seed=1");
  const auto windows = drawn_windows(*world, 32, 40);
  const auto together = world->token_nll(windows);
  for (std::size_t i = 0; i < windows.size(); ++i) {
    const auto alone = world->token_nll(std::span(&windows[i], 1));
    require(alone[0] == together[i], fmt::format("document {} differs alone and in a batch", i));
  }
  return "32 documents score the same alone and together, to the bit";
}

std::string check_sampler_law() {
  constexpr std::size_t kSamples = 20000;
  const auto world = make_exact_world("exact:tabular?v=3&l=3&seed=5");
  std::vector<Prompt> prompts;
  for (std::size_t e = 0; e < kSamples; ++e) prompts.push_back({{}, e, 0});
  GenerateOptions options;
  options.max_new_tokens = 3;
  options.batch_size = 256;
  std::vector<double> seen(27, 0.0);
  for (const Continuation& out : generate(*world, prompts, options)) {
    seen[static_cast<std::size_t>(out.ids[0] * 9 + out.ids[1] * 3 + out.ids[2])] += 1;
  }
  double chi2 = 0;
  for (std::int64_t cell = 0; cell < 27; ++cell) {
    const std::vector<std::int64_t> ids{cell / 9, cell / 3 % 3, cell % 3};
    const double expected = kSamples * std::exp(world->log_probability(ids));
    chi2 += std::pow(seen[static_cast<std::size_t>(cell)] - expected, 2) / expected;
  }
  // 26 degrees of freedom: 82 is passed with probability 1e-7.
  const std::string found =
      fmt::format("{} samples: chi-square {:.1f} with 26 degrees of freedom", kSamples, chi2);
  require(chi2 < 82, found);
  return found;
}

std::string check_intervals() {
  const double t = student_t_quantile(0.975, 9);
  const double z = normal_quantile(0.975);
  const std::string found = fmt::format("t(0.975, 9) = {:.6f}, z(0.975) = {:.6f}", t, z);
  require(std::abs(t - 2.262157) < 1e-6 && std::abs(z - 1.959964) < 1e-6, found);
  return found;
}

}  // namespace

int selftest_command(const Arguments& args) {
  CommandOptions cli("selftest", kText);
  cli.value("output,o", fmt::format("{} (default md)", fmt::join(table_formats(), ", ")));
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  check_output_format(*options);
  const std::vector<Check> checks{{"random numbers", check_random_numbers},
                                  {"chain rule", check_chain_rule},
                                  {"entropy", check_entropy},
                                  {"batch invariance", check_batch_invariance},
                                  {"sampler law", check_sampler_law},
                                  {"quantiles", check_intervals}};
  Table table;
  table.columns = {{"check", "", Align::kLeft, Audience::kAll},
                   {"result", "", Align::kLeft, Audience::kAll},
                   {"found", "", Align::kLeft, Audience::kAll}};
  int code = kExitOk;
  for (const Check& check : checks) {
    try {
      table.rows.push_back({check.name, "ok", check.run()});
    } catch (const std::exception& error) {
      table.rows.push_back({check.name, "WRONG", error.what()});
      code = kExitRunFailed;
    }
  }
  fmt::print("{}", render(table, options->get("output", "md")));
  return code;
}

}  // namespace dlm
