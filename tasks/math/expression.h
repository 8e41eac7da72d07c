// LaTeX expressions of numbers and letters, read to exact values.
#pragma once

#include <optional>
#include <string_view>

#include "tasks/math/exact_value.h"

namespace dlm {

// The value of "\frac{3\sqrt{2}}{4}", "2^{10}", "0.25", "-x^2+3", "7/2", "2\frac{1}{3}" (a mixed
// number), "5!". No white space. Nothing for what is not such an expression: words of three letters
// or more, functions, relations. Throws BeyondExact where the value cannot be represented.
std::optional<ExactValue> parse_expression(std::string_view text);

}  // namespace dlm
