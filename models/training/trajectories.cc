#include "models/training/trajectories.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <utility>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/random.h"
#include "models/checkpoint/safetensors.h"
#include "models/sampling/reveal_policy.h"

namespace dlm {
namespace {

constexpr const char* kFile = "a file of trajectories";

Json about_json(const Trajectories& set) {
  const TrajectorySpec& spec = set.spec;
  return {{"base_weights_sha256", spec.base_sha256},
          {"block_size", spec.block_size},
          {"count", spec.count},
          {"length", spec.length},
          {"policy", spec.policy},
          {"prompt_tokens", spec.prompt_tokens},
          {"prompts_sha256", set.prompts_sha256},
          {"seed", spec.seed},
          {"temperature", spec.temperature},
          {"vocab_size", set.vocab_size}};
}

Trajectories parse_about(const Json& json, const std::string& where) {
  Trajectories set;
  TrajectorySpec& spec = set.spec;
  spec.base_sha256 = json_string(json, "base_weights_sha256", where);
  spec.block_size = json_int(json, "block_size", where);
  spec.count = json_int(json, "count", where);
  spec.length = json_int(json, "length", where);
  spec.policy = json_string(json, "policy", where);
  spec.prompt_tokens = json_int(json, "prompt_tokens", where);
  spec.seed = static_cast<std::uint64_t>(json_int(json, "seed", where));
  spec.temperature = json_double(json, "temperature", where);
  set.prompts_sha256 = json_string(json, "prompts_sha256", where);
  set.vocab_size = json_int(json, "vocab_size", where);
  const bool fits = spec.length >= 2 && spec.length <= (1 << 20) && spec.prompt_tokens >= 0 &&
                    spec.prompt_tokens < spec.length && spec.count >= 1;
  if (!fits)
    throw DataError(where, -1, "texts longer than their prompts",
                    fmt::format("{} of length {} with prompts of {}", spec.count, spec.length,
                                spec.prompt_tokens));
  return set;
}

void write_file(const std::string& file, const Trajectories& set) {
  const std::string about = canonical_json(about_json(set));
  std::map<std::string, TensorToWrite> tensors;
  tensors["rows"] = {
      Dtype::kI32, {set.done(), set.row_length()}, std::as_bytes(std::span(set.rows))};
  tensors["about"] = {
      Dtype::kU8, {std::ssize(about)}, std::as_bytes(std::span(about.data(), about.size()))};
  write_safetensors(file, tensors);
}

const TensorView& view_of(const std::map<std::string, TensorView>& views, const std::string& file,
                          const std::string& name, Dtype dtype) {
  const auto found = views.find(name);
  if (found == views.end())
    throw DataError(file, -1, fmt::format("{}, with a tensor '{}'", kFile, name), "none");
  if (found->second.dtype != dtype)
    throw DataError(file, found->second.file_offset(),
                    fmt::format("'{}' {}", name, dtype_name(dtype)),
                    std::string(dtype_name(found->second.dtype)));
  return found->second;
}

void check_row(const Trajectories& set, std::int64_t number, const std::string& file) {
  const std::int64_t length = set.spec.length;
  const std::int32_t* row = set.rows.data() + number * set.row_length();
  for (std::int64_t i = 0; i < length; ++i) {
    if (row[i] < 0 || row[i] >= set.vocab_size)
      throw DataError(file, -1, fmt::format("ids from 0 to {}", set.vocab_size - 1),
                      fmt::format("{} in row {}", row[i], number));
  }
  std::vector<char> seen(static_cast<std::size_t>(length), 0);
  for (std::int64_t i = length; i < set.row_length(); ++i) {
    const bool fits = row[i] >= set.spec.prompt_tokens && row[i] < length &&
                      seen[static_cast<std::size_t>(row[i])] == 0;
    if (!fits)
      throw DataError(file, -1, "each new position of a text once",
                      fmt::format("position {} in row {}", row[i], number));
    seen[static_cast<std::size_t>(row[i])] = 1;
  }
}

std::string prompts_digest(std::span<const std::vector<std::int64_t>> prompts,
                           std::int64_t tokens) {
  std::string digests;
  for (const std::vector<std::int64_t>& prompt : prompts)
    digests += sha256_hex(std::as_bytes(std::span(prompt).first(static_cast<std::size_t>(tokens))));
  return sha256_hex(digests);
}

// Whether two positions without doubt would be revealed by one pass.
bool reveals_what_is_certain(const RevealPolicy& policy) {
  if (!policy.reads_laws())
    return false;
  const std::array<std::int64_t, 2> hidden = {0, 1};
  const std::array<double, 2> scores = {1, 1};
  return policy.count({hidden, 2, 0, 1}, scores) > 1;
}

void check_spec(const BlockDenoiser& base, std::span<const std::vector<std::int64_t>> prompts,
                const TrajectorySpec& spec) {
  if (spec.count < 1)
    throw ConfigError("adjust.trajectories", std::to_string(spec.count), "at least 1");
  if (spec.prompt_tokens < 0 || spec.length - spec.prompt_tokens < 2)
    throw ConfigError("adjust.prompt_tokens", std::to_string(spec.prompt_tokens),
                      fmt::format("0 to {}, two less than the length", spec.length - 2));
  const auto policy = make_reveal_policy({.policy = spec.policy});
  if (policy->reads_draws())
    throw ConfigError("adjust.policy", spec.policy,
                      "one that chooses places without drawing: entropy, confidence, random, ..");
  if (reveals_what_is_certain(*policy))
    throw ConfigError("adjust.policy", spec.policy,
                      "one that reveals a token a pass: entropy, confidence, random, ..");
  const std::int64_t limit = base.info().max_length;
  if (limit > 0 && spec.length > limit)
    throw ConfigError("model.length", std::to_string(spec.length),
                      fmt::format("at most that of the base, {}", limit));
  if (prompts.empty())
    throw ConfigError("data.source", "no rows", "at least one, to take prompts from");
  for (const std::vector<std::int64_t>& prompt : prompts) {
    if (std::ssize(prompt) < spec.prompt_tokens)
      throw ConfigError("adjust.prompt_tokens", std::to_string(spec.prompt_tokens),
                        fmt::format("at most {}, the shortest row of the data", prompt.size()));
  }
}

BlockSampleOptions sample_options(const TrajectorySpec& spec, const TrajectoryOptions& options) {
  BlockSampleOptions sample;
  sample.block_size = spec.block_size;
  sample.max_new_tokens = spec.length - spec.prompt_tokens;
  sample.reveal.policy = spec.policy;
  sample.reveal.tokens_per_step = 1;
  sample.filter.temperature = spec.temperature;
  sample.batch_size = options.batch_size;
  sample.seed = spec.seed;
  return sample;
}

void add_sample(const BlockSample& sample, const std::vector<std::int64_t>& order,
                Trajectories& set) {
  const auto expected = static_cast<std::size_t>(set.spec.length);
  const std::size_t fresh = expected - static_cast<std::size_t>(set.spec.prompt_tokens);
  if (sample.ids.size() != expected || order.size() < fresh)
    throw ConfigError("model.length", std::to_string(set.spec.length),
                      fmt::format("a length whose texts the base writes whole: this one has {} "
                                  "tokens",
                                  sample.ids.size()));
  set.rows.insert(set.rows.end(), sample.ids.begin(), sample.ids.end());
  // A last block that is longer than what is asked for reveals positions beyond it.
  std::size_t taken = 0;
  for (const std::int64_t position : order) {
    if (position >= set.spec.length)
      continue;
    set.rows.push_back(static_cast<std::int32_t>(position));
    ++taken;
  }
  DLM_CHECK(taken == fresh, "{} reveals of {} new tokens", taken, fresh);
}

}  // namespace

DrawnToken RecordedDraws::draw(const TokenLaw& law, const DrawName& name) {
  orders_[name.example].push_back(name.position);
  const RandomStream stream(seed_, Purpose::kTokenDraw, name.example, name.replicate);
  return draw_from(law, stream.uniform(name.step, static_cast<std::uint64_t>(name.position)));
}

const std::vector<std::int64_t>& RecordedDraws::order(std::uint64_t example) const {
  return orders_.at(example);
}

Trajectories make_trajectories(const BlockDenoiser& base,
                               std::span<const std::vector<std::int64_t>> prompts,
                               const TrajectorySpec& spec, const std::string& file,
                               const TrajectoryOptions& options) {
  check_spec(base, prompts, spec);
  Trajectories set{spec, prompts_digest(prompts, spec.prompt_tokens), base.info().vocab_size, {}};
  if (file_exists(file)) {
    Trajectories there = read_trajectories(file);
    if (about_json(there) != about_json(set))
      throw ConfigError(
          "adjust", file,
          fmt::format("a file with these trajectories, {}; it holds others, {}",
                      canonical_json(about_json(set)), canonical_json(about_json(there))));
    set = std::move(there);
  }
  BlockSampleOptions sampling = sample_options(spec, options);
  while (set.done() < spec.count) {
    std::vector<Prompt> part;
    const std::int64_t end = std::min(spec.count, set.done() + options.save_every);
    for (std::int64_t n = set.done(); n < end; ++n) {
      const auto& prompt = prompts[static_cast<std::size_t>(n) % prompts.size()];
      part.push_back({{prompt.begin(), prompt.begin() + spec.prompt_tokens},
                      static_cast<std::uint64_t>(n),
                      0});
    }
    RecordedDraws draws(spec.seed);
    sampling.hooks.draws = &draws;
    const std::vector<BlockSample> samples = sample_blocks(base, part, sampling);
    for (std::size_t i = 0; i < part.size(); ++i)
      add_sample(samples[i], draws.order(part[i].example), set);
    write_file(file, set);
    if (options.progress)
      options.progress(set.done());
  }
  return set;
}

Trajectories read_trajectories(const std::string& file) {
  std::map<std::string, TensorView> views;
  for (TensorView& view : open_safetensors(file)) views.emplace(view.name, view);
  const TensorView& about = view_of(views, file, "about", Dtype::kU8);
  Trajectories set = parse_about(
      parse_json({reinterpret_cast<const char*>(about.bytes.data()), about.bytes.size()}, file),
      file);
  const TensorView& rows = view_of(views, file, "rows", Dtype::kI32);
  if (rows.shape.size() != 2 || rows.shape[1] != set.row_length() || rows.shape[0] < 1 ||
      rows.shape[0] > set.spec.count)
    throw DataError(file, rows.file_offset(),
                    fmt::format("'rows' of 1 to {} x {}", set.spec.count, set.row_length()),
                    fmt::format("{}", fmt::join(rows.shape, " x ")));
  set.rows.resize(rows.bytes.size() / sizeof(std::int32_t));
  std::memcpy(set.rows.data(), rows.bytes.data(), rows.bytes.size());
  for (std::int64_t n = 0; n < set.done(); ++n) check_row(set, n, file);
  return set;
}

std::string trajectories_sha256(const Trajectories& set) {
  return sha256_hex(canonical_json(about_json(set)));
}

std::unique_ptr<RowSource> trajectory_rows(const Trajectories& set, std::uint64_t seed) {
  class Rows final : public RowSource {
   public:
    Rows(const Trajectories& of, std::uint64_t order_seed)
        : rows_(of.rows, of.row_length(), std::max(of.vocab_size, of.spec.length), order_seed),
          vocab_size_(of.vocab_size),
          sha256_(trajectories_sha256(of)) {}

    std::int64_t length() const override { return rows_.length(); }

    std::int64_t vocab_size() const override { return vocab_size_; }

    std::int64_t rows() const override { return rows_.rows(); }

    void read(std::uint64_t number, std::span<std::int64_t> ids) const override {
      rows_.read(number, ids);
    }

    std::string sha256() const override { return sha256_; }

   private:
    StoredRows rows_;
    std::int64_t vocab_size_;
    std::string sha256_;
  };

  return std::make_unique<Rows>(set, seed);
}

std::vector<TrajectoryWindow> trajectory_windows(std::span<const std::int64_t> order,
                                                 std::int64_t first, std::int64_t block_size,
                                                 std::int64_t depth) {
  std::vector<TrajectoryWindow> windows;
  const auto block_of = [&](std::size_t reveal) { return (order[reveal] - first) / block_size; };
  std::size_t end = order.size();  // of the reveals of the block that `start` lies in
  for (std::size_t start = order.size(); start-- > 0;) {
    if (start + 1 < order.size() && block_of(start) != block_of(start + 1))
      end = start + 1;
    const auto left = static_cast<std::int64_t>(end - start);
    if (left < 2)
      continue;
    windows.push_back({first + block_of(start) * block_size, static_cast<std::int64_t>(start),
                       std::min(depth, left - 1)});
  }
  std::reverse(windows.begin(), windows.end());
  return windows;
}

}  // namespace dlm
