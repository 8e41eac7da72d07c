// `law`: how far from the joint a sampler's text is, exactly, on a world small enough to enumerate.
#include <chrono>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/cli.h"
#include "harness/commands/command.h"
#include "harness/environment.h"
#include "harness/read_settings.h"
#include "harness/scorers/scored_run.h"
#include "harness/sweep.h"
#include "harness/text_sampling.h"
#include "models/exact/policy_law.h"

namespace dlm {
namespace {

constexpr const char* kText =
    "Goes through every state of a block sampler on a tabular world, no draw made, and prints the "
    "Kullback-Leibler\n"
    "divergence of the joint law from that of its output: what several tokens per step cost when "
    "the model is perfect. Lists and\n"
    "ranges multiply into a sweep. total_correlation is the divergence of drawing all tokens at "
    "once.\n\n"
    "  dlmbench law --model 'exact:tabular?v=3&l=8' --sampler random,confidence,entropy "
    "--tokens-per-step 1,2,4,8\n"
    "  dlmbench law --model 'exact:tabular?v=3&l=8' --sampler ancestral --steps 1-64*2 "
    "--block-size 4";

TabularWorld const& tabular_of(const ExactWorld& world, const std::string& model) {
  const auto* table = dynamic_cast<const TabularWorld*>(&world);
  if (table == nullptr)
    throw ConfigError("model", model, "exact:tabular?v=V&l=L, whose sequences can be enumerated");
  return *table;
}

PolicyLawOptions law_options(const RunSpec& spec) {
  if (spec.sampler.name == "semi_autoregressive")
    throw ConfigError("sampler", spec.sampler.name,
                      "one whose text is a single sequence of blocks");
  return {spec.block_size, reveal_options(spec.sampler), token_filter(spec.sampler)};
}

RunHeader header_of(const RunSpec& spec, const TabularWorld& world) {
  const Json settings = run_fields(SpecPart::kGenerate).to_json(spec, true);
  RunHeader header;
  header.identity_json =
      canonical_json({{"measures", "law"}, {"settings", settings}, {"numerics", kNumericsEpoch}});
  header.run_key = sha256_hex(header.identity_json);
  header.spec_json = canonical_json(settings);
  header.model_name = world.spec();
  header.family = world.info().family;
  header.dtype = world.info().dtype;
  header.parameters = world.info().parameters;
  header.weights_sha256 = sha256_hex(world.spec());
  header.model_config_json = canonical_json({{"world", world.spec()}});
  header.task_name = "joint law";
  header.task_kind = "law";
  header.task_version = 1;
  header.data_sha256 = header.weights_sha256;
  header.task_config_json = "{}";
  header.env_json = canonical_json(environment_json("cpu"));
  header.build_json = canonical_json(build_json());
  header.seed = spec.seed;
  header.command = command_of(spec, SpecPart::kGenerate, "law");
  return header;
}

Estimate exact_estimate(const char* metric, double value) {
  Estimate estimate;
  estimate.metric = metric;
  estimate.value = value;
  estimate.se_data = 0;
  estimate.se_mc = 0;
  return estimate;
}

FinishedRun measure(const RunSpec& spec) {
  const auto world = make_exact_world(spec.model);
  const TabularWorld& table = tabular_of(*world, spec.model);
  const auto start = std::chrono::steady_clock::now();
  const double kl = kl_divergence(joint_law(table), policy_law(table, law_options(spec)));
  if (!std::isfinite(kl))
    throw ConfigError("temperature, top_k, nucleus_p",
                      fmt::format("{}, {}, {}", spec.sampler.temperature, spec.sampler.top_k,
                                  spec.sampler.nucleus_p),
                      "values that leave every sequence possible: the divergence is infinite");
  FinishedRun run;
  run.wall_ns =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start)
          .count();
  run.header = header_of(spec, table);
  run.estimates = {
      exact_estimate("kl_to_joint", kl),
      exact_estimate("total_correlation", table.total_correlation(table.info().max_length))};
  run.definitions = {kl_to_joint_definition(),
                     {"total_correlation", "nats", "none", "enumerated",
                      "what drawing all tokens independently loses"}};
  return run;
}

// What a law without draws and without an end does not depend on.
const std::vector<std::string> kUnread = {"dtype",
                                          "device",
                                          "linear_backend",
                                          "tokenizer",
                                          "parameterization",
                                          "noise_convention",
                                          "any_block_size",
                                          "batch_size",
                                          "sampler.stop_at",
                                          "sampler.entropy_floor",
                                          "sampler.entropy_restarts",
                                          "sampler.past_context",
                                          "sampler.max_new_tokens",
                                          "sampler.cache",
                                          "sampler.published",
                                          "sampler.reveal_schedule",
                                          "sampler.eps",
                                          "sampler.position_temperature",
                                          "sampler.factor",
                                          "sampler.guidance",
                                          "sampler.suppress_eos",
                                          "sampler.stale_keys",
                                          "sampler.verifier",
                                          "sampler.adjust",
                                          "sampler.filter_order"};

}  // namespace

int law_command(const Arguments& args) {
  CommandOptions cli("law --model exact:tabular?v=V&l=L [sampler settings]", kText);
  add_scored_run_options(cli);
  cli.fields(settings_without(SpecPart::kGenerate, kUnread));
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  std::vector<SweepAxis> axes;
  for (const auto& [key, text] : options->field_texts) axes.push_back(make_axis(key, text));
  const std::vector<RunSpec> specs = expand({}, axes);
  Sweep sweep(specs);
  std::set<std::string> measured;
  std::vector<FinishedRun> runs;
  for (const RunSpec& asked : specs) {
    const RunSpec spec = sweep.read_part(asked, RunMethod{"", reveal_options(asked.sampler).policy},
                                         SpecPart::kGenerate);
    if (measured.insert(command_of(spec, SpecPart::kGenerate, "law")).second)
      runs.push_back(measure(spec));
  }
  sweep.warn_of_unread();
  return record_finished_runs(*options, runs);
}

}  // namespace dlm
