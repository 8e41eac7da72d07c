#include <array>

#include "harness/scorers/scorer.h"
#include "harness/scorers/text_scorers.h"

namespace dlm {

std::span<const Scorer> all_scorers() {
  static const std::array kScorers{
      Scorer{"genppl", "generative perplexity, entropy, distinct-n, repetition, lengths",
             score_genppl},
      Scorer{"mauve", "MAUVE of two sets of texts, ids or features", score_mauve},
  };
  return kScorers;
}

}  // namespace dlm
