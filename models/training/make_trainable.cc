#include "models/training/make_trainable.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "models/checkpoint/checkpoint.h"
#include "models/diffusion_transformer/dit_config.h"
#include "models/diffusion_transformer/noise.h"
#include "models/training/network.h"
#include "models/transformer/inference_scope.h"

namespace dlm {
namespace {

enum class Objective { kAutoregressive, kMaskedDiffusion, kScoreEntropy, kBlockDiffusion };

Objective parse_objective(const std::string& name) {
  const std::array<std::string, 4> known = {"ar", "mdlm", "sedd", "bd3lm"};
  const auto at = std::find(known.begin(), known.end(), name);
  if (at == known.end())
    throw unknown_name("objective", name, known);
  return static_cast<Objective>(at - known.begin());
}

void check_positive(const char* field, std::int64_t value) {
  if (value < 1)
    throw ConfigError(field, std::to_string(value), "an integer >= 1");
}

void check_interval(const NoiseInterval& interval) {
  const bool fits = interval.low > 0 && interval.low <= interval.high && interval.high <= 1;
  if (!fits) {
    throw ConfigError("noise interval", fmt::format("[{}, {}]", interval.low, interval.high),
                      "0 < low <= high <= 1");
  }
}

void check_shape(const TrainableSpec& spec) {
  check_positive("layers", spec.layers);
  check_positive("width", spec.width);
  check_positive("heads", spec.heads);
  check_positive("cond_dim", spec.cond_dim);
  check_positive("head_rows", spec.head_rows);
  check_positive("strata_rows", spec.strata_rows);
  if (spec.width % (2 * spec.heads) != 0) {
    throw ConfigError("width", std::to_string(spec.width),
                      fmt::format("a multiple of twice the heads, {}", 2 * spec.heads));
  }
  if (spec.vocab_size < 2)
    throw ConfigError("vocab_size", std::to_string(spec.vocab_size), "at least 2, mask counted");
  if (spec.length < 2)
    throw ConfigError("length", std::to_string(spec.length), "at least 2");
  if (spec.mask_id < -1 || spec.mask_id >= spec.vocab_size) {
    throw ConfigError("mask_id", std::to_string(spec.mask_id),
                      fmt::format("-1, or 0 to {}", spec.vocab_size - 1));
  }
}

void check_spec(const TrainableSpec& spec, Objective objective) {
  check_shape(spec);
  if (!(spec.dropout >= 0 && spec.dropout < 1))
    throw ConfigError("dropout", fmt::format("{}", spec.dropout), "in [0, 1)");
  if (spec.dtype != "f32" && spec.dtype != "bf16")
    throw ConfigError("dtype", spec.dtype, "f32 or bf16");
  check_interval(spec.interval);
  const bool blocks = objective == Objective::kBlockDiffusion;
  if (blocks && (spec.block_size < 1 || spec.length % spec.block_size != 0)) {
    throw ConfigError("block_size", std::to_string(spec.block_size),
                      fmt::format("a divisor of the length, {}", spec.length));
  }
  if (spec.pass_form == PassForm::kTwoPass && !blocks)
    throw ConfigError("pass_form", "two_pass", "single_pass: only bd3lm has a clean stream");
  if (objective != Objective::kScoreEntropy)
    return;
  if (!spec.adaln)
    throw ConfigError("adaln", "false", "true: sedd reads the noise level");
  if (spec.noise_draw == NoiseDraw::kMaskCounts)
    throw ConfigError("noise_draw", "counts", "a draw of levels: sedd's terms depend on t");
}

TrainShape train_shape(const TrainableSpec& spec, Objective objective) {
  TrainShape shape;
  shape.layers = spec.layers;
  shape.width = spec.width;
  shape.heads = spec.heads;
  shape.cond_dim = spec.cond_dim;
  shape.vocab_size = spec.vocab_size;
  shape.length = spec.length;
  shape.adaln = spec.adaln && objective != Objective::kAutoregressive;
  shape.time_conditioned = objective == Objective::kScoreEntropy;
  shape.brain = spec.dtype == "bf16";
  return shape;
}

class TrainedNetwork final : public Trainable {
 public:
  TrainedNetwork(const TrainableSpec& spec, Objective objective)
      : spec_(spec),
        objective_(objective),
        shape_(train_shape(spec, objective)),
        parameters_(shape_, spec.seed),
        angles_(rotary_angles(spec.length, shape_.head_dim())) {
    if (spec_.mask_id < 0)
      spec_.mask_id = spec_.vocab_size - 1;
    if (objective_ != Objective::kBlockDiffusion)
      spec_.block_size = objective_ == Objective::kAutoregressive ? 1 : spec_.length;
    if (!spec_.initial_weights.empty()) {
      check_base(spec_of_folder(spec_.initial_weights));
      parameters_.load(spec_.initial_weights);
    }
  }

