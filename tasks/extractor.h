// Finds the answer in a generated text. An extractor that finds none gives none: never the whole
// text, never a guess.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/definition.h"

namespace dlm {

// What lm-evaluation-harness writes where a regular expression does not match. It is judged like
// any other answer there, so it is here.
inline constexpr const char* kNoAnswer = "[invalid]";

class Extractor {
 public:
  // Throws ConfigError for a bad pattern.
  explicit Extractor(const ExtractorForm& form);
  Extractor(Extractor&&) noexcept;
  ~Extractor();

  const ExtractorForm& form() const;

  // The answer, stripped of white space; nothing where there is none. Throws DataError for a text
  // that is not UTF-8 or that the pattern cannot get through.
  std::optional<std::string> find(std::string_view text) const;

 private:
  struct State;
  std::unique_ptr<const State> state_;
};

// The number that d1's evaluation reads: the first \boxed{...} (up to the first "}") that is a
// number or holds one, else the last number between <answer> and </answer>. "1,000" holds 1.
// Source: dllm-reasoning/d1 eval/parse_and_get_acc.py.
std::optional<std::string> boxed_number(std::string_view text);

// The text before the first stop string; each is looked for in what the ones before it left.
// Source: lm-evaluation-harness and Dream's eval, text.split(stop)[0] for every stop.
std::string_view cut_at_stops(std::string_view text, const std::vector<std::string>& stops);

// The answer that most of the samples give; of equally many, the one given first. Nothing for no
// sample. Source: lm_eval/filters/selection.py majority_vote.
std::string majority_answer(const std::vector<std::string>& answers);

// str.strip() of Python.
std::string_view strip_python_space(std::string_view text);

}  // namespace dlm
