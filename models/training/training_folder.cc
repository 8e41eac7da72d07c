#include "models/training/training_folder.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <unistd.h>

#include "harness/base/error.h"
#include "harness/base/field.h"
#include "harness/base/file.h"
#include "models/checkpoint/safetensors.h"
#include "models/checkpoint/weights.h"

namespace dlm {
namespace {

namespace fs = std::filesystem;

constexpr const char* kProgress = "progress";
constexpr std::array kParts = {"value.", "first.", "second.", "average."};

// The four tensors that a parameter has in a checkpoint, in the order of kParts.
std::array<at::Tensor, 4> parts_of(const Parameter& parameter, const AdamWMoments& moments) {
  return {parameter.value, moments.first, moments.second, moments.average};
}

Json progress_json(const TrainingProgress& progress) {
  Json curve = Json::array();
  for (const TrainingPoint& point : progress.curve)
    curve.push_back({point.step, point.metric, point.value});
  Json metrics = Json::array();
  for (const MetricDefinition& one : progress.metrics)
    metrics.push_back({one.metric, one.unit, one.better, one.estimator, one.doc});
  return {
      {"steps", progress.steps},
      {"low", progress.interval.low},
      {"high", progress.interval.high},
      {"tokens", progress.tokens},
      {"seconds", progress.seconds},
      {"sums",
       {progress.sums.loss, progress.sums.nelbo, progress.sums.steps, progress.sums.nelbo_steps}},
      {"curve", std::move(curve)},
      {"metrics", std::move(metrics)}};
}

std::vector<MetricDefinition> parse_metrics(const Json& json, const std::string& where) {
  if (!json.contains("metrics") || !json["metrics"].is_array())
    throw DataError(where, -1, "an array 'metrics'", "none");
  std::vector<MetricDefinition> metrics;
  for (const Json& one : json["metrics"]) {
    const bool fits =
        one.is_array() && one.size() == 5 &&
        std::all_of(one.begin(), one.end(), [](const Json& part) { return part.is_string(); });
    if (!fits)
      throw DataError(where, -1, "[name, unit, better, estimator, text] in 'metrics'",
                      canonical_json(one));
    const auto part = [&](std::size_t i) { return one[i].get<std::string>(); };
    metrics.push_back({part(0), part(1), part(2), part(3), part(4)});
  }
  return metrics;
}

TrainingProgress parse_progress(const Json& json, const std::string& where) {
  TrainingProgress progress;
  progress.steps = json_int(json, "steps", where);
  progress.interval = {json_double(json, "low", where), json_double(json, "high", where)};
  progress.tokens = json_double(json, "tokens", where);
  progress.seconds = json_double(json, "seconds", where);
  const Json sums = json.value("sums", Json());
  if (!sums.is_array() || sums.size() != 4 || !sums[0].is_number() || !sums[1].is_number() ||
      !sums[2].is_number_integer() || !sums[3].is_number_integer())
    throw DataError(where, -1, "four numbers 'sums'", canonical_json(sums));
  progress.sums = {sums[0].get<double>(), sums[1].get<double>(), sums[2].get<std::int64_t>(),
                   sums[3].get<std::int64_t>()};
  if (!json.contains("curve") || !json["curve"].is_array())
    throw DataError(where, -1, "an array 'curve'", "none");
  for (const Json& point : json["curve"]) {
    if (!point.is_array() || point.size() != 3 || !point[0].is_number_integer() ||
        !point[1].is_string() || !point[2].is_number())
      throw DataError(where, -1, "points [step, metric, value] in 'curve'", canonical_json(point));
    progress.curve.push_back(
        {point[0].get<std::int64_t>(), point[1].get<std::string>(), point[2].get<double>()});
  }
  progress.metrics = parse_metrics(json, where);
  return progress;
}

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// "learning_rate: 0.001 there, 0.003 here; ..."
std::string differences(const Json& there, const Json& here) {
  std::map<std::string, std::pair<std::string, std::string>> values;
  for (const auto& [key, value] : flatten(there)) values[key].first = canonical_json(value);
  for (const auto& [key, value] : flatten(here)) values[key].second = canonical_json(value);
  std::vector<std::string> lines;
  for (const auto& [key, pair] : values) {
    if (pair.first != pair.second)
      lines.push_back(fmt::format("{}: {} there, {} here", key,
                                  pair.first.empty() ? "none" : pair.first,
                                  pair.second.empty() ? "none" : pair.second));
  }
  return fmt::format("{}", fmt::join(lines, "; "));
}

// What a killed process was writing; nobody else can be, for the folder is locked.
void remove_unfinished(const std::string& folder) {
  std::vector<fs::path> unfinished;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename().string().find(".part-") != std::string::npos)
      unfinished.push_back(entry.path());
  }
  std::error_code ignored;
  for (const fs::path& path : unfinished) fs::remove(path, ignored);
}

}  // namespace

void TrainingProgress::note(std::int64_t step, const MetricDefinition& metric, double value) {
  const bool is_known = std::any_of(metrics.begin(), metrics.end(), [&](const auto& known) {
    return known.metric == metric.metric;
  });
  if (!is_known)
    metrics.push_back(metric);
  curve.push_back({step, metric.metric, value});
}

