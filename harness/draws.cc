#include "harness/draws.h"

#include <algorithm>
#include <optional>

#include "harness/base/error.h"
#include "harness/base/text.h"
#include "models/exact/exact_world.h"

namespace dlm {
namespace {

constexpr std::string_view kPrefix = "draws:";
constexpr std::int64_t kMostTokens = std::int64_t{1} << 28;

struct DrawsSpec {
  std::string world;  // "exact:..." without our own parameters
  std::int64_t documents = 200;
  std::optional<std::int64_t> length;
};

std::int64_t positive(std::string_view task, const std::string& pair, std::string_view value) {
  const auto number = parse_int(value);
  if (!number || *number < 1)
    throw ConfigError("task", task, "'" + pair + "' must be a positive whole number");
  return *number;
}

DrawsSpec parse_draws(std::string_view task) {
  const std::string_view body = task.substr(kPrefix.size());
  const auto question = body.find('?');
  DrawsSpec spec;
  std::vector<std::string> kept;
  if (question != std::string_view::npos) {
    for (const std::string& pair : split(body.substr(question + 1), '&')) {
      const std::string name = pair.substr(0, pair.find('='));
      const std::string_view value =
          std::string_view(pair).substr(std::min(name.size() + 1, pair.size()));
      if (name == "documents") {
        spec.documents = positive(task, pair, value);
      } else if (name == "length") {
        spec.length = positive(task, pair, value);
      } else {
        kept.push_back(pair);
      }
    }
  }
  spec.world = fmt::format("exact:{}", body.substr(0, question));
  if (!kept.empty())
    spec.world += fmt::format("?{}", fmt::join(kept, "&"));
  return spec;
}

}  // namespace

bool is_draws_task(std::string_view task) {
  return task.starts_with(kPrefix);
}

DrawnCorpus draw_corpus(std::string_view task, std::uint64_t seed, std::int64_t limit) {
  const DrawsSpec spec = parse_draws(task);
  const auto world = make_exact_world(spec.world);
  const std::int64_t longest = world->info().max_length;
  constexpr std::int64_t kDefaultLength = 64;
  const std::int64_t length = spec.length.value_or(longest > 0 ? longest : kDefaultLength);
  if (longest > 0 && length != longest) {
    throw ConfigError("task", task, fmt::format("this world's documents have length {}", longest));
  }
  if (length > kMostTokens / spec.documents) {
    throw ConfigError("task", task,
                      fmt::format("documents x length must be at most {}", kMostTokens));
  }
  DrawnCorpus corpus;
  corpus.name = fmt::format("draws:{}&length={}&documents={}", world->spec().substr(6), length,
                            spec.documents);
  corpus.entropy_per_token = world->entropy_per_token(length);
  const std::int64_t count = limit > 0 ? std::min(limit, spec.documents) : spec.documents;
  for (std::int64_t i = 0; i < count; ++i) {
    corpus.ids.push_back(world->draw(seed, static_cast<std::uint64_t>(i), length));
  }
  return corpus;
}

}  // namespace dlm
