#include "models/training/adjust_trainable.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/random.h"
#include "models/adjust_layer.h"
#include "models/hidden_states.h"
#include "models/training/adjust_teacher.h"
#include "models/training/adjust_unroll.h"
#include "models/training/trajectory_states.h"
#include "models/transformer/inference_scope.h"

namespace dlm {
namespace {

constexpr std::uint64_t kHeldOut = 1;  // replicate of the windows of a validation
constexpr std::int64_t kRowsOfValidation = 16;

void check_range(const char* field, std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value < low || value > high)
    throw ConfigError(field, std::to_string(value), fmt::format("{} to {}", low, high));
}

AdjustConfig layer_config(const BlockDenoiser& base, const AdjustTrainingSpec& spec) {
  AdjustConfig config;
  config.base_sha256 = spec.base_sha256;
  config.trained_passes = spec.depth;
  DecoderShape& shape = config.block.shape;
  shape = hidden_model_of(base).network_shape();
  shape.layers = 1;
  shape.heads = spec.heads > 0 ? spec.heads : shape.heads;
  shape.kv_heads = shape.heads;
  shape.inner = spec.inner > 0 ? spec.inner : shape.inner;
  if (shape.width % (2 * shape.heads) != 0)
    throw ConfigError("adjust.layer_heads", std::to_string(shape.heads),
                      fmt::format("a divisor of half the base's width, {}", shape.width / 2));
  shape.head_dim = shape.width / shape.heads;
  config.block.rotary.head_dim = shape.head_dim;
  config.block.rotary.theta = spec.rope_theta;
  config.block.qkv_bias = BiasKind::kPresent;
  return config;
}

void check_spec(const BlockDenoiser& base, const AdjustTrainingSpec& spec) {
  check_range("adjust.depth", spec.depth, 1, 1 << 10);
  const std::int64_t limit = base.info().max_length;
  check_range("model.length", spec.length, 2,
              limit > 0 ? limit : std::numeric_limits<std::int64_t>::max());
  check_range("adjust.prompt_tokens", spec.prompt_tokens, 0, spec.length - 2);
  if (!(spec.next_share >= 0 && spec.next_share <= 1))
    throw ConfigError("adjust.next_share", fmt::format("{}", spec.next_share), "0 to 1");
  const std::int64_t size = adjust_block_size(base, spec);
  const std::int64_t first = base.sees_whole_text() ? spec.prompt_tokens : 0;
  if (size < 2 || (spec.length - first) % size != 0)
    throw ConfigError("block_size", std::to_string(size),
                      fmt::format("2 or more, and a divisor of {}", spec.length - first));
}

class AdjustTraining final : public AdjustTrainable {
 public:
  AdjustTraining(const BlockDenoiser& base, const AdjustTrainingSpec& spec)
      : model_(base),
        spec_(spec),
        block_size_(adjust_block_size(base, spec)),
        config_(layer_config(base, spec)),
        base_(adjust_base(base)),
        parameters_(config_, spec.seed),
        angles_(rotary_angles(spec.length, config_.block.shape.head_dim, spec.rope_theta)) {
    if (!spec.initial_weights.empty())
      parameters_.load(spec.initial_weights, hidden_model_of(base).network_shape());
    if (spec.keeps_states)
      kept_ = std::make_unique<TrajectoryStates>(base, spec.length, block_size_);
  }

  std::span<Parameter> parameters() override { return parameters_.list(); }

  BatchLoss accumulate_gradients(const TrainBatch& batch, double scale) override {
    const InferenceScope scope;
    const std::vector<WindowText> windows = drawn_windows(batch);
    const AdjustUnroll unroll = make_unroll(windows);
    const double tokens = loss_count(unroll, windows);
    const auto found =
        unroll_backward(unroll, parameters_.values(), scale / tokens, parameters_.gradients());
    BatchLoss loss = total(unroll, found, tokens);
    loss.counts.flops *= 3;
    return loss;
  }

  BatchLoss evaluate(const TrainBatch& batch) override {
    const InferenceScope scope;
    const std::vector<WindowText> windows = drawn_windows(batch);
    const AdjustUnroll unroll = make_unroll(windows);
    return total(unroll, unroll_divergences(unroll, parameters_.values()),
                 loss_count(unroll, windows));
  }

  void set_noise_interval(NoiseInterval interval) override {
    throw ConfigError("noise interval", fmt::format("[{}, {}]", interval.low, interval.high),
                      "none: an ADJUST layer's hidden tokens are those of trajectories");
  }

  Json config_json() const override { return adjust_config_json(config_); }