void check_training_folder(const std::string& path) {
  std::error_code error;
  if (fs::exists(path, error) && (!fs::is_directory(path, error) || !fs::is_empty(path, error)) &&
      !fs::exists(path + "/training", error))
    throw ConfigError("out", path, "a folder that is empty, missing, or holds this training");
}

TrainingFolder::TrainingFolder(std::string path, std::string identity_json)
    : path_(std::move(path)), identity_json_(std::move(identity_json)) {
  std::error_code error;
  check_training_folder(path_);
  const bool is_ours = fs::exists(path_ + "/training/identity.json", error);
  fs::create_directories(path_ + "/training", error);
  if (error)
    throw DataError(path_, -1, "a folder that can be made", error.message());
  const std::string lock = path_ + "/training/lock";
  lock_ = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_ < 0)
    throw DataError(lock, -1, "a file that can be written to", std::strerror(errno));
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    ::close(lock_);
    throw ConfigError("out", path_, "another folder: a process is training in it now");
  }
  try {
    remove_unfinished(path_);
    remove_unfinished(path_ + "/training");
    check_identity(!is_ours);
  } catch (...) {
    ::close(lock_);
    throw;
  }
}

TrainingFolder::~TrainingFolder() {
  if (lock_ >= 0)
    ::close(lock_);
}

void TrainingFolder::check_identity(bool is_new) const {
  const std::string path = path_ + "/training/identity.json";
  if (is_new) {
    write_file_atomically(path, identity_json_);
    return;
  }
  const std::string there(MappedFile::open(path)->text());
  if (there != identity_json_)
    throw ConfigError(
        "out", path_,
        fmt::format("another folder: it holds another training ({})",
                    differences(parse_json(there, path), parse_json(identity_json_, "identity"))));
}

std::string TrainingFolder::state_path() const {
  return path_ + "/training/state.safetensors";
}

std::optional<TrainingProgress> TrainingFolder::restore(std::span<Parameter> parameters,
                                                        AdamW& optimizer) const {
  const std::string path = state_path();
  if (!file_exists(path))
    return std::nullopt;
  std::map<std::string, TensorView> views;
  for (TensorView& view : open_safetensors(path)) views.emplace(view.name, view);
  const auto find = [&](const std::string& name) -> const TensorView& {
    const auto it = views.find(name);
    if (it == views.end())
      throw DataError(path, -1, "tensor " + name, "none of that name");
    return it->second;
  };
  const TensorView& about = find(kProgress);
  const TrainingProgress progress = parse_progress(
      parse_json({reinterpret_cast<const char*>(about.bytes.data()), about.bytes.size()}, path),
      path);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const auto parts = parts_of(parameters[i], optimizer.moments()[i]);
    for (std::size_t p = 0; p < parts.size(); ++p) {
      if (!parts[p].defined())
        continue;
      const std::string name = kParts[p] + parameters[i].name;
      const at::Tensor stored = as_tensor(find(name));
      if (stored.scalar_type() != at::kFloat || stored.sizes() != parts[p].sizes())
        throw DataError(path, find(name).file_offset(), name + " of the network's shape, F32",
                        "another");
      parts[p].copy_(stored);
    }
  }
  optimizer.set_steps(progress.steps);
  return progress;
}

void TrainingFolder::save(std::span<const Parameter> parameters, AdamW& optimizer,
                          const TrainingProgress& progress) const {
  std::map<std::string, TensorToWrite> tensors;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const auto parts = parts_of(parameters[i], optimizer.moments()[i]);
    for (std::size_t p = 0; p < parts.size(); ++p) {
      if (parts[p].defined())
        tensors[kParts[p] + parameters[i].name] = as_tensor_to_write(parts[p]);
    }
  }
  const std::string about = canonical_json(progress_json(progress));
  tensors[kProgress] = {Dtype::kU8, {std::ssize(about)}, bytes_of(about)};
  write_safetensors(state_path(), tensors);
}

void TrainingFolder::publish(std::span<const Parameter> parameters, const AdamW& optimizer,
                             const Json& config, at::ScalarType dtype) const {
  std::map<std::string, TensorToWrite> tensors;
  std::vector<at::Tensor> rounded;  // alive until they are written
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    rounded.push_back(optimizer.published(i).to(dtype).contiguous());
    tensors[parameters[i].name] = as_tensor_to_write(rounded.back());
  }
  write_file_atomically(path_ + "/config.json", config.dump(2) + "\n");
  write_safetensors(path_ + "/model.safetensors", tensors, {{"format", "pt"}});
}

void TrainingFolder::copy_tokenizer(const std::string& folder) const {
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                           "vocab.json", "merges.txt", "vocab.txt", "added_tokens.json"}) {
    if (file_exists(folder + "/" + name))
      write_file_atomically(path_ + "/" + name, MappedFile::open(folder + "/" + name)->text());
  }
}

}  // namespace dlm
