// Answers of MATH as text: where a solution or a generation states it, and the two published normal
// forms. Whether two answers are equal is math_equal.h, or string equality of a normal form.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace dlm {

// What the last \boxed{...} (else the last \fbox{...}) holds, braces matched; of the form "\boxed
// x" the text up to the next "$". Nothing where there is none or its brace is not closed. Source:
// lm-evaluation-harness minerva_math/utils.py last_boxed_only_string, remove_boxed.
std::optional<std::string> boxed_answer(std::string_view text);

// The answer's normal form of Lewkowycz et al. (arXiv:2206.14858, appendix D). It deletes units as
// plain substrings, inside words too.
std::string minerva_normal_form(std::string_view answer);

// The same without the two steps that make different answers equal, "x-3z=0" to 0 and "1,3" to 13:
// what math_equal is given.
std::string answer_for_math_equal(std::string_view answer);

// The normal form of the MATH paper's own scorer (arXiv:2103.03874). Nothing where the published
// code fails on the answer ("x/2", a \frac at the end, two units); it then compares the answers as
// they are.
std::optional<std::string> hendrycks_normal_form(std::string_view answer);

// Whether the answers agree by that scorer.
bool hendrycks_equal(std::string_view a, std::string_view b);

}  // namespace dlm