  std::span<Parameter> parameters() override { return parameters_.list(); }

  BatchLoss accumulate_gradients(const TrainBatch& batch, double scale) override {
    const InferenceScope scope;
    const BatchPlan plan = make_plan(batch);
    const auto positions = static_cast<double>(counted_positions(batch, true));
    Dropout dropout;
    dropout.probability = spec_.dropout;
    dropout.seed = spec_.seed;
    dropout.first_example = batch.first_example;
    const NetworkRun run = network_run(batch, plan, dropout);
    const std::vector<double> terms =
        network_backward(run, product_weights(), scale / positions, parameters_.gradients());
    BatchLoss loss = total(plan, terms, positions);
    // The bound is of the tokens that are scored, whatever the loss is a mean over.
    loss.nelbo *= positions / static_cast<double>(counted_positions(batch, false));
    loss.counts = network_cost(run);
    loss.counts.flops *= 3;
    return loss;
  }

  BatchLoss evaluate(const TrainBatch& batch) override {
    const InferenceScope scope;
    const BatchPlan plan = make_plan(batch);
    const NetworkRun run = network_run(batch, plan, {});
    const std::vector<double> terms = network_terms(run, product_weights());
    BatchLoss loss = total(plan, terms, static_cast<double>(counted_positions(batch, false)));
    loss.counts = network_cost(run);
    return loss;
  }

  void set_noise_interval(NoiseInterval interval) override {
    check_interval(interval);
    spec_.interval = interval;
  }

  Json config_json() const override {
    const bool causal = objective_ == Objective::kAutoregressive;
    const bool blocks = objective_ == Objective::kBlockDiffusion;
    return {{"model_type", "bd3lm"},
            {"vocab_size", spec_.vocab_size},
            {"mask_token_id", spec_.mask_id},
            {"model_length", spec_.length},
            {"block_size", blocks ? spec_.block_size : spec_.length},
            {"hidden_dim", spec_.width},
            {"cond_dim", spec_.cond_dim},
            {"n_blocks", spec_.layers},
            {"n_heads", spec_.heads},
            {"dropout", spec_.dropout},
            {"causal", causal},
            {"cross_attn", blocks},
            {"adaln", shape_.adaln},
            {"time_conditioning", shape_.time_conditioned},
            {"var_min", blocks}};
  }

 private:
  // What tensors of the same shapes do not tell.
  void check_base(const TrainableSpec& base) const {
    const auto must_be = [&](const char* field, std::int64_t mine, std::int64_t its) {
      if (mine != its)
        throw ConfigError(
            field, std::to_string(mine),
            fmt::format("{}, as the weights of {} have it", its, base.initial_weights));
    };
    must_be("model.heads", spec_.heads, base.heads);
    must_be("mask_id", spec_.mask_id, base.mask_id < 0 ? base.vocab_size - 1 : base.mask_id);
  }

  void check_batch(const TrainBatch& batch) const {
    const at::Tensor& ids = batch.ids;
    DLM_CHECK(ids.dim() == 2 && ids.scalar_type() == at::kLong && ids.is_contiguous(),
              "ids are (B, L) int64, contiguous");
    const std::int64_t length = ids.size(1);
    if (ids.size(0) < 1 || length < 2 || length > spec_.length)
      throw ConfigError("batch", fmt::format("{} x {} ids", ids.size(0), length),
                        fmt::format("sequences of 2 to {} ids", spec_.length));
    if (objective_ == Objective::kBlockDiffusion && length % spec_.block_size != 0) {
      throw ConfigError("sequence length", std::to_string(length),
                        fmt::format("a multiple of the block size, {}", spec_.block_size));
    }
    const auto* values = ids.const_data_ptr<std::int64_t>();
    for (std::int64_t i = 0; i < ids.numel(); ++i) {
      if (values[i] < 0 || values[i] >= spec_.vocab_size || values[i] == spec_.mask_id) {
        throw ConfigError(
            fmt::format("id at ({}, {})", i / length, i % length), std::to_string(values[i]),
            fmt::format("0 to {}, and not the mask, {}", spec_.vocab_size - 1, spec_.mask_id));
      }
    }
  }

  NoiseRecipe noise_recipe() const {
    NoiseRecipe recipe;
    recipe.draw = spec_.noise_draw;
    recipe.interval = spec_.interval;
    recipe.resamples = spec_.resamples;
    recipe.keeps_first_clean = spec_.keeps_first_clean;
    recipe.weighs_terms = objective_ != Objective::kScoreEntropy;
    recipe.strata_rows = spec_.strata_rows;
    recipe.seed = spec_.seed;
    return recipe;
  }

