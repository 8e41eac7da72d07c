#include "harness/adjust_training.h"

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include "harness/base/error.h"
#include "harness/base/log.h"
#include "harness/data_root.h"
#include "harness/progress.h"
#include "models/checkpoint/checkpoint.h"
#include "models/factory.h"
#include "models/training/adjust_trainable.h"
#include "models/training/training_folder.h"
#include "models/training/trajectories.h"
#include "models/training/trajectory_states.h"

namespace dlm {
namespace {

using Rows = std::vector<std::vector<std::int64_t>>;

constexpr std::uint64_t kTrajectorySeeds = std::uint64_t{1} << 34;
constexpr std::uint64_t kHeldOutSeeds = std::uint64_t{1} << 35;
constexpr std::int64_t kMostPrompts = 1 << 16;  // that differ

AdjustTrainingSpec layer_spec(const TrainRecipe& recipe, const std::string& base_sha256) {
  AdjustTrainingSpec spec;
  spec.base_sha256 = base_sha256;
  spec.length = recipe.model.length;
  spec.prompt_tokens = recipe.adjust.prompt_tokens;
  spec.block_size = recipe.block_size;
  spec.heads = recipe.adjust.layer_heads;
  spec.inner = recipe.adjust.inner;
  spec.depth = recipe.adjust.depth;
  spec.loss = parse_adjust_loss(recipe.adjust.loss);
  spec.next_share = recipe.adjust.next_share;
  spec.seed = recipe.seed;
  if (!recipe.fine_tune_from.empty())
    spec.initial_weights = resolve_data_path(recipe.fine_tune_from);
  return spec;
}

Rows prompt_rows(const RowSource& source, std::int64_t count) {
  const std::int64_t differ = source.rows() > 0 ? source.rows() : count;
  Rows rows(static_cast<std::size_t>(std::min({differ, count, kMostPrompts})),
            std::vector<std::int64_t>(static_cast<std::size_t>(source.length())));
  for (std::size_t i = 0; i < rows.size(); ++i) source.read(i, rows[i]);
  return rows;
}

struct Wanted {
  const char* name;  // of the file
  std::int64_t count = 0;
  std::uint64_t seed = 0;
};

class TrajectoryMaker {
 public:
  TrajectoryMaker(const TrainRecipe& recipe, const BlockDenoiser& base,
                  const AdjustTrainingSpec& layer, std::string folder)
      : recipe_(recipe), base_(base), layer_(layer), folder_(std::move(folder)) {
    std::error_code error;
    std::filesystem::create_directories(folder_, error);
    if (error)
      throw DataError(folder_, -1, "a folder that can be made", error.message());
  }

  Trajectories make(const Rows& prompts, const Wanted& wanted) const {
    TrajectorySpec spec;
    spec.base_sha256 = layer_.base_sha256;
    spec.length = layer_.length;
    spec.prompt_tokens = layer_.prompt_tokens;
    spec.block_size = adjust_block_size(base_, layer_);
    spec.policy = recipe_.adjust.policy;
    spec.temperature = recipe_.adjust.temperature;
    spec.count = wanted.count;
    spec.seed = recipe_.seed + wanted.seed;
    Progress line(fmt::format("{}: {} trajectories", recipe_.name, wanted.name), "texts", 0,
                  static_cast<double>(wanted.count));
    TrajectoryOptions options;
    options.batch_size = recipe_.batch_size;
    options.progress = [&](std::int64_t done) { line.update(static_cast<double>(done), ""); };
    return make_trajectories(base_, prompts, spec,
                             fmt::format("{}/trajectories-{}.safetensors", folder_, wanted.name),
                             options);
  }

