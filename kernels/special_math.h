// SPDX-License-Identifier: Apache-2.0
// Special functions in double, for host and device code. Sources: Abramowitz and Stegun, "Handbook
// of mathematical functions", 1964; the Chebyshev series are those of Moshier's Cephes library.
#pragma once

#include <cmath>
#include <cstdint>

#include "rutile/kernels/inline.h"

namespace rutile::kernels::special {

inline constexpr double kPi = 3.14159265358979323846;

RUTILE_FN double infinity() { return __builtin_inf(); }
RUTILE_FN double nan() { return __builtin_nan(""); }

// log |gamma(x)|; the sign that libm stores globally goes nowhere.
RUTILE_FN double lgamma(double x) {
#if defined(__CUDA_ARCH__)
  return ::lgamma(x);
#else
  int sign = 0;
  return __builtin_lgamma_r(x, &sign);
#endif
}

// psi(x) for x > 0: recurrence up to 10, then the asymptotic series.
RUTILE_FN double digamma_positive(double x) {
  double y = 0;
  while (x < 10) {
    y -= 1 / x;
    x += 1;
  }
  const double z = 1 / (x * x);
  double p = 1.0 / 12;
  p = p * z - 691.0 / 32760;
  p = p * z + 1.0 / 132;
  p = p * z - 1.0 / 240;
  p = p * z + 1.0 / 252;
  p = p * z - 1.0 / 120;
  p = p * z + 1.0 / 12;
  return y + __builtin_log(x) - 0.5 / x - z * p;
}
// The derivative of lgamma; -+inf at +-0, NaN at the other poles.
RUTILE_FN double digamma(double x) {
  if (x == 0) return __builtin_copysign(infinity(), -x);
  if (!(x < 0)) return digamma_positive(x);
  const double whole = __builtin_trunc(x);
  if (x == whole) return nan();
  return digamma_positive(1 - x) - kPi / __builtin_tan(kPi * (x - whole));
}

// Hurwitz's zeta function for x > 1 and q > 0: terms, then Euler and Maclaurin's formula.
RUTILE_FN double zeta_positive(double x, double q) {
  double sum = 0;
  for (int i = 0; i < 9 || q <= 9; ++i) {
    sum += __builtin_pow(q, -x);
    q += 1;
  }
  const double last = __builtin_pow(q, -x);
  if (last == 0) return sum;
  sum += last * q / (x - 1) + 0.5 * last;
  // (2k)! / B_2k
  constexpr double kBernoulli[] = {12,
                                   -720,
                                   30240,
                                   -1209600,
                                   47900160,
                                   -1.8924375803183791606e9,
                                   7.47242496e10,
                                   -2.950130727918164224e12,
                                   1.1646782814350067249e14,
                                   -4.5979787224074726105e15};
  double factor = x, power = last / q;
  for (int k = 0; k < 10; ++k) {
    sum += factor * power / kBernoulli[k];
    factor *= (x + 2 * k + 1) * (x + 2 * k + 2);
    power /= q * q;
  }
  return sum;
}
// The n-th derivative of digamma, n >= 1.
RUTILE_FN double polygamma_above_0(int n, double x) {
  if (!(__builtin_fabs(x) < infinity())) return x > 0 ? 0.0 : nan();
  const double s = n + 1, down = __builtin_floor(x);
  double sum = 0;
  if (x > 0) {
    sum = zeta_positive(s, x);
  } else if (x == down) {
    sum = infinity();
  } else {  // the terms below zero are those of two series above it
    const double below = zeta_positive(s, 1 - (x - down)) - zeta_positive(s, 1 - x);
    sum = zeta_positive(s, x - down) + (n & 1 ? below : -below);
  }
  double factorial = 1;
  for (int k = 2; k <= n && factorial < infinity(); ++k) factorial *= k;
  return (n & 1 ? factorial : -factorial) * sum;
}
RUTILE_FN double polygamma(int n, double x) {
  return n == 0 ? digamma(x) : polygamma_above_0(n, x);
}

// Inverse error function: a rational start (that of Pavlis), then Newton's method.
RUTILE_FN double erfinv(double y) {
  const double a = __builtin_fabs(y);
  if (!(a < 1)) return a == 1 ? __builtin_copysign(infinity(), y) : nan();
  double x = 0;
  if (a <= 0.7) {
    const double z = y * y;
    const double above = ((-0.140543331 * z + 0.914624893) * z - 1.645349621) * z + 0.886226899;
    const double below =
        (((0.012229801 * z - 0.329097515) * z + 1.442710462) * z - 2.118377725) * z + 1;
    x = y * above / below;
  } else {
    const double z = __builtin_sqrt(-__builtin_log((1 - a) / 2));
    const double above = ((1.641345311 * z + 3.429567803) * z - 1.624906493) * z - 1.970840454;
    x = __builtin_copysign(above, y) / ((1.637067800 * z + 3.543889200) * z + 1);
  }
  constexpr double kSlope = 1.12837916709551257390;  // of erf at 0
  for (int i = 0; i < 2; ++i) {
    x -= (__builtin_erf(x) - y) / (kSlope * __builtin_exp(-x * x));
  }
  return x;
}

// Coefficients of a Chebyshev series, the highest first.
template <int kTerms>
struct Series {
  double c[kTerms];
  // The last ones: what less precision needs.
  template <int kLast>
  constexpr Series<kLast> last() const {
    Series<kLast> r{};
    for (int i = 0; i < kLast; ++i) r.c[i] = c[kTerms - kLast + i];
    return r;
  }
};

// Its value at x / 2, by Clenshaw's rule.
template <int kTerms>
RUTILE_FN double chebyshev(double x, const double (&c)[kTerms]) {
  double b0 = c[0], b1 = 0, b2 = 0;
  for (int i = 1; i < kTerms; ++i) {
    b2 = b1;
    b1 = b0;
    b0 = x * b1 - b2 + c[i];
  }
  return 0.5 * (b0 - b2);
}

// exp(-|x|) times the modified Bessel functions of the first kind, of order 0 and 1: over x / 2 - 2
// up to 8, over 32 / x - 2 and divided by sqrt(x) above it.
inline constexpr Series<30> kI0eNear = {
    {-4.4153416464793395e-18, 3.3307945188222384e-17,  -2.431279846547955e-16,
     1.715391285555133e-15,   -1.1685332877993451e-14, 7.676185498604936e-14,
     -4.856446783111929e-13,  2.95505266312964e-12,    -1.726826291441556e-11,
     9.675809035373237e-11,   -5.189795601635263e-10,  2.6598237246823866e-09,
     -1.300025009986248e-08,  6.046995022541919e-08,   -2.670793853940612e-07,
     1.1173875391201037e-06,  -4.4167383584587505e-06, 1.6448448070728896e-05,
     -5.754195010082104e-05,  0.00018850288509584165,  -0.0005763755745385824,
     0.0016394756169413357,   -0.004324309995050576,   0.010546460394594998,
     -0.02373741480589947,    0.04930528423967071,     -0.09490109704804764,
     0.17162090152220877,     -0.3046826723431984,     0.6767952744094761}};
inline constexpr Series<25> kI0eFar = {
    {-7.233180487874754e-18,  -4.830504485944182e-18,  4.46562142029676e-17,
     3.461222867697461e-17,   -2.8276239805165836e-16, -3.425485619677219e-16,
     1.7725601330565263e-15,  3.8116806693526224e-15,  -9.554846698828307e-15,
     -4.150569347287222e-14,  1.54008621752141e-14,    3.8527783827421426e-13,
     7.180124451383666e-13,   -1.7941785315068062e-12, -1.3215811840447713e-11,
     -3.1499165279632416e-11, 1.1889147107846439e-11,  4.94060238822497e-10,
     3.3962320257083865e-09,  2.266668990498178e-08,   2.0489185894690638e-07,
     2.8913705208347567e-06,  6.889758346916825e-05,   0.0033691164782556943,
     0.8044904110141088}};
inline constexpr Series<29> kI1eNear = {
    {2.7779141127610464e-18,  -2.111421214358166e-17,  1.5536319577362005e-16,
     -1.1055969477353862e-15, 7.600684294735408e-15,   -5.042185504727912e-14,
     3.223793365945575e-13,   -1.9839743977649436e-12, 1.1736186298890901e-11,
     -6.663489723502027e-11,  3.625590281552117e-10,   -1.8872497517228294e-09,
     9.381537386495773e-09,   -4.445059128796328e-08,  2.0032947535521353e-07,
     -8.568720264695455e-07,  3.4702513081376785e-06,  -1.3273163656039436e-05,
     4.781565107550054e-05,   -0.00016176081582589674, 0.0005122859561685758,
     -0.0015135724506312532,  0.004156422944312888,    -0.010564084894626197,
     0.024726449030626516,    -0.05294598120809499,    0.1026436586898471,
     -0.17641651835783406,    0.25258718644363365}};
inline constexpr Series<25> kI1eFar = {
    {7.517296310842105e-18,   4.414348323071708e-18,   -4.6503053684893586e-17,
     -3.209525921993424e-17,  2.96262899764595e-16,    3.3082023109209285e-16,
     -1.8803547755107825e-15, -3.8144030724370075e-15, 1.0420276984128802e-14,
     4.272440016711951e-14,   -2.1015418427726643e-14, -4.0835511110921974e-13,
     -7.198551776245908e-13,  2.0356285441470896e-12,  1.4125807436613782e-11,
     3.2526035830154884e-11,  -1.8974958123505413e-11, -5.589743462196584e-10,
     -3.835380385964237e-09,  -2.6314688468895196e-08, -2.512236237870209e-07,
     -3.882564808877691e-06,  -0.00011058893876262371, -0.009761097491361469,
     0.7785762350182801}};
RUTILE_FN double i0e(double x) {
  constexpr auto kNear = kI0eNear;
  constexpr auto kFar = kI0eFar;
  const double a = __builtin_fabs(x);
  if (a <= 8) return chebyshev(a / 2 - 2, kNear.c);
  return chebyshev(32 / a - 2, kFar.c) / __builtin_sqrt(a);
}
RUTILE_FN double i1e(double x) {
  constexpr auto kNear = kI1eNear;
  constexpr auto kFar = kI1eFar;
  const double a = __builtin_fabs(x);
  const double y = a <= 8 ? a * chebyshev(a / 2 - 2, kNear.c)
                          : chebyshev(32 / a - 2, kFar.c) / __builtin_sqrt(a);
  return x < 0 ? -y : y;
}
// The functions themselves.
RUTILE_FN double i0(double x) {
  const double a = __builtin_fabs(x);
  return a == infinity() ? a : __builtin_exp(a) * i0e(x);
}
RUTILE_FN double i1(double x) {
  const double a = __builtin_fabs(x);
  return a == infinity() ? x : __builtin_exp(a) * i1e(x);
}

}  // namespace rutile::kernels::special
