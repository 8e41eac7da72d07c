#include "tests/support/tiny_model.h"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/random.h"
#include "harness/base/text.h"
#include "models/checkpoint/safetensors.h"

namespace dlm::testing {
namespace {

constexpr std::int64_t kVocabulary = 257;

struct Values {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

class WeightTable {
 public:
  // Normal with standard deviation `scale` around `mean`.
  void add(const std::string& name, std::vector<std::int64_t> shape, double mean, double scale) {
    std::int64_t count = 1;
    for (const std::int64_t size : shape) count *= size;
    Values tensor{std::move(shape), {}};
    const RandomStream stream(1, Purpose::kWeights, tensors_.size());
    for (std::int64_t i = 0; i < count; ++i) {
      tensor.values.push_back(
          static_cast<float>(mean + scale * stream.normal(0, static_cast<std::uint64_t>(i))));
    }
    tensors_[name] = std::move(tensor);
  }

  std::vector<float>& values(const std::string& name) { return tensors_.at(name).values; }

  void write(const std::string& path) const {
    std::map<std::string, TensorToWrite> out;
    for (const auto& [name, tensor] : tensors_) {
      out[name] = {Dtype::kF32, tensor.shape, std::as_bytes(std::span(tensor.values))};
    }
    write_safetensors(path, out);
  }

 private:
  std::map<std::string, Values> tensors_;
};

void add_layer(WeightTable& table, const std::string& prefix, std::int64_t width) {
  constexpr double kScale = 0.3;
  for (const char* norm : {"ln_1", "ln_2"}) {
    table.add(prefix + norm + ".weight", {width}, 1, 0.1);
    table.add(prefix + norm + ".bias", {width}, 0, 0.1);
  }
  table.add(prefix + "attn.c_attn.weight", {width, 3 * width}, 0, kScale);
  table.add(prefix + "attn.c_attn.bias", {3 * width}, 0, 0.1);
  table.add(prefix + "attn.c_proj.weight", {width, width}, 0, kScale);
  table.add(prefix + "attn.c_proj.bias", {width}, 0, 0.1);
  table.add(prefix + "mlp.c_fc.weight", {width, 4 * width}, 0, kScale);
  table.add(prefix + "mlp.c_fc.bias", {4 * width}, 0, 0.1);
  table.add(prefix + "mlp.c_proj.weight", {4 * width, width}, 0, kScale);
  table.add(prefix + "mlp.c_proj.bias", {width}, 0, 0.1);
}

// GPT-2's printable stand-in of a byte. Source: openai/gpt-2 src/encoder.py bytes_to_unicode.
std::string stand_in(int byte) {
  const auto printable = [](int b) {
    return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);
  };
  int shifted = 0;
  for (int b = 0; b < byte; ++b) shifted += printable(b) ? 0 : 1;
  std::string text;
  append_utf8(text, static_cast<char32_t>(printable(byte) ? byte : 256 + shifted));
  return text;
}

}  // namespace

void write_tiny_model(const std::string& folder, const TinyModel& model) {
  std::filesystem::create_directories(folder);
  WeightTable table;
  table.add("wte.weight", {kVocabulary, model.width}, 0, 0.3);
  table.add("wpe.weight", {model.positions, model.width}, 0, 0.1);
  for (std::int64_t layer = 0; layer < model.layers; ++layer) {
    add_layer(table, fmt::format("h.{}.", layer), model.width);
  }
  table.add("ln_f.weight", {model.width}, 1, 0.1);
  table.add("ln_f.bias", {model.width}, 0, 0.1);
  if (model.nan_weight)
    table.values("h.0.mlp.c_fc.weight")[7] = std::numeric_limits<float>::quiet_NaN();
  table.write(folder + "/model.safetensors");

  const Json config{{"model_type", "gpt2"},
                    {"architectures", {"GPT2LMHeadModel"}},
                    {"vocab_size", kVocabulary},
                    {"n_embd", model.width},
                    {"n_layer", model.layers},
                    {"n_head", model.heads},
                    {"n_positions", model.positions},
                    {"activation_function", "gelu_new"},
                    {"layer_norm_epsilon", 1e-5},
                    {"bos_token_id", 256},
                    {"eos_token_id", 256}};
  write_file_atomically(folder + "/config.json", config.dump());
  Json vocabulary;
  for (int byte = 0; byte < 256; ++byte) vocabulary[stand_in(byte)] = byte;
  vocabulary["<|endoftext|>"] = 256;
  write_file_atomically(folder + "/vocab.json", vocabulary.dump());
  write_file_atomically(folder + "/merges.txt", "#version: 0.2\n");
}

}  // namespace dlm::testing
