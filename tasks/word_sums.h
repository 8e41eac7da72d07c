// A task of our own with known answers: word problems of two steps in 54 words, small enough that a
// model trained in minutes can solve it, so that accuracy can be shown against block size and
// tokens per step. An answer writes its steps down, and a wrong step shows.
//
//   Tom has 3 apples . He gets 4 . He loses 2 . Now ?  ->  3 + 4 = 7 . 7 - 2 = 5 . So 5 .
//                                                      or  3 - 2 = 1 . 1 + 4 = 5 . So 5 .
//
// Either order of the steps is right, and as likely where no count falls below 0. So the words of a
// step depend on each other: a model that reveals K of them at once draws each as if it did not
// know the others, and its steps contradict themselves the more, the larger K is.
//
// Every problem has 15 words and every answer 15: with BOS in front and EOS behind, 32 tokens, the
// answer beginning at token 16.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dlm {

struct WordSum {
  std::string question;
  std::string answer;
  std::int64_t result = 0;
};

// No problem is in both.
enum class WordSumSplit { kTrain, kTest };

// "train", "test". The reverse throws ConfigError.
std::string word_sum_split_name(WordSumSplit split);
WordSumSplit word_sum_split(const std::string& name);

// Problem number `index` of the corpus named by `seed`: a function of the three alone, drawn from
// RandomStream(seed, Purpose::kCorpusDraw, index). Which problems are test ones is told by their
// text's SHA-256, one in eight; problems may repeat inside a split.
WordSum word_sum(std::uint64_t seed, std::uint64_t index, WordSumSplit split);

// Token ids of BOS, question, answer, EOS: 32 of them, below word_sum_vocabulary().size().
std::vector<std::int64_t> word_sum_ids(const WordSum& problem);

inline constexpr std::int64_t kWordSumTokens = 32;
inline constexpr std::int64_t kWordSumPromptTokens = 16;  // BOS and the question

// The words by id; [UNK], <bos> and <eos> first.
const std::vector<std::string>& word_sum_vocabulary();

// tokenizer.json and tokenizer_config.json of that vocabulary; a text is encoded with BOS in front.
std::string word_sum_tokenizer_json();
std::string word_sum_tokenizer_config_json();

// The result of an answer whose every step is right, begins with what the step before it left, and
// leads to the result named at the end; nothing for any other text. Whether the numbers are the
// question's is told by the result.
std::optional<std::string> worked_sum_result(std::string_view text);

// `count` problems of a split as JSON lines with members id, question, answer, result and text
// (question and answer).
std::string word_sum_lines(std::uint64_t seed, std::int64_t count, WordSumSplit split);

}  // namespace dlm
