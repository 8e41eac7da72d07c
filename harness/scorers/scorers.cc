#include <array>

#include "harness/scorers/answer_tasks.h"
#include "harness/scorers/code_scorer.h"
#include "harness/scorers/scorer.h"
#include "harness/scorers/text_scorers.h"

namespace dlm {

std::span<const Scorer> all_scorers() {
  static const std::array kScorers{
      Scorer{"gsm8k", "answers to GSM8K's word problems", score_gsm8k},
      Scorer{"humaneval", "generated functions against HumanEval's tests", score_humaneval},
      Scorer{"math", "answers to MATH's problems", score_math},
      Scorer{"mbpp", "generated functions against MBPP's asserts", score_mbpp},
      Scorer{"genppl", "generative perplexity, entropy, distinct-n, repetition, lengths",
             score_genppl},
      Scorer{"mauve", "MAUVE of two sets of texts, ids or features", score_mauve},
  };
  return kScorers;
}

}  // namespace dlm
