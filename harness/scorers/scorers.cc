#include <array>

#include "harness/scorers/answer_tasks.h"
#include "harness/scorers/scorer.h"

namespace dlm {

std::span<const Scorer> all_scorers() {
  static const std::array kScorers{
      Scorer{"gsm8k", "answers to GSM8K's word problems", score_gsm8k},
      Scorer{"math", "answers to MATH's problems", score_math},
  };
  return kScorers;
}

}  // namespace dlm
