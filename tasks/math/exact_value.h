// Exact values of the expressions that answers are: quotients of polynomials in letters, with
// rational coefficients, square roots of whole numbers and the imaginary unit. Two of them are
// equal or not, without rounding.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace dlm {

// Thrown and caught inside tasks/math: the value is beyond what is represented (128-bit numbers, a
// root of a polynomial, 2,000 terms). Such an answer is compared as text.
class BeyondExact {};

__extension__ typedef __int128 Wide;

// A fraction in lowest terms, denominator > 0.
struct Rational {
  Wide numerator = 0;
  Wide denominator = 1;

  static Rational of(Wide numerator, Wide denominator);  // denominator != 0
  bool operator==(const Rational&) const = default;
};

// sqrt(radicand) * i^imaginary * product of letters to their powers.
struct Monomial {
  std::int64_t radicand = 1;  // > 0, without a square factor
  bool imaginary = false;
  std::map<std::string, int> powers;

  auto operator<=>(const Monomial&) const = default;
};

using Polynomial = std::map<Monomial, Rational>;  // no zero coefficient

class ExactValue {
 public:
  static ExactValue number(Wide numerator, Wide denominator = 1);
  static ExactValue letter(const std::string& name);

  ExactValue operator+(const ExactValue& other) const;
  ExactValue operator-(const ExactValue& other) const;
  ExactValue operator*(const ExactValue& other) const;
  ExactValue operator/(const ExactValue& other) const;  // BeyondExact for division by zero

  ExactValue power(const ExactValue& exponent) const;
  ExactValue root(std::int64_t degree) const;  // degree >= 2

  bool equals(const ExactValue& other) const;  // by cross-multiplication
  std::optional<Rational> rational() const;    // where it is one

 private:
  Polynomial numerator_;
  Polynomial denominator_;
};

}  // namespace dlm
