#include "tasks/math/exact_value.h"

#include <cmath>
#include <numeric>
#include <utility>

#include <fmt/format.h>

namespace dlm {
namespace {

constexpr std::size_t kMostTerms = 2000;
constexpr std::int64_t kMostRadicand = 1'000'000'000'000;
constexpr std::int64_t kMostPower = 64;

Wide added(Wide a, Wide b) {
  Wide result = 0;
  if (__builtin_add_overflow(a, b, &result))
    throw BeyondExact();
  return result;
}

Wide multiplied(Wide a, Wide b) {
  Wide result = 0;
  if (__builtin_mul_overflow(a, b, &result))
    throw BeyondExact();
  return result;
}

Wide absolute(Wide a) {
  return a < 0 ? -a : a;
}

Wide common_divisor(Wide a, Wide b) {
  a = absolute(a);
  b = absolute(b);
  while (b != 0) a = std::exchange(b, a % b);
  return a;
}

Rational sum_of(const Rational& a, const Rational& b) {
  return Rational::of(
      added(multiplied(a.numerator, b.denominator), multiplied(b.numerator, a.denominator)),
      multiplied(a.denominator, b.denominator));
}

Rational product_of(const Rational& a, const Rational& b) {
  return Rational::of(multiplied(a.numerator, b.numerator),
                      multiplied(a.denominator, b.denominator));
}

void add_term(Polynomial& polynomial, const Monomial& monomial, const Rational& coefficient) {
  const auto [it, is_new] = polynomial.try_emplace(monomial, coefficient);
  if (!is_new)
    it->second = sum_of(it->second, coefficient);
  if (it->second.numerator == 0)
    polynomial.erase(it);
  if (polynomial.size() > kMostTerms)
    throw BeyondExact();
}

Polynomial sum_of(const Polynomial& a, const Polynomial& b) {
  Polynomial result = a;
  for (const auto& [monomial, coefficient] : b) add_term(result, monomial, coefficient);
  return result;
}

// sqrt(a) sqrt(b) = g sqrt(ab / g^2) for square-free a, b with greatest common divisor g.
void add_product(Polynomial& result, const Polynomial::value_type& a,
                 const Polynomial::value_type& b) {
  Monomial monomial;
  const std::int64_t g = std::gcd(a.first.radicand, b.first.radicand);
  const Wide radicand = multiplied(a.first.radicand / g, b.first.radicand / g);
  if (radicand > kMostRadicand)
    throw BeyondExact();
  monomial.radicand = static_cast<std::int64_t>(radicand);
  monomial.imaginary = a.first.imaginary != b.first.imaginary;
  monomial.powers = a.first.powers;
  for (const auto& [letter, power] : b.first.powers) {
    const int total = monomial.powers[letter] += power;
    if (total == 0)
      monomial.powers.erase(letter);
    if (std::abs(total) > kMostPower)
      throw BeyondExact();
  }
  const bool negated = a.first.imaginary && b.first.imaginary;
  const Rational scale = Rational::of(negated ? -g : g, 1);
  add_term(result, monomial, product_of(scale, product_of(a.second, b.second)));
}

Polynomial product_of(const Polynomial& a, const Polynomial& b) {
  if (a.size() * b.size() > kMostTerms * 10)
    throw BeyondExact();
  Polynomial result;
  for (const auto& left : a) {
    for (const auto& right : b) add_product(result, left, right);
  }
  return result;
}

Polynomial constant(Wide numerator, Wide denominator = 1) {
  Polynomial result;
  add_term(result, Monomial(), Rational::of(numerator, denominator));
  return result;
}

// n = factor^2 * rest with rest square-free; n > 0.
std::pair<std::int64_t, std::int64_t> without_squares(Wide n) {
  if (n > kMostRadicand)
    throw BeyondExact();
  auto rest = static_cast<std::int64_t>(n);
  std::int64_t factor = 1;
  for (std::int64_t p = 2; p * p <= rest; ++p) {
    while (rest % (p * p) == 0) {
      rest /= p * p;
      factor *= p;
    }
  }
  return {factor, rest};
}

// The whole root of n >= 0 where there is one.
std::optional<Wide> whole_root(Wide n, std::int64_t degree) {
  const auto guess = static_cast<std::int64_t>(
      std::llround(std::pow(static_cast<double>(n), 1.0 / static_cast<double>(degree))));
  for (std::int64_t r = std::max<std::int64_t>(0, guess - 1); r <= guess + 1; ++r) {
    Wide power = 1;
    for (std::int64_t i = 0; i < degree && power <= n; ++i) power = multiplied(power, r);
    if (power == n)
      return r;
  }
  return std::nullopt;
}

std::string digits(Wide n) {
  if (n < 0)
    return "-" + digits(-n);
  const auto low = static_cast<int>(n % 10);
  return (n < 10 ? "" : digits(n / 10)) + std::to_string(low);
}

}  // namespace

Rational Rational::of(Wide numerator, Wide denominator) {
  if (denominator == 0)
    throw BeyondExact();
  const Wide g = common_divisor(numerator, denominator);
  const Wide sign = denominator < 0 ? -1 : 1;
  return {sign * (numerator / g), absolute(denominator / g)};
}

ExactValue ExactValue::number(Wide numerator, Wide denominator) {
  ExactValue value;
  value.numerator_ = constant(numerator, denominator);
  value.denominator_ = constant(1);
  return value;
}

ExactValue ExactValue::letter(const std::string& name) {
  ExactValue value = number(1);
  Monomial monomial;
  if (name == "i")
    monomial.imaginary = true;
  else
    monomial.powers[name] = 1;
  value.numerator_ = {{monomial, Rational{1, 1}}};
  return value;
}

ExactValue ExactValue::operator+(const ExactValue& other) const {
  ExactValue result;
  result.numerator_ = sum_of(product_of(numerator_, other.denominator_),
                             product_of(other.numerator_, denominator_));
  result.denominator_ = product_of(denominator_, other.denominator_);
  return result;
}

ExactValue ExactValue::operator-(const ExactValue& other) const {
  return *this + number(-1) * other;
}

ExactValue ExactValue::operator*(const ExactValue& other) const {
  ExactValue result;
  result.numerator_ = product_of(numerator_, other.numerator_);
  result.denominator_ = product_of(denominator_, other.denominator_);
  return result;
}

ExactValue ExactValue::operator/(const ExactValue& other) const {
  if (other.numerator_.empty())
    throw BeyondExact();
  ExactValue result;
  result.numerator_ = product_of(numerator_, other.denominator_);
  result.denominator_ = product_of(denominator_, other.numerator_);
  return result;
}

std::optional<Rational> ExactValue::rational() const {
  const auto plain = [](const Polynomial& p) -> std::optional<Rational> {
    if (p.empty())
      return Rational{0, 1};
    if (p.size() > 1 || p.begin()->first != Monomial())
      return std::nullopt;
    return p.begin()->second;
  };
  const auto top = plain(numerator_);
  const auto bottom = plain(denominator_);
  if (!top || !bottom)
    return std::nullopt;
  return product_of(*top, Rational::of(bottom->denominator, bottom->numerator));
}

ExactValue ExactValue::power(const ExactValue& exponent) const {
  const auto e = exponent.rational();
  if (!e || e->denominator > kMostPower || absolute(e->numerator) > kMostPower)
    throw BeyondExact();
  ExactValue result = number(1);
  for (Wide i = 0; i < absolute(e->numerator); ++i) result = result * *this;
  if (e->numerator < 0)
    result = number(1) / result;
  return e->denominator == 1 ? result : result.root(static_cast<std::int64_t>(e->denominator));
}

ExactValue ExactValue::root(std::int64_t degree) const {
  const auto value = rational();
  if (!value || degree < 2 || degree > kMostPower)
    throw BeyondExact();
  const bool negative = value->numerator < 0;
  const Wide top = absolute(value->numerator);
  if (degree == 2) {
    // sqrt(p/q) = sqrt(pq)/q.
    if (top == 0)
      return number(0);
    const auto [factor, rest] = without_squares(multiplied(top, value->denominator));
    ExactValue result = number(factor, value->denominator);
    result.numerator_ = {{Monomial{rest, negative, {}}, Rational::of(factor, value->denominator)}};
    return result;
  }
  if (negative && degree % 2 == 0)
    throw BeyondExact();
  const auto a = whole_root(top, degree);
  const auto b = whole_root(value->denominator, degree);
  if (a && b)
    return number(negative ? -*a : *a, *b);
  // An irrational root of a higher degree is a letter of its own; "root" names it by its content.
  return number(negative ? -1 : 1) *
         letter(fmt::format("root {} of {}/{}", degree, digits(top), digits(value->denominator)));
}

bool ExactValue::equals(const ExactValue& other) const {
  return product_of(numerator_, other.denominator_) == product_of(other.numerator_, denominator_);
}

}  // namespace dlm