  std::vector<AdjustPassQuality> validate(
      std::span<const std::vector<std::int64_t>> rows) const override;

 private:
  WindowText text_of(std::span<const std::int64_t> row) const;
  std::vector<TrajectoryWindow> windows_of(std::span<const std::int64_t> row) const;
  std::vector<WindowText> drawn_windows(const TrainBatch& batch) const;
  WindowText drawn_window(std::span<const std::int64_t> row, const RandomStream& stream,
                          bool deepest) const;
  AdjustTeacher& teacher(std::int64_t windows) const;
  std::vector<double> loss_weights(const WindowText& of, std::int64_t pass) const;
  AdjustUnroll make_unroll(std::span<const WindowText> windows) const;
  void add_quality(std::span<const WindowText> windows, std::vector<AdjustPassQuality>& sums,
                   std::vector<double>& windows_of_pass) const;

  AdjustUnroll empty_unroll(std::span<const WindowText> windows) const {
    AdjustUnroll unroll = {config_, base_, angles_, std::ssize(windows), {}, {}};
    AdjustTeacher& of = teacher(std::ssize(windows));
    of.begin(windows);
    unroll.states = of.states();
    return unroll;
  }

  bool has_loss(const WindowText& of, std::int64_t pass) const {
    return spec_.loss == AdjustTrainingSpec::Loss::kEveryPass ? of.window.passes >= pass
                                                              : of.window.passes == pass;
  }

  std::int64_t row_length() const { return 2 * spec_.length - spec_.prompt_tokens; }

  // Passes of windows with loss.
  double loss_count(const AdjustUnroll& unroll, std::span<const WindowText> windows) const {
    double count = 0;
    for (std::int64_t pass = 1; pass <= std::ssize(unroll.targets); ++pass) {
      for (const WindowText& one : windows) count += has_loss(one, pass) ? 1 : 0;
    }
    return count;
  }

  static BatchLoss total(const AdjustUnroll& unroll,
                         const std::vector<std::vector<RowDivergence>>& found, double tokens) {
    BatchLoss loss;
    loss.tokens = tokens;
    loss.nelbo = std::numeric_limits<double>::quiet_NaN();
    for (std::size_t pass = 0; pass < found.size(); ++pass) {
      for (std::size_t row = 0; row < found[pass].size(); ++row)
        loss.sum += unroll.targets[pass].weights[row] * found[pass][row].nats;
      loss.counts.head_rows += std::ssize(found[pass]);
    }
    if (!std::isfinite(loss.sum))
      throw InternalError(
          fmt::format("training: the divergence of an ADJUST layer is {}", loss.sum));
    loss.counts.passes = std::ssize(found);
    loss.counts.positions = std::ssize(found) * unroll.states.size(0);
    loss.counts.flops = unroll_flops(unroll);
    return loss;
  }

