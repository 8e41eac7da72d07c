// make_exact_world: from "exact:KIND?key=value&..." to a world.
#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "harness/base/error.h"
#include "harness/base/text.h"
#include "models/exact/exact_world.h"
#include "models/exact/grammar.h"
#include "models/exact/markov.h"
#include "models/exact/tabular.h"

namespace dlm {
namespace {

constexpr std::string_view kPrefix = "exact:";

// The values by key, each taken once.
class Keys {
 public:
  // `text` is "key=value&key=value" or empty; `where` is the part of the spec before it.
  Keys(std::string_view where, std::string_view text, const std::vector<std::string>& known) {
    if (text.empty())
      return;
    for (const std::string& pair : split(text, '&')) {
      const auto equals = pair.find('=');
      const std::string key = pair.substr(0, equals);
      if (std::find(known.begin(), known.end(), key) == known.end())
        throw unknown_name(where, key, known);
      if (equals == std::string::npos)
        throw ConfigError(where, pair, "key=value pairs, separated by '&'");
      if (!values_.emplace(key, pair.substr(equals + 1)).second)
        throw ConfigError(where, pair, fmt::format("'{}' once", key));
    }
  }

  template <class Number, class Parse>
  Number get(const std::string& key, Number fallback, Parse parse, std::string_view kind) const {
    const auto found = values_.find(key);
    if (found == values_.end())
      return fallback;
    const std::optional<Number> value = parse(found->second);
    if (!value)
      throw ConfigError(key, found->second, kind);
    return *value;
  }

 private:
  std::map<std::string, std::string> values_;
};

std::unique_ptr<ExactWorld> make_tabular(std::string_view where, std::string_view text) {
  const Keys keys(where, text, {"v", "l", "seed", "concentration"});
  TabularSpec spec;
  spec.vocab_size = keys.get("v", spec.vocab_size, parse_int, "an integer");
  spec.length = keys.get("l", spec.length, parse_int, "an integer");
  spec.seed = keys.get("seed", spec.seed, parse_uint, "an integer >= 0");
  spec.concentration = keys.get("concentration", spec.concentration, parse_double, "a number");
  return std::make_unique<TabularWorld>(spec);
}

std::unique_ptr<ExactWorld> make_markov(std::string_view where, std::string_view text) {
  const Keys keys(where, text, {"v", "seed", "concentration"});
  MarkovSpec spec;
  spec.vocab_size = keys.get("v", spec.vocab_size, parse_int, "an integer");
  spec.seed = keys.get("seed", spec.seed, parse_uint, "an integer >= 0");
  spec.concentration = keys.get("concentration", spec.concentration, parse_double, "a number");
  return std::make_unique<MarkovWorld>(spec);
}

std::unique_ptr<ExactWorld> make_grammar(std::string_view where, std::string_view text) {
  const Keys keys(where, text, {"brackets", "open", "error", "seed", "concentration"});
  GrammarSpec spec;
  spec.brackets = keys.get("brackets", spec.brackets, parse_int, "an integer");
  spec.open = keys.get("open", spec.open, parse_double, "a number");
  spec.error = keys.get("error", spec.error, parse_double, "a number");
  spec.seed = keys.get("seed", spec.seed, parse_uint, "an integer >= 0");
  spec.concentration = keys.get("concentration", spec.concentration, parse_double, "a number");
  return std::make_unique<GrammarWorld>(spec);
}

}  // namespace

std::unique_ptr<ExactWorld> make_exact_world(std::string_view spec) {
  if (!spec.starts_with(kPrefix))
    throw ConfigError("exact world", spec, "exact:tabular?key=value&... or exact:markov?...");
  const auto question = spec.find('?');
  const std::string_view where = spec.substr(0, question);
  const std::string_view kind = where.substr(kPrefix.size());
  const std::string_view text =
      question == std::string_view::npos ? std::string_view() : spec.substr(question + 1);
  if (kind == "tabular")
    return make_tabular(where, text);
  if (kind == "markov")
    return make_markov(where, text);
  if (kind == "grammar")
    return make_grammar(where, text);
  throw unknown_name("exact world", kind, std::vector<std::string>{"tabular", "markov", "grammar"});
}

}  // namespace dlm
