// Undoing the spaces and escapes that published corpora carry around punctuation, as the
// evaluations do that published numbers come from.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dlm {

using Detokenizer = std::string (*)(std::string_view text);

// "none", "wikitext", "ptb", "lm1b", "lambada" or "scientific_papers" (wikitext, then lm1b). The
// text is valid UTF-8. Each gives exactly what the published Python code gives, its quirks
// included: the " N " rule in wikitext, a number pattern between slashes that ordinary text never
// meets, quotes that pair across lines. Throws ConfigError for another name. Source:
// kuleshov-group/bd3lms dataloader.py wt_detokenizer and following; wikitext also in
// EleutherAI/lm-evaluation-harness tasks/wikitext/preprocess_wikitext.py.
Detokenizer find_detokenizer(std::string_view name);

std::vector<std::string> detokenizer_names();

}  // namespace dlm
