// make_random_checkpoint OUT [--model gpt2|llama|qwen2] [--width N] ...: a checkpoint folder with
// random weights of any shape, to time and to compare with other programs.
#include <cstdio>
#include <exception>
#include <map>
#include <string>
#include <vector>

#include "harness/base/error.h"
#include "harness/base/text.h"
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
    std::vector<std::string> known = {"--model", "--dtype", "--tied", "--seed"};
    for (const auto& [name, unused] : sizes) known.push_back(name);
    throw unknown_name("option", flag, known);
  }
}

void make(const std::vector<std::string>& arguments) {
  if (arguments.size() % 2 == 0)
    throw ConfigError("arguments", "an option without its value", "OUT [--option VALUE]...");
  RandomModel model;
  model.scale = 0.02;
  for (std::size_t i = 1; i < arguments.size(); i += 2)
    set_option(model, arguments[i], arguments[i + 1]);
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
