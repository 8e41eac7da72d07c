// The portable MATH judge: whether two answers in LaTeX mean the same, decided exactly and without
// a computer algebra system.
#pragma once

#include <string_view>

namespace dlm {

// Names the judge in results; the version rises when a verdict can change.
inline constexpr const char* kMathJudge = "math_equal v1";

// Equal texts (spacing, \left, \dfrac and such apart), or equal values: whole numbers, fractions,
// decimals, percentages taken as their number, mixed numbers (2\frac{1}{3}), square and higher
// roots, powers, pi and other letters, i; tuples, points and intervals with the same brackets,
// element by element; sets and lists without brackets in any order; columns and matrices. "x=5" is
// 5; equations are equal side by side. Words, functions and other relations are compared as text.
// What a computer algebra system finds equal beyond that (sin 30, logarithms) counts as different
// here.
//
// lm-evaluation-harness asks sympy and calls wrong what that cannot read (tuples, words), even
// where both texts are the same; this judge differs there on purpose.
bool math_equal(std::string_view a, std::string_view b);

}  // namespace dlm
