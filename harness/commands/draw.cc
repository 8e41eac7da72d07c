// `draw`: documents from an exact world or an autoregressive model, as a file of token ids: data
// whose law is known, to train on and to score.
#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "harness/base/error.h"
#include "harness/base/log.h"
#include "harness/base/text.h"
#include "harness/cli.h"
#include "harness/commands/command.h"
#include "harness/model_loading.h"
#include "harness/progress.h"
#include "models/exact/exact_world.h"
#include "models/runtime.h"
#include "models/sampling/autoregressive.h"
#include "models/training/token_file.h"

namespace dlm {
namespace {

constexpr const char* kText =
    "Writes documents of --length tokens, each with its exact -log p: the language whose entropy a "
    "model trained on it\n"
    "can at best reach. Document i is a function of (seed, i). A network's documents begin with "
    "its "
    "BOS and go on past\n"
    "an end of text; nothing is filtered.\n\n"
    "  dlmbench draw --model stories260K/ --documents 65536 --length 128 --to "
    "train.tokens.safetensors\n"
    "  dlmbench draw --model 'exact:markov?v=64' --documents 1000 --to test.tokens.safetensors\n"
    "  dlmbench train recipe.toml --source tokens:train.tokens.safetensors\n"
    "  dlmbench run --model trained/ --task tokens:test.tokens.safetensors";

// Documents of one call of the sampler: few enough that progress is seen.
constexpr std::int64_t kChunk = 1024;

std::int64_t whole_number(const ParsedOptions& options, const char* name, const char* fallback) {
  const std::string text = options.get(name, fallback);
  const auto value = parse_int(text);
  if (!value || *value < 1 || *value > 1 << 28)
    throw ConfigError(name, text, "a whole number from 1 to 2^28");
  return *value;
}

void append(TokenFile& file, const std::vector<std::int64_t>& ids, double nats) {
  for (const std::int64_t id : ids) file.ids.push_back(static_cast<std::int32_t>(id));
  file.lengths.push_back(std::ssize(ids));
  file.nats.push_back(nats);
}

TokenFile draw_from_world(const ExactWorld& world, std::uint64_t seed, std::int64_t documents,
                          std::int64_t length) {
  TokenFile file;
  file.source = fmt::format("{}, seed {}", world.spec(), seed);
  file.first_token = "scored";
  for (std::int64_t i = 0; i < documents; ++i) {
    const auto ids = world.draw(seed, static_cast<std::uint64_t>(i), length);
    append(file, ids, -world.log_probability(ids));
  }
  return file;
}

std::vector<Prompt> bos_prompts(std::int64_t bos, std::int64_t first, std::int64_t count) {
  std::vector<Prompt> prompts;
  for (std::int64_t i = first; i < first + count; ++i)
    prompts.push_back({{bos}, static_cast<std::uint64_t>(i), 0});
  return prompts;
}

// Exact scores of whole documents, their first token given.
std::vector<double> score(const AutoregressiveModel& model, std::span<const ScoringWindow> windows,
                          std::int64_t batch_size) {
  std::vector<double> nats;
  const auto step = static_cast<std::size_t>(batch_size);
  for (std::size_t first = 0; first < windows.size(); first += step) {
    const auto part = windows.subspan(first, std::min(step, windows.size() - first));
    for (const std::vector<double>& terms : model.token_nll(part))
      nats.push_back(std::accumulate(terms.begin(), terms.end(), 0.0));
  }
  return nats;
}

TokenFile draw_from_network(const LoadedModel& loaded, const RunSpec& spec, std::int64_t documents,
                            std::int64_t length) {
  const AutoregressiveModel& model = *loaded.model;
  const std::int64_t bos = model.info().bos_id;
  if (bos < 0)
    throw ConfigError("model", spec.model, "a model whose config.json names a BOS token");
  if (length < 2 || (model.info().max_length > 0 && length > model.info().max_length))
    throw ConfigError("length", std::to_string(length),
                      fmt::format("from 2 to {}", model.info().max_length));
  TokenFile file;
  file.source =
      fmt::format("{} ({}), seed {}", loaded.name, loaded.weights_sha256.substr(0, 12), spec.seed);
  file.first_token = "given";
  GenerateOptions options;
  options.max_new_tokens = length - 1;
  options.batch_size = spec.batch_size;
  options.seed = spec.seed;
  Progress progress("draw", "documents", 0, static_cast<double>(documents));
  for (std::int64_t first = 0; first < documents; first += kChunk) {
    const auto prompts = bos_prompts(bos, first, std::min(kChunk, documents - first));
    std::vector<ScoringWindow> windows;
    for (const Continuation& one : generate(model, prompts, options)) {
      ScoringWindow& window = windows.emplace_back();
      window.ids = {bos};
      window.ids.insert(window.ids.end(), one.ids.begin(), one.ids.end());
    }
    const std::vector<double> nats = score(model, windows, spec.batch_size);
    for (std::size_t i = 0; i < windows.size(); ++i) append(file, windows[i].ids, nats[i]);
    progress.update(static_cast<double>(file.documents()), "");
  }
  return file;
}

}  // namespace

int draw_command(const Arguments& args) {
  CommandOptions cli("draw --model M --documents N --to FILE [settings]", kText);
  cli.value("documents", "how many (default 1000)")
      .value("length", "tokens of each, BOS included (default 128)")
      .value("to", "file to write")
      .fields(SpecPart::kModel);
  const auto options = cli.parse(args);
  if (!options)
    return kExitOk;
  const std::string path = options->get("to", "");
  if (path.empty())
    throw ConfigError("to", "", "is needed: the file to write");
  const RunSpec spec = spec_from(*options);
  set_threads(spec.threads);
  ModelCache cache;
  const LoadedModel& loaded = cache.load(spec);
  if (loaded.model == nullptr)
    throw ConfigError("model", spec.model, "an autoregressive model or an exact world");
  const std::int64_t documents = whole_number(*options, "documents", "1000");
  const std::int64_t length = whole_number(*options, "length", "128");
  const auto* world = dynamic_cast<const ExactWorld*>(loaded.model.get());
  TokenFile file = world != nullptr ? draw_from_world(*world, spec.seed, documents, length)
                                    : draw_from_network(loaded, spec, documents, length);
  file.vocab_size = loaded.info().vocab_size;
  write_token_file(path, file);
  fmt::print("{}: {} documents, {} tokens, {:.6f} nats/token under {}\n", path, file.documents(),
             file.ids.size(), file.nats_per_token().value_or(0), file.source);
  return kExitOk;
}

}  // namespace dlm
