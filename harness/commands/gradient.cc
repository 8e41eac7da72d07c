// `gradient`: how much the gradient of a checkpoint's training loss varies from batch to batch, for
// every way to draw noise.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/log.h"
#include "harness/base/text.h"
#include "harness/cli.h"
#include "harness/commands/command.h"
#include "harness/commands/measured_sequences.h"
#include "harness/data_root.h"
#include "harness/read_settings.h"
#include "harness/scorers/scored_run.h"
#include "models/training/gradient_variance.h"
#include "models/training/make_trainable.h"

namespace dlm {
namespace {

constexpr const char* kText =
    "Measures the variance of the gradient of a diffusion checkpoint's training loss as the block "
    "diffusion paper\n"
    "defines it, 1 / (M - 1) sum || g_m - mean g ||^2 over M batches of --batch-size sequences, "
    "for each way to draw\n"
    "noise: as published, independent, in strata dealt at random, and by mask counts. All see the "
    "same batches;\n"
    "nothing is dropped. The standard error is that of the mean over pairs of batches. Source: "
    "arXiv:2503.09573, eq. 10.\n\n"
    "  dlmbench gradient --model bd3lm-small/ --task wikitext2 --packing packed -b 16";

const std::vector<std::string> kDraws = {"published", "independent", "permuted", "counts"};

std::vector<TrainBatch> full_batches(const MeasuredSequences& sequences, std::int64_t size,
                                     std::int64_t most) {
  std::vector<TrainBatch> batches;
  const std::int64_t count = std::ssize(sequences.ids) / size;
  for (std::int64_t b = 0; b < std::min(count, most); ++b) {
    const std::int64_t length = std::ssize(sequences.ids.front());
    TrainBatch batch = {at::empty({size, length}, at::kLong),
                        static_cast<std::uint64_t>(b) * static_cast<std::uint64_t>(size)};
    for (std::int64_t row = 0; row < size; ++row) {
      const auto& ids = sequences.ids[static_cast<std::size_t>(b * size + row)];
      std::copy(ids.begin(), ids.end(), batch.ids.mutable_data_ptr<std::int64_t>() + row * length);
    }
    batches.push_back(batch);
  }
  if (batches.size() < 2) {
    throw ConfigError(
        "batch_size", std::to_string(size),
        fmt::format("at most {}, half the sequences there are", std::ssize(sequences.ids) / 2));
  }
  return batches;
}

std::int64_t batch_limit(const ParsedOptions& options) {
  const std::string text = options.get("batches", "100");
  const auto most = parse_int(text);
  if (!most || *most < 2)
    throw ConfigError("batches", text, "must be a whole number from 2");
  return *most;
}

void add_result(const GradientVariance& found, const std::string& draw, std::int64_t sequences,
                FinishedRun& run) {
  Estimate variance;
  variance.metric = "gradient_variance";
  variance.variant = draw;
  variance.value = found.variance;
  variance.se_data = found.std_error;
  variance.n = sequences;
  Estimate mean = variance;
  mean.metric = "gradient_mean_square";
  mean.value = found.mean_square;
  mean.se_data.reset();
  run.estimates.push_back(variance);
  run.estimates.push_back(mean);
}

// Network and block size are the folder's own.
std::vector<std::string> unread_settings() {
  std::vector<std::string> keys = estimator_settings();
  keys.insert(keys.end(), {"block_size", "any_block_size", "parameterization", "noise_convention",
                           "linear_backend"});
  return keys;
}

}  // namespace

int gradient_command(const Arguments& args) {
  CommandOptions cli("gradient --model M --task T [settings]", kText);
  add_scored_run_options(cli);
  cli.value("batches", "use only the first N batches (100)")
      .fields(settings_without(SpecPart::kScore, unread_settings()));
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  MeasuringCommand command(*options, MeasuredModels::kCheckpoints);
  const RunSpec& spec = command.spec();
  const std::vector<TrainBatch> batches =
      full_batches(command.sequences(), spec.batch_size, batch_limit(*options));
  TrainableSpec trainable = spec_of_folder(resolve_data_path(spec.model));
  trainable.dropout = 0;
  trainable.seed = spec.seed;
  trainable.dtype = spec.dtype;
  trainable.strata_rows = spec.batch_size;
  trainable.keeps_first_clean = command.estimator().first_token == "clean";
  FinishedRun finished;
  command.start();
  for (const std::string& draw : kDraws) {
    trainable.noise_draw = parse_noise_draw(draw);
    if (trainable.objective == "sedd" && trainable.noise_draw == NoiseDraw::kMaskCounts)
      continue;
    const auto network = make_trainable(trainable);
    log_info("{}: {} batches of {} sequences", draw, batches.size(), spec.batch_size);
    add_result(gradient_variance(*network, batches), draw, std::ssize(batches) * spec.batch_size,
               finished);
  }
  finished.definitions = {
      {"gradient_variance", "(nats/token)^2", "lo", "mean over pairs of batches for its error",
       "squared distance of a batch's gradient from the mean"},
      {"gradient_mean_square", "(nats/token)^2", "none", "of the mean over batches",
       "squared length of the mean gradient"}};
  return command.finish(std::move(finished), "gradient", {{"batches", std::ssize(batches)}}, args);
}

}  // namespace dlm
