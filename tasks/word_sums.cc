#include "tasks/word_sums.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/random.h"
#include "harness/base/text.h"

namespace dlm {
namespace {

struct Person {
  const char* name;
  const char* pronoun;
};

constexpr std::array<Person, 8> kPeople{{{"Tom", "He"},
                                         {"Ann", "She"},
                                         {"Ben", "He"},
                                         {"Eva", "She"},
                                         {"Max", "He"},
                                         {"Mia", "She"},
                                         {"Sam", "He"},
                                         {"Zoe", "She"}}};
constexpr std::array kThings{"apples", "books", "cards", "coins", "pens", "shells"};
constexpr std::array kWords{".",     "?",   "He", "She", "has", "gets",
                            "loses", "Now", "+",  "-",   "=",   "So"};
constexpr std::int64_t kMostResult = 27;  // 9 + 9 + 9
constexpr std::uint64_t kLargestStep = 9;
constexpr std::int64_t kBos = 1, kEos = 2;

// One step from `have`: a change of 1 to 9 that leaves at least 0.
struct Step {
  bool adds = true;
  std::int64_t change = 0;
  std::int64_t after = 0;
};

Step drawn_step(const RandomStream& random, std::uint64_t attempt, std::uint64_t place,
                std::int64_t have) {
  Step step;
  step.adds = have == 0 || random.below(2, attempt, place) == 0;
  const std::uint64_t most =
      step.adds ? kLargestStep : std::min(kLargestStep, static_cast<std::uint64_t>(have));
  step.change = 1 + static_cast<std::int64_t>(random.below(most, attempt, place + 1));
  step.after = step.adds ? have + step.change : have - step.change;
  return step;
}

std::string told(const Person& person, const Step& step) {
  return fmt::format("{} {} {} .", person.pronoun, step.adds ? "gets" : "loses", step.change);
}

std::int64_t signed_change(const Step& step) {
  return step.adds ? step.change : -step.change;
}

// The steps in this order, and the result.
std::string worked(std::int64_t have, const std::vector<Step>& steps) {
  std::string text;
  for (const Step& step : steps) {
    const std::int64_t after = have + signed_change(step);
    text += fmt::format("{} {} {} = {} . ", have, step.adds ? "+" : "-", step.change, after);
    have = after;
  }
  return text + fmt::format("So {} .", have);
}

WordSum drawn(const RandomStream& random, std::uint64_t attempt) {
  const Person& person = kPeople[random.below(kPeople.size(), attempt, 0)];
  const char* thing = kThings[random.below(kThings.size(), attempt, 1)];
  const auto first = 1 + static_cast<std::int64_t>(random.below(kLargestStep, attempt, 2));
  const Step one = drawn_step(random, attempt, 3, first);
  const Step two = drawn_step(random, attempt, 5, one.after);
  WordSum problem;
  problem.question = fmt::format("{} has {} {} . {} {} Now ?", person.name, first, thing,
                                 told(person, one), told(person, two));
  problem.result = two.after;
  std::vector<Step> steps{one, two};
  if (first + signed_change(two) >= 0 && random.below(2, attempt, 7) == 1)
    steps = {two, one};
  problem.answer = worked(first, steps);
  return problem;
}

constexpr std::int64_t kLargestNumber = 1'000'000'000;  // of an answer; sums do not overflow

std::optional<std::int64_t> number_of(const std::string& word) {
  const auto number = parse_int(word);
  return number && *number >= 0 && *number <= kLargestNumber ? number : std::nullopt;
}

// What "a + b = c ." leaves, from the word at `at` on; nothing where it is not so, or does not
// begin with `have`.
std::optional<std::int64_t> checked_step(const std::vector<std::string>& words, std::size_t at,
                                         std::optional<std::int64_t> have) {
  if (at + 6 > words.size() || words[at + 3] != "=" || words[at + 5] != ".")
    return std::nullopt;
  const auto from = number_of(words[at]), change = number_of(words[at + 2]);
  const auto to = number_of(words[at + 4]);
  const std::string& sign = words[at + 1];
  if (!from || !change || !to || (sign != "+" && sign != "-") || (have && *have != *from))
    return std::nullopt;
  return (sign == "+" ? *from + *change : *from - *change) == *to ? to : std::nullopt;
}

bool is_test(const WordSum& problem) {
  // The first hexadecimal digit of a digest: one problem in eight.
  return sha256_hex(problem.question).front() < '2';
}

}  // namespace

std::string word_sum_split_name(WordSumSplit split) {
  return split == WordSumSplit::kTrain ? "train" : "test";
}

WordSumSplit word_sum_split(const std::string& name) {
  if (name == "train")
    return WordSumSplit::kTrain;
  if (name == "test")
    return WordSumSplit::kTest;
  throw unknown_name("split", name, std::vector<std::string>{"train", "test"});
}

WordSum word_sum(std::uint64_t seed, std::uint64_t index, WordSumSplit split) {
  const RandomStream random(seed, Purpose::kCorpusDraw, index);
  for (std::uint64_t attempt = 0;; ++attempt) {
    WordSum problem = drawn(random, attempt);
    if (is_test(problem) == (split == WordSumSplit::kTest))
      return problem;
  }
}

const std::vector<std::string>& word_sum_vocabulary() {
  static const std::vector<std::string> kVocabulary = [] {
    std::vector<std::string> words{"[UNK]", "<bos>", "<eos>"};
    words.insert(words.end(), kWords.begin(), kWords.end());
    for (const Person& person : kPeople) words.emplace_back(person.name);
    words.insert(words.end(), kThings.begin(), kThings.end());
    for (std::int64_t number = 0; number <= kMostResult; ++number)
      words.push_back(std::to_string(number));
    return words;
  }();
  return kVocabulary;
}

std::vector<std::int64_t> word_sum_ids(const WordSum& problem) {
  static const std::map<std::string, std::int64_t> kIds = [] {
    std::map<std::string, std::int64_t> ids;
    for (const std::string& word : word_sum_vocabulary()) ids.emplace(word, std::ssize(ids));
    return ids;
  }();
  std::vector<std::int64_t> ids{kBos};
  for (const std::string* text : {&problem.question, &problem.answer}) {
    for (const std::string& word : split(*text, ' ')) {
      const auto found = kIds.find(word);
      DLM_CHECK(found != kIds.end(), "'{}' is no word of the task", word);
      ids.push_back(found->second);
    }
  }
  ids.push_back(kEos);
  DLM_CHECK(std::ssize(ids) == kWordSumTokens, "{} tokens: {}", ids.size(), problem.question);
  return ids;
}

std::string word_sum_tokenizer_json() {
  Json vocabulary = Json::object(), added = Json::array();
  const std::vector<std::string>& words = word_sum_vocabulary();
  for (std::size_t id = 0; id < words.size(); ++id) {
    vocabulary[words[id]] = id;
    if (id <= static_cast<std::size_t>(kEos))
      added.push_back({{"id", id},
                       {"content", words[id]},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false},
                       {"special", true}});
  }
  const Json bos = {{"SpecialToken", {{"id", "<bos>"}, {"type_id", 0}}}};
  const Json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const Json second = {{"Sequence", {{"id", "B"}, {"type_id", 1}}}};
  const Json file = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", added},
      {"normalizer", nullptr},
      {"pre_tokenizer", {{"type", "WhitespaceSplit"}}},
      {"post_processor",
       {{"type", "TemplateProcessing"},
        {"single", Json::array({bos, text})},
        {"pair", Json::array({bos, text, second})},
        {"special_tokens",
         {{"<bos>",
           {{"id", "<bos>"}, {"ids", Json::array({kBos})}, {"tokens", Json::array({"<bos>"})}}}}}}},
      {"decoder", {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", false}}},
      {"model",
       {{"type", "WordPiece"},
        {"unk_token", "[UNK]"},
        {"continuing_subword_prefix", "##"},
        {"max_input_chars_per_word", 100},
        {"vocab", vocabulary}}}};
  return file.dump(1) + "\n";
}

std::string word_sum_tokenizer_config_json() {
  const Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                       {"bos_token", "<bos>"},
                       {"eos_token", "<eos>"},
                       {"unk_token", "[UNK]"},
                       {"clean_up_tokenization_spaces", false}};
  return config.dump(1) + "\n";
}

std::optional<std::string> worked_sum_result(std::string_view text) {
  std::vector<std::string> words = split(std::string(text), ' ');
  std::erase(words, "");
  std::optional<std::int64_t> have;
  std::size_t at = 0;
  for (; at < words.size() && words[at] != "So"; at += 6) {
    have = checked_step(words, at, have);
    if (!have)
      return std::nullopt;
  }
  if (!have || at + 3 != words.size() || number_of(words[at + 1]) != have || words[at + 2] != ".")
    return std::nullopt;
  return words[at + 1];
}

std::string word_sum_lines(std::uint64_t seed, std::int64_t count, WordSumSplit split) {
  std::string lines;
  for (std::int64_t i = 0; i < count; ++i) {
    const WordSum problem = word_sum(seed, static_cast<std::uint64_t>(i), split);
    lines += canonical_json({{"id", fmt::format("{}-{:06}", word_sum_split_name(split), i)},
                             {"question", problem.question},
                             {"answer", problem.answer},
                             {"result", std::to_string(problem.result)},
                             {"text", problem.question + " " + problem.answer}}) +
             "\n";
  }
  return lines;
}

}  // namespace dlm
