// From a run's settings to its estimator: what the label and the pairing key say.
#include "harness/estimator_settings.h"

#include <set>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/draw_pilot.h"
#include "harness/scoring_workload.h"

namespace dlm {
namespace {

RunSpec spec_of(double target) {
  RunSpec spec;
  spec.task = "draws:markov?v=8&seed=1&documents=40&length=16";
  spec.estimator.name = "stratified";
  spec.estimator.target_ci = target;
  spec.block_size = 4;
  return spec;
}

// A pilot may choose another number of draws for another model or target, and then every mask is
// another.
TEST(PairingKey, ClaimsNoSharedMasksWhereAPilotChooses) {
  const LoadedModel model = load_model("exact:markov?v=8&seed=1", {});
  const LoadedModel other = load_model("exact:markov?v=8&seed=2", {});
  const auto key = [](const RunSpec& spec, const LoadedModel& of) {
    return ScoringWorkload(spec, of).identity().at("pairing_key").get<std::string>();
  };
  EXPECT_EQ(key(spec_of(0), model), key(spec_of(0), other));
  const std::set<std::string> keys{key(spec_of(0), model), key(spec_of(0.01), model),
                                   key(spec_of(0.02), model), key(spec_of(0.01), other)};
  EXPECT_EQ(keys.size(), 4U);
  EXPECT_EQ(key(spec_of(0.01), model), key(spec_of(0.01), model));
  RunSpec named = spec_of(0.01);
  named.estimator.draws = 4;
  EXPECT_EQ(key(named, model), key(named, other));
}

TEST(DrawPilot, ChoosesAMultipleOfTheReplicatesAskedFor) {
  const LoadedModel model = load_model("exact:markov?v=8&seed=1", {});
  RunSpec spec = spec_of(0.01);
  for (const std::int64_t replicates : {3, 5, 7}) {
    spec.estimator.replicates = replicates;
    const ScoringWorkload workload(spec, model);
    EXPECT_EQ(workload.estimator()->draws, replicates);
    for (const double target : {0.5, 0.0005}) {
      const DrawPilot pilot =
          run_draw_pilot(*model.denoiser, workload.plan().units, *workload.estimator(), target);
      EXPECT_EQ(pilot.draws % replicates, 0) << pilot.draws;
    }
  }
}

TEST(EstimatorText, NamesScheduleAndStrata) {
  EstimatorOptions options;
  options.name = "reference";
  options.block_size = 4;
  options.draws = 2;
  EXPECT_EQ(estimator_text(options), "reference, L' = 4, 2 draws");
  options.schedule = "cosine";
  options.strata = "published";
  options.rows = 8;
  EXPECT_EQ(estimator_text(options),
            "reference, L' = 4, 2 draws, cosine schedule, published strata");
}

}  // namespace
}  // namespace dlm