 private:
  const TrainRecipe& recipe_;
  const BlockDenoiser& base_;
  const AdjustTrainingSpec& layer_;
  std::string folder_;
};

Rows rows_of(const Trajectories& set) {
  Rows rows;
  for (auto next = set.rows.begin(); next != set.rows.end(); next += set.row_length())
    rows.emplace_back(next, next + set.row_length());
  return rows;
}

// What the validation measures of a pass of the layer; `where` it is of, as the names' ending.
std::vector<MeasuredPoint> quality_of(const AdjustPassQuality& quality, const std::string& where) {
  const auto point = [&](const char* name, const char* unit, const char* better, const char* doc,
                         double value) {
    return MeasuredPoint{
        {fmt::format("validation_{}{}", name, where), unit, better, "of the training", doc}, value};
  };
  return {
      point("kl", "nats/token", "lo", "divergence from the base after the reveals", quality.nats),
      point("naive_kl", "nats/token", "lo", "the same of laws that nothing refreshed",
            quality.naive_nats),
      point("next_kl", "nats/token", "lo", "divergence where the next token is revealed",
            quality.next_nats),
      point("naive_next_kl", "nats/token", "lo", "the same of laws that nothing refreshed",
            quality.naive_next_nats),
      point("agreement", "share", "hi", "the base's likeliest token is the layer's",
            quality.agreement),
      point("naive_agreement", "share", "hi", "the same of laws that nothing refreshed",
            quality.naive_agreement)};
}

// By pass, then the means over passes.
std::vector<MeasuredPoint> quality_points(const std::vector<AdjustPassQuality>& passes) {
  std::vector<MeasuredPoint> points;
  AdjustPassQuality mean;
  const auto share = static_cast<double>(passes.size());
  const auto add = [&](const AdjustPassQuality& quality, const std::string& where) {
    for (MeasuredPoint& point : quality_of(quality, where)) points.push_back(std::move(point));
  };
  for (std::size_t i = 0; i < passes.size(); ++i) {
    const AdjustPassQuality& one = passes[i];
    add(one, fmt::format("_pass_{}", i + 1));
    mean.nats += one.nats / share;
    mean.naive_nats += one.naive_nats / share;
    mean.next_nats += one.next_nats / share;
    mean.naive_next_nats += one.naive_next_nats / share;
    mean.agreement += one.agreement / share;
    mean.naive_agreement += one.naive_agreement / share;
    log_info(
        "pass {}: KL {:.4f} nats/token, of marginals {:.4f}; at the next reveal {:.4f}, {:.4f}; "
        "top-1 agreement {:.3f}, {:.3f}",
        i + 1, one.nats, one.naive_nats, one.next_nats, one.naive_next_nats, one.agreement,
        one.naive_agreement);
  }
  add(mean, "");
  return points;
}

bool states_fit(const TrainRecipe& recipe, const BlockDenoiser& base,
                const AdjustTrainingSpec& spec) {
  if (recipe.adjust.states_mib == 0)
    return false;
  const double mib =
      trajectory_states_bytes(base, {recipe.adjust.trajectories, spec.length, spec.prompt_tokens,
                                     adjust_block_size(base, spec)}) /
      (1 << 20);
  const bool fit = mib <= static_cast<double>(recipe.adjust.states_mib);
  log_info("{}: the base's states of all trajectories take {:.0f} MiB of {} and {}", recipe.name,
           mib, recipe.adjust.states_mib,
           fit ? "are kept" : "are not kept: every window runs the base");
  return fit;
}

}  // namespace

Training make_adjust_training(const TrainRecipe& recipe, const std::string& out) {
  check_training_folder(out);
  const std::string folder = resolve_data_path(recipe.adjust.base);
  const std::string sha256 = Checkpoint::open(folder).weights_sha256();
  std::shared_ptr<const BlockDenoiser> base = load_denoiser(folder, {});
  AdjustTrainingSpec spec = layer_spec(recipe, sha256);
  spec.keeps_states = states_fit(recipe, *base, spec);
  Training made;
  auto network = make_adjust_trainable(*base, spec);  // refuses bad settings before the long part
  TrainingData& data = made.data;
  const TrainingData prompts = make_training_data(recipe);
  const TrajectoryMaker maker(recipe, *base, spec, out + "/training");
  const std::int64_t held_out = recipe.data.validation_rows;
  const Trajectories training =
      maker.make(prompt_rows(*prompts.rows, recipe.adjust.trajectories),
                 {"training", recipe.adjust.trajectories, kTrajectorySeeds});
  const Rows validation = rows_of(maker.make(
      prompts.validation.empty() ? prompt_rows(*prompts.rows, held_out) : prompts.validation,
      {"validation", held_out, kHeldOutSeeds}));
  data.rows = trajectory_rows(training, recipe.seed);
  data.name = fmt::format("trajectories of {}", recipe.adjust.base);
  data.base = base;
  data.validate = [base, spec, validation](const std::string& published) {
    AdjustTrainingSpec of = spec;
    of.initial_weights = published;
    of.keeps_states = false;
    return quality_points(make_adjust_trainable(*base, of)->validate(validation));
  };
  made.network = std::move(network);
  return made;
}

}  // namespace dlm