  const BlockDenoiser& model_;
  AdjustTrainingSpec spec_;
  std::int64_t block_size_;
  AdjustConfig config_;
  AdjustBase base_;
  AdjustParameters parameters_;
  RotaryAngles angles_;
  std::unique_ptr<TrajectoryStates> kept_;          // where states are kept
  mutable std::unique_ptr<AdjustTeacher> teacher_;  // holds nothing between two batches
  mutable std::int64_t teacher_windows_ = 0;
};

AdjustTeacher& AdjustTraining::teacher(std::int64_t windows) const {
  if (windows > teacher_windows_) {
    teacher_ = std::make_unique<AdjustTeacher>(model_, spec_.length, block_size_, windows);
    if (kept_)
      teacher_->read_states_from(*kept_, base_);
    teacher_windows_ = windows;
  }
  return *teacher_;
}

WindowText AdjustTraining::text_of(std::span<const std::int64_t> row) const {
  if (std::ssize(row) != row_length())
    throw ConfigError("trajectory", fmt::format("{} numbers", row.size()),
                      fmt::format("{}", row_length()));
  WindowText out;
  const auto length = static_cast<std::size_t>(spec_.length);
  out.text.assign(row.begin(), row.begin() + spec_.length);
  out.rank.assign(length, -1);
  for (std::size_t i = length; i < row.size(); ++i) {
    if (row[i] < spec_.prompt_tokens || row[i] >= spec_.length)
      throw ConfigError("trajectory", fmt::format("a reveal of position {}", row[i]),
                        fmt::format("{} to {}", spec_.prompt_tokens, spec_.length - 1));
    out.rank[static_cast<std::size_t>(row[i])] = static_cast<std::int64_t>(i - length);
  }
  for (const std::int64_t id : out.text)
    check_range("trajectory: id", id, 0, model_.info().vocab_size - 1);
  return out;
}

std::vector<TrajectoryWindow> AdjustTraining::windows_of(std::span<const std::int64_t> row) const {
  const std::int64_t first = model_.sees_whole_text() ? spec_.prompt_tokens : 0;
  return trajectory_windows(row.subspan(static_cast<std::size_t>(spec_.length)), first, block_size_,
                            spec_.depth);
}

// Each window of the trajectory is as likely; with `deepest`, of those with the most passes.
WindowText AdjustTraining::drawn_window(std::span<const std::int64_t> row,
                                        const RandomStream& stream, bool deepest) const {
  WindowText out = text_of(row);
  std::vector<TrajectoryWindow> windows = windows_of(row);
  if (windows.empty())
    throw ConfigError("block_size", std::to_string(block_size_),
                      "blocks in which two tokens or more are hidden");
  if (deepest) {
    std::int64_t most = 0;
    for (const TrajectoryWindow& one : windows) most = std::max(most, one.passes);
    std::erase_if(windows, [&](const TrajectoryWindow& one) { return one.passes < most; });
  }
  out.window = windows[stream.below(windows.size(), 0, 0)];
  if (deepest || spec_.loss == AdjustTrainingSpec::Loss::kEveryPass)
    return out;
  double total = 0;
  for (std::int64_t i = 0; i < out.window.passes; ++i)
    total += std::exp(std::ldexp(1.0, -static_cast<int>(i)));
  double left = stream.uniform(0, 1) * total;
  std::int64_t passes = 0;
  while (passes < out.window.passes && left >= 0)
    left -= std::exp(std::ldexp(1.0, -static_cast<int>(passes++)));
  out.window.passes = passes;
  return out;
}

std::vector<WindowText> AdjustTraining::drawn_windows(const TrainBatch& batch) const {
  const at::Tensor& ids = batch.ids;
  DLM_CHECK(ids.dim() == 2 && ids.scalar_type() == at::kLong && ids.is_contiguous(),
            "rows are (B, 2 L - P) int64, contiguous");
  std::vector<WindowText> out;
  for (std::int64_t b = 0; b < ids.size(0); ++b) {
    const std::span<const std::int64_t> row(ids.const_data_ptr<std::int64_t>() + b * ids.size(1),
                                            static_cast<std::size_t>(ids.size(1)));
    const RandomStream stream(spec_.seed, Purpose::kMaskDraw,
                              batch.first_example + static_cast<std::uint64_t>(b));
    out.push_back(drawn_window(row, stream, false));
  }
  return out;
}

// Of the positions still hidden after `pass` reveals, in order; their sum is 1.
std::vector<double> AdjustTraining::loss_weights(const WindowText& of, std::int64_t pass) const {
  const std::vector<std::int64_t> hidden = of.hidden(pass, block_size_);
  const auto count = static_cast<double>(hidden.size());
  // Of 1/2, 1/4, .., 2^-count, which is what the positions have in the order of their reveals.
  const double sum = 1 - std::exp2(-count);
  std::vector<double> weights;
  for (const std::int64_t position : hidden) {
    const std::int64_t rank = of.rank[static_cast<std::size_t>(of.window.begin + position)];
    const auto later = static_cast<double>(rank - of.window.start - pass);
    weights.push_back((1 - spec_.next_share) / count +
                      spec_.next_share * std::exp2(-later - 1) / sum);
  }
  return weights;
}

AdjustUnroll AdjustTraining::make_unroll(std::span<const WindowText> windows) const {
  AdjustUnroll unroll = empty_unroll(windows);
  std::int64_t passes = 0;
  for (const WindowText& one : windows) passes = std::max(passes, one.window.passes);
  for (std::int64_t pass = 1; pass <= passes; ++pass) {
    std::vector<char> flags;
    for (const WindowText& one : windows) flags.push_back(has_loss(one, pass) ? 1 : 0);
    unroll.targets.push_back(teacher_->target(pass, flags));
    std::vector<double>& weights = unroll.targets.back().weights;
    weights.clear();
    for (std::size_t w = 0; w < windows.size(); ++w) {
      if (flags[w] == 0)
        continue;
      const std::vector<double> of = loss_weights(windows[w], pass);
      weights.insert(weights.end(), of.begin(), of.end());
    }
  }
  return unroll;
}

// Of the rows of a target with loss: whether the trajectory reveals it next.
std::vector<char> next_rows(std::span<const WindowText> windows, std::span<const char> flags,
                            std::int64_t pass, std::int64_t block_size) {
  std::vector<char> out;
  for (std::size_t w = 0; w < windows.size(); ++w) {
    if (flags[w] == 0)
      continue;
    const WindowText& of = windows[w];
    for (const std::int64_t position : of.hidden(pass, block_size)) {
      const auto at = static_cast<std::size_t>(of.window.begin + position);
      out.push_back(of.rank[at] == of.window.start + pass ? 1 : 0);
    }
  }
  return out;
}

void AdjustTraining::add_quality(std::span<const WindowText> windows,
                                 std::vector<AdjustPassQuality>& sums,
                                 std::vector<double>& windows_of_pass) const {
  AdjustUnroll unroll = empty_unroll(windows);
  std::vector<std::vector<char>> next;
  for (std::int64_t pass = 1; pass <= spec_.depth; ++pass) {
    std::vector<char> flags;
    for (const WindowText& one : windows) flags.push_back(one.window.passes >= pass ? 1 : 0);
    unroll.targets.push_back(teacher_->target(pass, flags));
    next.push_back(next_rows(windows, flags, pass, block_size_));
    for (const char flag : flags) windows_of_pass[static_cast<std::size_t>(pass) - 1] += flag;
  }
  const auto found = unroll_divergences(unroll, parameters_.values());
  for (std::size_t pass = 0; pass < found.size(); ++pass) {
    const AdjustTarget& target = unroll.targets[pass];
    const at::Tensor naive = teacher_->first_logits(target, base_);
    for (std::size_t row = 0; row < found[pass].size(); ++row) {
      const auto at = static_cast<std::int64_t>(row);
      const RowDivergence marginal = divergence(
          {target.laws.const_data_ptr<float>() + at * naive.size(1), target.negative_entropy[row]},
          {naive.mutable_data_ptr<float>() + at * naive.size(1), naive.size(1), base_.mask_id});
      AdjustPassQuality& sum = sums[pass];
      sum.nats += target.weights[row] * found[pass][row].nats;
      sum.naive_nats += target.weights[row] * marginal.nats;
      sum.agreement += found[pass][row].same_best ? target.weights[row] : 0;
      sum.naive_agreement += marginal.same_best ? target.weights[row] : 0;
      if (next[pass][row] != 0) {
        sum.next_nats += found[pass][row].nats;
        sum.naive_next_nats += marginal.nats;
      }
    }
  }
}

std::vector<AdjustPassQuality> AdjustTraining::validate(
    std::span<const std::vector<std::int64_t>> rows) const {
  const InferenceScope scope;
  std::vector<AdjustPassQuality> sums(static_cast<std::size_t>(spec_.depth));
  std::vector<double> windows_of_pass(sums.size());
  for (std::size_t first = 0; first < rows.size(); first += kRowsOfValidation) {
    std::vector<WindowText> windows;
    for (std::size_t i = first; i < std::min(rows.size(), first + kRowsOfValidation); ++i)
      windows.push_back(
          drawn_window(rows[i], RandomStream(spec_.seed, Purpose::kMaskDraw, i, kHeldOut), true));
    add_quality(windows, sums, windows_of_pass);
  }
  for (std::size_t pass = 0; pass < sums.size(); ++pass) {
    AdjustPassQuality& sum = sums[pass];
    for (double* value : {&sum.nats, &sum.naive_nats, &sum.agreement, &sum.naive_agreement,
                          &sum.next_nats, &sum.naive_next_nats})
      *value /= windows_of_pass[pass];
  }
  while (!sums.empty() && windows_of_pass[sums.size() - 1] == 0) sums.pop_back();
  return sums;
}

}  // namespace

AdjustTrainingSpec::Loss parse_adjust_loss(const std::string& name) {
  const std::array<std::string, 2> known = {"all", "last"};
  if (name != known[0] && name != known[1])
    throw unknown_name("adjust.loss", name, known);
  return name == known[0] ? AdjustTrainingSpec::Loss::kEveryPass
                          : AdjustTrainingSpec::Loss::kLastPass;
}

std::int64_t adjust_block_size(const BlockDenoiser& base, const AdjustTrainingSpec& spec) {
  if (spec.block_size > 0)
    return spec.block_size;
  if (base.sees_whole_text())
    return spec.length - spec.prompt_tokens;
  const std::int64_t trained = base.trained_block_size();
  return trained > 0 ? trained : spec.length;
}

std::unique_ptr<AdjustTrainable> make_adjust_trainable(const BlockDenoiser& base,
                                                       const AdjustTrainingSpec& spec) {
  check_spec(base, spec);
  const InferenceScope scope;
  return std::make_unique<AdjustTraining>(base, spec);
}

}  // namespace dlm
