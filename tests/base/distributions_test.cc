#include <cmath>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "harness/base/stats.h"

// Expected values to 17 digits: mpmath at 30 digits (betainc, erfinv, findroot on the CDF).
namespace dlm {
namespace {

void expect_relative(double actual, double expected, double tolerance) {
  EXPECT_NEAR(actual / expected, 1, tolerance) << actual << " for " << expected;
}

TEST(IncompleteBeta, AgreesWithHighPrecisionValues) {
  expect_relative(incomplete_beta(2, 3, 0.4), 0.52480000000000004, 1e-13);
  expect_relative(incomplete_beta(0.5, 0.5, 0.1), 0.20483276469913346, 1e-13);
  expect_relative(incomplete_beta(10, 0.5, 0.9), 0.15164090963470997, 1e-13);
  expect_relative(incomplete_beta(50, 60, 0.45), 0.46423529143060363, 1e-12);
  expect_relative(incomplete_beta(500, 0.5, 0.999), 0.31731044730971715, 1e-12);
  expect_relative(incomplete_beta(0.1, 20, 0.01), 0.87812836850594983, 1e-13);
  expect_relative(incomplete_beta(3000, 2000, 0.61), 0.92584945028870167, 1e-12);
}

TEST(IncompleteBeta, HasItsClosedForms) {
  for (const double x : {0.0, 0.03, 0.25, 0.5, 0.77, 1.0}) {
    EXPECT_NEAR(incomplete_beta(1, 1, x), x, 1e-14);
    EXPECT_NEAR(incomplete_beta(4, 1, x), x * x * x * x, 1e-14);
    EXPECT_NEAR(incomplete_beta(2.5, 7.5, x) + incomplete_beta(7.5, 2.5, 1 - x), 1, 1e-13);
  }
}

TEST(IncompleteBeta, RefusesWhatItCannotCompute) {
  EXPECT_THROW(incomplete_beta(0, 1, 0.5), ConfigError);
  EXPECT_THROW(incomplete_beta(1, -1, 0.5), ConfigError);
  EXPECT_THROW(incomplete_beta(1, 1, 1.5), ConfigError);
  EXPECT_THROW(incomplete_beta(1, 1, std::nan("")), ConfigError);
}

TEST(StudentT, QuantilesAgreeWithHighPrecisionValues) {
  const struct {
    double degrees, at_975, at_995, at_600;
  } kRows[] = {
      {1, 12.706204736174693, 63.656741162871524, 0.32491969623290625},
      {2, 4.3026527297494618, 9.9248432009182886, 0.28867513459481282},
      {5, 2.5705818356363148, 4.0321429835552272, 0.26718086570414507},
      {30, 2.0422724563012379, 2.749995653567225, 0.25560536495191271},
      {1e6, 1.9599663568141067, 2.5758342201053338, 0.25334717053784162},
  };

  for (const auto& row : kRows) {
    expect_relative(student_t_quantile(0.975, row.degrees), row.at_975, 5e-11);
    expect_relative(student_t_quantile(0.995, row.degrees), row.at_995, 5e-11);
    expect_relative(student_t_quantile(0.6, row.degrees), row.at_600, 5e-11);
    expect_relative(student_t_quantile(0.025, row.degrees), -row.at_975, 5e-11);
  }
}

TEST(StudentT, CdfKeepsItsDigitsInTheTails) {
  expect_relative(student_t_cdf(-40, 3), 1.7190340394579264e-5, 1e-12);
  expect_relative(student_t_cdf(-5, 2.5), 0.011725594985430924, 1e-12);
  expect_relative(student_t_cdf(1.5, 7), 0.91135075650501498, 1e-13);
  expect_relative(student_t_cdf(-8, 1e6), 6.2275317166012598e-16, 1e-9);
  expect_relative(student_t_cdf(0.001, 4), 0.50037499992187502, 1e-13);
  EXPECT_EQ(student_t_cdf(0, 4), 0.5);
}

TEST(StudentT, RefusesProbabilitiesAndDegreesOutsideTheirRange) {
  EXPECT_THROW(student_t_quantile(0, 3), ConfigError);
  EXPECT_THROW(student_t_quantile(1, 3), ConfigError);
  EXPECT_THROW(student_t_quantile(0.5, 0), ConfigError);
  EXPECT_THROW(student_t_cdf(1, -2), ConfigError);
}

TEST(Normal, AgreesWithHighPrecisionValues) {
  expect_relative(normal_quantile(0.975), 1.9599639845400539, 1e-13);
  expect_relative(normal_quantile(0.995), 2.5758293035489005, 1e-13);
  expect_relative(normal_quantile(1e-10), -6.3613409024040562, 1e-13);
  expect_relative(normal_quantile(0.2), -0.84162123357291417, 1e-13);
  EXPECT_EQ(normal_quantile(0.5), 0);
  expect_relative(normal_cdf(-1.96), 0.024997895148220436, 1e-13);
  expect_relative(normal_cdf(-10), 7.6198530241605261e-24, 1e-12);
  expect_relative(normal_cdf(3), 0.99865010196836991, 1e-15);
}

}  // namespace
}  // namespace dlm