  BatchPlan make_plan(const TrainBatch& batch) const {
    check_batch(batch);
    if (objective_ == Objective::kAutoregressive)
      return autoregressive_plan(batch.ids);
    const bool blocks = objective_ == Objective::kBlockDiffusion;
    const std::int64_t length = batch.ids.size(1);
    const std::int64_t size = blocks ? spec_.block_size : length;
    const BatchBlocks shape = {batch.first_example, batch.ids.size(0), length / size, size};
    return denoising_plan(batch.ids, draw_noise(noise_recipe(), shape),
                          {size, spec_.mask_id, blocks, spec_.pass_form});
  }

  NetworkRun network_run(const TrainBatch& batch, const BatchPlan& plan,
                         const Dropout& dropout) const {
    const bool sedd = objective_ == Objective::kScoreEntropy;
    NetworkRun run = {shape_,
                      angles_,
                      plan,
                      {0.0},
                      {plan.loss_rows, sedd ? LossKind::kScoreEntropy : LossKind::kCrossEntropy,
                       spec_.mask_id, spec_.head_rows},
                      dropout};
    if (!shape_.time_conditioned)
      return run;
    // One block per sequence, and so one level; nothing reads that of a sequence without loss.
    run.sigma.assign(static_cast<std::size_t>(batch.ids.size(0)), 0.0);
    for (const LossRow& row : plan.loss_rows)
      run.sigma[static_cast<std::size_t>(row.sequence)] =
          noise_level(NoiseConvention::kClipped, row.t).sigma;
    return run;
  }

  const NetworkTensors& product_weights() {
    if (!shape_.brain)
      return parameters_.values();
    round_to_bf16(parameters_.values(), rounded_);
    return rounded_;
  }

  // As published: next-token prediction has no first position, and a given first token counts in
  // training alone.
  std::int64_t counted_positions(const TrainBatch& batch, bool training) const {
    const bool without_first =
        objective_ == Objective::kAutoregressive || (spec_.keeps_first_clean && !training);
    return batch.ids.size(0) * (batch.ids.size(1) - (without_first ? 1 : 0));
  }

  static BatchLoss total(const BatchPlan& plan, const std::vector<double>& terms,
                         double positions) {
    BatchLoss loss;
    loss.tokens = positions;
    for (std::size_t i = 0; i < terms.size(); ++i) {
      loss.sum += plan.loss_rows[i].weight * terms[i];
      loss.nelbo += plan.loss_rows[i].bound_weight * terms[i];
    }
    return loss;
  }

  TrainableSpec spec_;
  Objective objective_;
  TrainShape shape_;
  ParameterSet parameters_;
  NetworkTensors rounded_;  // bf16
  RotaryAngles angles_;
};

}  // namespace

NoiseDraw parse_noise_draw(const std::string& name) {
  const std::array<std::string, 4> known = {"published", "independent", "permuted", "counts"};
  const auto at = std::find(known.begin(), known.end(), name);
  if (at == known.end())
    throw unknown_name("noise_draw", name, known);
  return static_cast<NoiseDraw>(at - known.begin());
}

TrainableSpec spec_of_folder(const std::string& folder) {
  const std::string where = folder + "/config.json";
  const Json json = parse_json(Checkpoint::open(folder).config_json, where);
  const DitConfig config = parse_dit_config(json, {}, where);
  const bool sedd = config.parameterization == DitParameterization::kSedd;
  if (config.time_conditioning != sedd || (sedd && config.noise != NoiseConvention::kClipped)) {
    throw ConfigError(where, sedd ? "score entropy with smoothed noise" : "time_conditioning",
                      "a form that can be trained: only sedd reads the noise level, clipped");
  }
  TrainableSpec spec;
  if (config.causal)
    spec.objective = "ar";
  else if (!config.cross_attention)
    spec.objective = sedd ? "sedd" : "mdlm";
  spec.layers = config.shape.layers;
  spec.width = config.shape.width;
  spec.heads = config.shape.heads;
  spec.cond_dim = config.cond_dim;
  spec.vocab_size = config.shape.vocab_size;
  spec.length = config.shape.max_length;
  spec.block_size = config.block_size;
  spec.mask_id = config.mask_id;
  spec.adaln = config.adaln;
  spec.initial_weights = folder;
  return spec;
}

std::unique_ptr<Trainable> make_trainable(const TrainableSpec& spec) {
  const Objective objective = parse_objective(spec.objective);
  check_spec(spec, objective);
  const InferenceScope scope;
  return std::make_unique<TrainedNetwork>(spec, objective);
}

}  // namespace dlm
