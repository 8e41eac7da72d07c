// make_random_checkpoint OUT [--model gpt2|llama|qwen2|dream] [--width N] ...: a checkpoint folder
// with random weights of any shape, to time and to compare with other programs. With --shard-mb it
// is written shard by shard, each no larger than that, so that it may be larger than the memory;
// such a model's values repeat. Dream-7B's shape:
//   make_random_checkpoint OUT --model dream --dtype bf16 --tied 0 --vocab 152064 --width 3584
//     --layers 28 --heads 28 --kv-heads 4 --inner 18944 --positions 2048 --shard-mb 1024
#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/random.h"
#include "harness/base/text.h"
#include "models/checkpoint/safetensors.h"
#include "tests/support/random_checkpoint.h"

namespace dlm::testing {
namespace {

std::int64_t number(const std::string& flag, const std::string& value) {
  const auto parsed = parse_int(value);
  if (!parsed || *parsed < 0)
    throw ConfigError(flag, value, "a number from 0");
  return *parsed;
}

void set_option(RandomModel& model, const std::string& flag, const std::string& value) {
  const std::map<std::string, std::int64_t*> sizes = {
      {"--vocab", &model.vocab_size},  {"--width", &model.width},
      {"--layers", &model.layers},     {"--heads", &model.heads},
      {"--kv-heads", &model.kv_heads}, {"--head-dim", &model.head_dim},
      {"--inner", &model.inner},       {"--positions", &model.max_length}};
  if (const auto it = sizes.find(flag); it != sizes.end()) {
    *it->second = number(flag, value);
  } else if (flag == "--model") {
    model.family = value;
  } else if (flag == "--dtype") {
    if (value != "f32" && value != "bf16")
      throw ConfigError(flag, value, "f32 or bf16");
    model.dtype = value == "bf16" ? "BF16" : "F32";
  } else if (flag == "--tied") {
    model.tied = number(flag, value) != 0;
  } else if (flag == "--seed") {
    model.seed = static_cast<std::uint64_t>(number(flag, value));
  } else {
    std::vector<std::string> known = {"--model", "--dtype", "--tied", "--seed", "--shard-mb"};
    for (const auto& [name, unused] : sizes) known.push_back(name);
    throw unknown_name("option", flag, known);
  }
}

using Shapes = std::map<std::string, std::vector<std::int64_t>>;

std::int64_t elements(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return count;
}

// Consecutive tensors, at most `most` bytes a shard unless one tensor alone is larger.
std::vector<Shapes> cut_shards(const Shapes& shapes, std::int64_t most) {
  std::vector<Shapes> shards(1);
  std::int64_t bytes = 0;
  for (const auto& [name, shape] : shapes) {
    const std::int64_t size = 2 * elements(shape);
    if (bytes + size > most && !shards.back().empty()) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back()[name] = shape;
    bytes += size;
  }
  return shards;
}

// bf16 draws of one deviation that tensors repeat, each from another place on.
std::vector<std::uint16_t> drawn_values(const RandomModel& model) {
  const RandomStream stream(model.seed, Purpose::kWeights, 0);
  std::vector<std::uint16_t> values(std::size_t{1} << 21);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto value = static_cast<float>(model.scale * stream.normal(0, i));
    values[i] = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16);
  }
  return values;
}

std::vector<std::uint16_t> repeated(const std::vector<std::uint16_t>& draws,
                                    const std::string& name, std::int64_t count) {
  constexpr std::uint16_t kOne = 0x3F80;
  if (name.find("norm") != std::string::npos)
    return std::vector<std::uint16_t>(static_cast<std::size_t>(count), kOne);
  std::vector<std::uint16_t> values(static_cast<std::size_t>(count));
  std::size_t from = std::hash<std::string>()(name) % draws.size();
  for (std::size_t at = 0; at < values.size(); from = 0) {
    const std::size_t size = std::min(draws.size() - from, values.size() - at);
    std::copy_n(draws.begin() + static_cast<std::ptrdiff_t>(from), size,
                values.begin() + static_cast<std::ptrdiff_t>(at));
    at += size;
  }
  return values;
}

void make_shards(const std::string& folder, const RandomModel& model, std::int64_t most) {
  if (model.dtype != "BF16")
    throw ConfigError("--shard-mb", "of f32", "with --dtype bf16");
  std::filesystem::create_directories(folder);
  write_file_atomically(folder + "/config.json", random_config(model).dump(1) + "\n");
  const std::vector<std::uint16_t> draws = drawn_values(model);
  const std::vector<Shapes> shards = cut_shards(tensor_shapes(model), most);
  Json places = Json::object();
  std::int64_t bytes = 0;
  for (std::size_t s = 0; s < shards.size(); ++s) {
    const std::string file = fmt::format("model-{:05}-of-{:05}.safetensors", s + 1, shards.size());
    std::map<std::string, std::vector<std::uint16_t>> values;
    std::map<std::string, TensorToWrite> tensors;
    for (const auto& [name, shape] : shards[s]) {
      values[name] = repeated(draws, name, elements(shape));
      tensors[name] = {Dtype::kBf16, shape, std::as_bytes(std::span(values[name]))};
      places[name] = file;
      bytes += 2 * elements(shape);
    }
    write_safetensors(folder + "/" + file, tensors);
  }
  const Json index = {{"metadata", {{"total_size", bytes}}}, {"weight_map", places}};
  write_file_atomically(folder + "/model.safetensors.index.json", index.dump(1) + "\n");
}

void make(const std::vector<std::string>& arguments) {
  if (arguments.size() % 2 == 0)
    throw ConfigError("arguments", "an option without its value", "OUT [--option VALUE]...");
  RandomModel model;
  model.scale = 0.02;
  std::int64_t shard_megabytes = 0;
  for (std::size_t i = 1; i < arguments.size(); i += 2) {
    if (arguments[i] == "--shard-mb")
      shard_megabytes = number(arguments[i], arguments[i + 1]);
    else
      set_option(model, arguments[i], arguments[i + 1]);
  }
  if (shard_megabytes > 0)
    make_shards(arguments.front(), model, shard_megabytes << 20);
  else
    write_random_checkpoint(arguments.front(), model);
}

}  // namespace
}  // namespace dlm::testing

int main(int argc, char** argv) {
  try {
    dlm::testing::make({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "make_random_checkpoint: %s\n", error.what());
    return 1;
  }
  return 0;
}
