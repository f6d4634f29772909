// SPDX-License-Identifier: Apache-2.0
// Vectorised functions of f32 against libm in double: units in the last place over all magnitudes,
// and the same edges.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "rutile/ops/elementwise.h"
#include "rutile/ops/special.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

// Every 4,999th float, both signs, subnormal ones too, and what functions treat apart.
std::vector<float> floats() {
  std::vector<float> all{0.0f, -0.0f, kInf, -kInf, std::nanf(""), 1.0f, -1.0f, 0.5f, -0.5f, 2.0f};
  for (uint32_t bits = 1; bits < 0x7f800000u; bits += 4999) {
    all.push_back(std::bit_cast<float>(bits));
    all.push_back(-all.back());
  }
  return all;
}

double ulps(float got, double want) {
  const auto rounded = static_cast<float>(want);
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) == std::isnan(got) ? 0 : 1e9;
  if (std::isinf(rounded) || std::isinf(got)) {
    const bool edge = std::fabs(want) > 3.402823e38 && std::fabs(want) < 3.40283e38;
    return rounded == got || edge ? 0 : 1e9;
  }
  if (rounded == 0 && got == 0) return std::signbit(rounded) == std::signbit(got) ? 0 : 1e9;
  int e = 0;
  std::frexp(want, &e);
  return std::fabs(got - want) / std::ldexp(1.0, std::max(e - 24, -149));
}

struct Case {
  const char* name;
  Tensor (*run)(Arg);
  double (*libm)(double);
  double bound;
};

class FastMath : public ::testing::TestWithParam<Case> {};

TEST_P(FastMath, IsLibmUpToSomeUlps) {
  const Case& c = GetParam();
  const std::vector<float> x = floats();
  const std::vector<float> y =
      c.run(Tensor::from<float>(x, {static_cast<int64_t>(x.size())})).to_vector<float>();
  double worst = 0;
  float where = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double d = ulps(y[i], c.libm(x[i]));
    if (d > worst) worst = d, where = x[i];
  }
  EXPECT_LE(worst, c.bound) << c.name << "(" << where << ")";
}

INSTANTIATE_TEST_SUITE_P(
    Unary, FastMath,
    ::testing::Values(Case{"sin", ops::sin, std::sin, 1.5}, Case{"cos", ops::cos, std::cos, 1.5},
                      Case{"tan", ops::tan, std::tan, 4}, Case{"asin", ops::asin, std::asin, 3},
                      Case{"acos", ops::acos, std::acos, 2}, Case{"atan", ops::atan, std::atan, 2},
                      Case{"sinh", ops::sinh, std::sinh, 3}, Case{"cosh", ops::cosh, std::cosh, 3},
                      Case{"asinh", ops::asinh, std::asinh, 4},
                      Case{"acosh", ops::acosh, std::acosh, 4},
                      Case{"atanh", ops::atanh, std::atanh, 4}, Case{"exp", ops::exp, std::exp, 2},
                      Case{"log", ops::log, std::log, 2}, Case{"erfc", ops::erfc, std::erfc, 3},
                      Case{"log10", ops::log10, std::log10, 1},
                      Case{"tanh", ops::tanh, std::tanh, 3}),
    [](const auto& info) { return std::string(info.param.name); });

// All pairs of edges, and powers of all magnitudes.
TEST(FastMath2, PowAtan2AndHypotAreLibmUpToSomeUlps) {
  const std::vector<float> edges{0.0f,   -0.0f,         1.0f,        -1.0f,     0.5f,   -0.5f,
                                 2.0f,   -2.0f,         3.0f,        -3.0f,     2.5f,   -2.5f,
                                 1e-40f, -1e-40f,       16777215.0f, 1e30f,     -1e30f, kInf,
                                 -kInf,  std::nanf(""), 0.99999994f, 1.0000001f};
  std::vector<float> a, b;
  for (const float x : edges) {
    for (const float y : edges) a.push_back(x), b.push_back(y);
  }
  for (int i = 0; i < 200000; ++i) {
    const double magnitude = std::sin(i * 0.731) * 40;
    a.push_back(static_cast<float>(std::exp2(magnitude)));
    b.push_back(
        static_cast<float>(std::cos(i * 1.377) * 130 / std::max(std::fabs(magnitude), 1.0)));
  }
  const Shape n{static_cast<int64_t>(a.size())};
  const Tensor x = Tensor::from<float>(a, n), y = Tensor::from<float>(b, n);
  const std::vector<float> power = ops::pow(x, y).to_vector<float>();
  const std::vector<float> size = ops::hypot(x, y).to_vector<float>();
  const std::vector<float> angle = ops::atan2(x, y).to_vector<float>();
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_LE(ulps(power[i], std::pow(static_cast<double>(a[i]), b[i])), 2)
        << "pow(" << a[i] << ", " << b[i] << ") = " << power[i];
    ASSERT_LE(ulps(size[i], std::hypot(static_cast<double>(a[i]), b[i])), 1)
        << "hypot(" << a[i] << ", " << b[i] << ") = " << size[i];
    ASSERT_LE(ulps(angle[i], std::atan2(static_cast<double>(a[i]), b[i])), 3)
        << "atan2(" << a[i] << ", " << b[i] << ") = " << angle[i];
  }
}

// Exactly libm's, by any quotient: those that are small, and those that are not.
TEST(FastMath2, RemaindersAreExact) {
  std::vector<float> a, b;
  for (int i = 0; i < 100000; ++i) {
    const double divisor = std::exp2(std::sin(i * 0.731) * 30) * (i % 3 ? 1 : -1);
    const double quotient = i % 64 < 60 ? std::cos(i * 1.377) * 1000 : std::exp2(i % 90);
    b.push_back(static_cast<float>(divisor));
    a.push_back(i % 5 ? static_cast<float>(divisor * quotient)
                      : static_cast<float>(i % 97) * b.back());
  }
  for (const float x : {0.0f, -0.0f, 1.0f, -7.0f, 1e-40f, kInf, std::nanf("")}) {
    for (const float y : {0.0f, -0.0f, 3.0f, -3.0f, 1e-40f, kInf, -kInf, std::nanf("")}) {
      a.push_back(x), b.push_back(y);
    }
  }
  const Shape n{static_cast<int64_t>(a.size())};
  const Tensor x = Tensor::from<float>(a, n), y = Tensor::from<float>(b, n);
  const std::vector<float> rest = ops::fmod(x, y).to_vector<float>();
  const std::vector<float> python = ops::remainder(x, y).to_vector<float>();
  const std::vector<float> quotient = ops::floor_div(x, y).to_vector<float>();
  for (size_t i = 0; i < a.size(); ++i) {
    const float want = std::fmod(a[i], b[i]);
    ASSERT_EQ(ulps(rest[i], want), 0) << "fmod(" << a[i] << ", " << b[i] << ") = " << rest[i];
    const float shifted = want != 0 && (b[i] < 0) != (want < 0) ? want + b[i] : want;
    ASSERT_EQ(ulps(python[i], shifted), 0) << "remainder(" << a[i] << ", " << b[i] << ")";
    const double floor = std::floor(static_cast<double>(a[i]) / b[i]);
    if (std::fabs(floor) < 0x1p22 && b[i] != 0 && std::isfinite(b[i])) {
      ASSERT_EQ(quotient[i], static_cast<float>(floor)) << a[i] << " // " << b[i];
    }
  }
}

}  // namespace
}  // namespace rutile
