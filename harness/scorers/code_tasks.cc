// `score humaneval`, `score mbpp`: what the two tasks are; see code_scorer.h.
#include "harness/scorers/code_scorer.h"

namespace dlm {

int score_humaneval(const Arguments& args) {
  constexpr const char* kText =
      "Runs generated Python against HumanEval's tests, in the sandbox, and gives pass@k with "
      "intervals over problems.\n"
      "A text is taken as it is (prompt + text, as openai/human-eval does) and through the "
      "sanitiser that Dream and\n"
      "Fast-dLLM use; the two stand side by side.\n\n"
      "  dlmbench score humaneval --generations samples.jsonl\n"
      "  dlmbench score humaneval --reference\n"
      "  dlmbench score humaneval --run 0193a4 --sanitiser on\n"
      "  dlmbench score humaneval --generations out.jsonl --sanitiser off --k 1,10 --time-limit 5";
  return score_code({"humaneval", kText, "data/humaneval/HumanEval.jsonl.gz",
                     "b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef",
                     read_humaneval, true, 0, -1},
                    args);
}

int score_mbpp(const Arguments& args) {
  constexpr const char* kText =
      "Runs generated Python against MBPP's asserts, in the sandbox, and gives pass@k with "
      "intervals over problems.\n\n"
      "  dlmbench score mbpp --generations samples.jsonl\n"
      "  dlmbench score mbpp --generations samples_mbpp_instruct.jsonl --protocol mbpp_instruct\n"
      "  dlmbench score mbpp --reference --split all";
  return score_code({"mbpp", kText, "data/mbpp/mbpp.jsonl",
                     "ccf64ceae9c5403bf50a044cb6d505bfd2a2963ee58338ba268fd65beab92a9f", read_mbpp,
                     false, 11, 510},
                    args);
}

}  // namespace dlm
