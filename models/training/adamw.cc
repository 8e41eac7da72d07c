#include "models/training/adamw.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <numbers>

#include "harness/base/error.h"
#include "models/training/clones.h"
#include "models/training/paged_memory.h"

namespace dlm {
namespace {

constexpr std::int64_t kPieceSize = 1 << 14;

}  // namespace

// The constants of one step, in the precision of the weights.
struct StepConstants {
  float beta1, one_minus_beta1, beta2, one_minus_beta2;
  float gradient_scale;
  float keep;             // 1 - learning rate x weight decay
  float rate;             // learning rate / correction of the first moment
  float root_correction;  // 1 / root of the correction of the second
  float epsilon;
  float average_rate;  // 1 - decay of the average
};

namespace {

void check_fraction(const char* field, double value) {
  if (!(value >= 0 && value < 1))
    throw ConfigError(field, fmt::format("{}", value), "a number from 0 to below 1");
}

void check_settings(const AdamWSettings& settings) {
  check_fraction("beta1", settings.beta1);
  check_fraction("beta2", settings.beta2);
  check_fraction("ema_decay", settings.ema_decay);
  if (!(settings.epsilon > 0))
    throw ConfigError("epsilon", fmt::format("{}", settings.epsilon), "a number above 0");
  if (!(settings.weight_decay >= 0))
    throw ConfigError("weight_decay", fmt::format("{}", settings.weight_decay),
                      "a number of at least 0");
}

void check_tensor(const at::Tensor& tensor, const std::string& name) {
  DLM_CHECK(
      tensor.device().is_cpu() && tensor.scalar_type() == at::kFloat && tensor.is_contiguous(),
      "parameter {} is not contiguous f32 on the CPU", name);
}

double average_decay(double most, std::int64_t updates) {
  const auto n = static_cast<double>(updates);
  return std::min(most, (1 + n) / (10 + n));
}

StepConstants step_constants(const AdamWSettings& settings, const AdamWStep& step,
                             std::int64_t updates) {
  const auto n = static_cast<double>(updates);
  const double correction1 = 1 - std::pow(settings.beta1, n);
  const double correction2 = 1 - std::pow(settings.beta2, n);
  StepConstants c{};
  c.beta1 = static_cast<float>(settings.beta1);
  c.one_minus_beta1 = static_cast<float>(1 - settings.beta1);
  c.beta2 = static_cast<float>(settings.beta2);
  c.one_minus_beta2 = static_cast<float>(1 - settings.beta2);
  c.gradient_scale = static_cast<float>(step.gradient_scale);
  c.keep = static_cast<float>(1 - step.learning_rate * settings.weight_decay);
  c.rate = static_cast<float>(step.learning_rate / correction1);
  c.root_correction = static_cast<float>(1 / std::sqrt(correction2));
  c.epsilon = static_cast<float>(settings.epsilon);
  c.average_rate = static_cast<float>(1 - average_decay(settings.ema_decay, updates));
  return c;
}

// Values of one step that a core keeps in its cache.
constexpr std::int64_t kChunk = 1024;

bool is_zero(const float* values, std::int64_t size) {
  for (std::int64_t i = 0; i < size; ++i) {
    if (values[i] != 0)
      return false;
  }
  return true;
}

// Whether a step leaves these elements as they are: no gradient now and none before.
bool is_idle(const float* gradient, const float* first, const float* second, std::int64_t size) {
  return is_zero(gradient, size) && is_zero(first, size) && is_zero(second, size);
}

// One element; returns the new weight.
inline float updated(float value, float gradient, float& first, float& second,
                     const StepConstants& c) {
  const float g = gradient * c.gradient_scale;
  first = c.beta1 * first + c.one_minus_beta1 * g;
  second = c.beta2 * second + c.one_minus_beta2 * g * g;
  return value * c.keep - c.rate * first / (std::sqrt(second) * c.root_correction + c.epsilon);
}

struct Elements {
  float* value;
  float* gradient;
  float* first;
  float* second;
};

DLM_CLONED void update(const Elements& at, std::int64_t size, const StepConstants& c) {
  float* __restrict value = at.value;
  float* __restrict gradient = at.gradient;
  float* __restrict first = at.first;
  float* __restrict second = at.second;
  const StepConstants own = c;
  for (std::int64_t i = 0; i < size; ++i) {
    value[i] = updated(value[i], gradient[i], first[i], second[i], own);
    gradient[i] = 0;
  }
}

// The same where every gradient is 0, which is read no more.
DLM_CLONED void update_without_gradient(const Elements& at, std::int64_t size,
                                        const StepConstants& c) {
  float* __restrict value = at.value;
  float* __restrict first = at.first;
  float* __restrict second = at.second;
  const StepConstants own = c;
  for (std::int64_t i = 0; i < size; ++i)
    value[i] = updated(value[i], 0.0F, first[i], second[i], own);
}

DLM_CLONED void average_in(const float* __restrict value, float* __restrict average,
                           std::int64_t size, float rate) {
  for (std::int64_t i = 0; i < size; ++i) average[i] += rate * (value[i] - average[i]);
}

constexpr std::int64_t kLeastOnDisk = 1 << 18;  // values; fewer are not worth a file

bool lies_on_disk(std::int64_t size, const AdamWSettings& settings) {
  return settings.ema_decay > 0 && !settings.average_folder.empty() && size >= kLeastOnDisk;
}

}  // namespace

AdamW::AdamW(std::span<const Parameter> parameters, const AdamWSettings& settings)
    : settings_(settings) {
  check_settings(settings);
  for (const Parameter& parameter : parameters) {
    check_tensor(parameter.value, parameter.name);
    check_tensor(parameter.gradient, parameter.name);
    DLM_CHECK(parameter.value.sizes() == parameter.gradient.sizes(),
              "parameter {} and its gradient differ in shape", parameter.name);
    AdamWMoments moments{
        untouched_zeros(parameter.value.sizes()), untouched_zeros(parameter.value.sizes()), {}};
    const DiskValues* const disk = begin_average(parameter.value, moments.average);
    const bool in_memory = moments.average.defined() && disk == nullptr;
    float* const average = in_memory ? moments.average.mutable_data_ptr<float>() : nullptr;
    const std::int64_t size = parameter.value.numel();
    for (std::int64_t at = 0; at < size; at += kPieceSize) {
      pieces_.push_back({parameter.value.mutable_data_ptr<float>() + at,
                         parameter.gradient.mutable_data_ptr<float>() + at,
                         moments.first.mutable_data_ptr<float>() + at,
                         moments.second.mutable_data_ptr<float>() + at,
                         average == nullptr ? nullptr : average + at,
                         std::min(kPieceSize, size - at), disk, at, parameter.has_sparse_gradient});
    }
    values_.push_back(parameter.value);
    gradients_.push_back(parameter.gradient);
    moments_.push_back(std::move(moments));
  }
}

AdamW::~AdamW() = default;

const DiskValues* AdamW::begin_average(const at::Tensor& value, at::Tensor& average) {
  if (settings_.ema_decay == 0)
    return nullptr;
  if (!lies_on_disk(value.numel(), settings_)) {
    average = value.clone();
    return nullptr;
  }
  on_disk_.push_back(std::make_unique<DiskValues>(value.sizes(), settings_.average_folder));
  const DiskValues& disk = *on_disk_.back();
  check_disk(disk.write(0, value.numel(), value.const_data_ptr<float>()));
  average = disk.tensor();
  return &disk;
}

void AdamW::check_disk(int error) const {
  if (error != 0)
    throw DataError(settings_.average_folder, -1, "a moving average that can be read and written",
                    std::strerror(error));
}

void AdamW::update_chunk(const Piece& piece, std::int64_t at, std::int64_t size,
                         const StepConstants& c) {
  const Elements elements{piece.value + at, piece.gradient + at, piece.first + at,
                          piece.second + at};
  if (piece.sparse && is_zero(elements.gradient, size)) {
    update_without_gradient(elements, size, c);
    return;
  }
  update(elements, size, c);
  if (piece.sparse)
    forget_to_zero(elements.gradient, size);
}

int AdamW::step_piece(const Piece& piece, const StepConstants& c, std::vector<float>& buffer) {
  float* average = piece.average;
  for (std::int64_t at = 0; at < piece.size; at += kChunk) {
    const std::int64_t size = std::min(kChunk, piece.size - at);
    // Elements that neither move nor decay are left alone, so that memory that was never written
    // to stays so; their average is the weight itself.
    if (c.keep == 1 && is_idle(piece.gradient + at, piece.first + at, piece.second + at, size))
      continue;
    update_chunk(piece, at, size, c);
    if (piece.disk != nullptr && average == nullptr) {
      buffer.resize(static_cast<std::size_t>(kPieceSize));
      average = buffer.data();
      if (const int error = piece.disk->read(piece.disk_begin, piece.size, average))
        return error;
    }
    if (average != nullptr)
      average_in(piece.value + at, average + at, size, c.average_rate);
  }
  const bool is_changed = piece.disk != nullptr && average != nullptr;
  return is_changed ? piece.disk->write(piece.disk_begin, piece.size, average) : 0;
}

void AdamW::step(const AdamWStep& step) {
  ++steps_;
  // What a checkpoint looked at.
  for (const auto& average : on_disk_) average->leave();
  const StepConstants c = step_constants(settings_, step, steps_);
  const auto pieces = static_cast<std::int64_t>(pieces_.size());
  std::atomic<int> failed = 0;
#pragma omp parallel
  {
    std::vector<float> buffer;
#pragma omp for schedule(static)
    for (std::int64_t p = 0; p < pieces; ++p) {
      if (const int error = step_piece(pieces_[static_cast<std::size_t>(p)], c, buffer))
        failed = error;
    }
  }
  check_disk(failed);
}

double AdamW::gradient_norm() const {
  const auto pieces = static_cast<std::int64_t>(pieces_.size());
  std::vector<double> sums(pieces_.size());
#pragma omp parallel for schedule(static)
  for (std::int64_t p = 0; p < pieces; ++p) {
    const Piece& piece = pieces_[static_cast<std::size_t>(p)];
    // Four sums, so that an addition need not wait for the one before it.
    double part[4] = {0, 0, 0, 0};
    for (std::int64_t i = 0; i < piece.size; ++i) {
      const double g = piece.gradient[i];
      part[i % 4] += g * g;
    }
    sums[static_cast<std::size_t>(p)] = (part[0] + part[1]) + (part[2] + part[3]);
  }
  double sum = 0;
  for (const double one : sums) sum += one;
  return std::sqrt(sum);
}

const at::Tensor& AdamW::published(std::size_t i) const {
  DLM_CHECK(i < values_.size(), "parameter {} of {}", i, values_.size());
  return moments_[i].average.defined() ? moments_[i].average : values_[i];
}

double learning_rate(const LearningRate& rate, std::int64_t step) {
  const auto n = static_cast<double>(step);
  if (step < rate.warmup_steps)
    return rate.peak * n / static_cast<double>(rate.warmup_steps);
  if (rate.after == LearningRate::After::kConstant)
    return rate.peak;
  const auto span = static_cast<double>(std::max<std::int64_t>(1, rate.steps - rate.warmup_steps));
  const double done = std::min(1.0, (n - static_cast<double>(rate.warmup_steps)) / span);
  return rate.peak *
         (rate.floor + (1 - rate.floor) * 0.5 * (1 + std::cos(std::numbers::pi * done)));
}

}  // namespace dlm
