// SPDX-License-Identifier: Apache-2.0
// Further special functions in double, for host and device code: the normal distribution, the
// incomplete gamma functions, Hurwitz's zeta function and Bessel functions. Sources: Abramowitz and
// Stegun, 1964; Temme, "The asymptotic expansion of the incomplete gamma functions", SIAM J. Math.
// Anal. 10, 1979. The Chebyshev series were computed for this file with 50 digits.
#pragma once

#include "rutile/kernels/special_math.h"

namespace rutile::kernels::special {

inline constexpr double kSqrt2 = 1.41421356237309504880;
inline constexpr double kRootOf2Pi = 2.50662827463100050242;

// ---- The normal distribution --------------------------------------------------------------------

// exp(x^2) erfc(x): below 2 the product, x^2 in two parts; above it the continued fraction.
RUTILE_FN double erfcx(double x) {
  if (x != x) return x;
  const double a = __builtin_fabs(x), near = __builtin_floor(a * 16) / 16;
  const double square = __builtin_exp(near * near) * __builtin_exp((a - near) * (a + near));
  if (x < 2) return a < 27 ? square * __builtin_erfc(x) : infinity();
  if (x > 1e8) return 1 / (x * 1.77245385090551602730);
  double t = x;
  for (int k = static_cast<int>(12 + 480 / (x * x)); k > 0; --k) t = x + 0.5 * k / t;
  return 1 / (t * 1.77245385090551602730);
}
RUTILE_FN double ndtr(double x) { return 0.5 * __builtin_erfc(-x / kSqrt2); }
RUTILE_FN double log_ndtr(double x) {
  if (x < -1) return __builtin_log(0.5 * erfcx(-x / kSqrt2)) - 0.5 * x * x;
  return __builtin_log1p(-0.5 * __builtin_erfc(x / kSqrt2));
}
// The inverse of ndtr: a rational start (Abramowitz and Stegun 26.2.23), then Newton's method on
// log_ndtr, which is nearly a parabola there.
RUTILE_FN double ndtri(double p) {
  if (!(p > 0 && p < 1)) return p == 0 ? -infinity() : p == 1 ? infinity() : nan();
  if (__builtin_fabs(p - 0.5) < 0.3) return kSqrt2 * erfinv(2 * p - 1);
  const double q = p < 0.5 ? p : 1 - p, log_q = __builtin_log(q);
  const double t = __builtin_sqrt(-2 * log_q);
  double x = ((0.010328 * t + 0.802853) * t + 2.515517) /
                 (((0.001308 * t + 0.189269) * t + 1.432788) * t + 1) -
             t;
  for (int i = 0; i < 3; ++i) {
    const double slope = 2 / (kRootOf2Pi * erfcx(-x / kSqrt2));
    x -= (log_ndtr(x) - log_q) / slope;
  }
  return p < 0.5 ? x : -x;
}

// ---- Incomplete gamma functions -----------------------------------------------------------------

// log(1 + u) - u for |u| < 1.
RUTILE_FN double log1p_minus(double u) {
  if (__builtin_fabs(u) > 0.5) return __builtin_log1p(u) - u;
  const double r = u / (2 + u), s = r * r;
  double sum = 0;
  for (int k = 35; k >= 3; k -= 2) sum = sum * s + 1.0 / k;
  return 2 * r * s * sum - r * u;
}
// log(gamma(1 + a)) for small a > 0.
RUTILE_FN double lgamma_1p(double a) {
  if (a > 0.1) return lgamma(1 + a);
  constexpr double kZeta[] = {1.6449340668482264, 1.2020569031595943, 1.0823232337111382,
                              1.0369277551433699, 1.0173430619844491, 1.0083492773819228,
                              1.0040773561979443, 1.0020083928260822, 1.0009945751278181,
                              1.0004941886041195, 1.0002460865533080, 1.0001227133475785};
  double sum = 0;
  for (int k = 13; k >= 2; --k) sum = kZeta[k - 2] / k - a * sum;
  return a * (a * sum - 0.57721566490153286061);
}
// x^a exp(-x) / gamma(a + 1); with Stirling's series where a is large and x near it.
RUTILE_FN double gamma_front(double a, double x) {
  const double u = (x - a) / a;
  if (a < 10 || !(__builtin_fabs(u) < 0.7)) {
    return __builtin_exp(a * __builtin_log(x) - x - lgamma(a + 1));
  }
  const double z = 1 / (a * a);
  double s = 1.0 / 1188 - z * (691.0 / 360360 - z / 156);
  s = 1.0 / 12 - z * (1.0 / 360 - z * (1.0 / 1260 - z * (1.0 / 1680 - z * s)));
  return __builtin_exp(a * log1p_minus(u) - s / a) / (kRootOf2Pi * __builtin_sqrt(a));
}
// For a > 1e6: Temme's uniform expansion; lower: its lower half.
RUTILE_FN double gamma_uniform(double a, double x, bool lower) {
  const double u = (x - a) / a, half = u > 1 ? infinity() : -log1p_minus(u > -1 ? u : -1.0);
  const double sign = u < 0 ? -1 : 1;
  if (!(a * half < 800)) return (sign < 0) == lower ? 0.0 : 1.0;
  const double eta = sign * __builtin_sqrt(2 * half);
  const double c0 =
      -1.0 / 3 +
      eta * (1.0 / 12 + eta * (-2.0 / 135 + eta * (1.0 / 864 + eta * (3.527336860670194e-4 +
                                                                      eta * -1.7875514403292e-4))));
  const double c1 = -1.0 / 540 + eta * (-1.0 / 288 + eta * 2.6455026455026455e-3);
  const double r = __builtin_exp(-a * half) / (kRootOf2Pi * __builtin_sqrt(a)) * (c0 + c1 / a);
  const double z = eta * __builtin_sqrt(a / 2);
  return lower ? 0.5 * __builtin_erfc(-z) - r : 0.5 * __builtin_erfc(z) + r;
}
// Power series of the lower function; few terms, or a number of the order of sqrt(a).
RUTILE_FN double gamma_lower_series(double a, double x) {
  double sum = 1, term = 1, n = a;
  for (int i = 0; i < 20000 && term > sum * 1e-17; ++i) {
    n += 1;
    term *= x / n;
    sum += term;
  }
  return gamma_front(a, x) * sum;
}
// The upper function for small x, without the cancellation of 1 - lower.
RUTILE_FN double gamma_upper_series(double a, double x) {
  double sum = 0, factor = 1;
  for (int n = 1; n < 100; ++n) {
    factor *= -x / n;
    const double term = factor / (a + n);
    sum += term;
    if (__builtin_fabs(term) <= __builtin_fabs(sum) * 1e-17) break;
  }
  const double log_x = __builtin_log(x), e = a * log_x - lgamma_1p(a);
  return -__builtin_expm1(e) - a * __builtin_exp(e) * sum;
}
// Continued fraction of the upper function for x > a (Lentz's method).
RUTILE_FN double gamma_upper_fraction(double a, double x) {
  constexpr double kTiny = 1e-300;
  double b = x + 1 - a, c = 1 / kTiny, d = 1 / b, h = d;
  for (int i = 1; i < 20000; ++i) {
    const double an = -i * (i - a);
    b += 2;
    d = an * d + b;
    if (__builtin_fabs(d) < kTiny) d = kTiny;
    c = b + an / c;
    if (__builtin_fabs(c) < kTiny) c = kTiny;
    d = 1 / d;
    const double step = d * c;
    h *= step;
    if (__builtin_fabs(step - 1) < 1e-16) break;
  }
  return a * gamma_front(a, x) * h;
}
// The edges that both have; true with the value of the lower function.
RUTILE_FN bool gamma_edge(double a, double x, double* lower) {
  *lower = nan();
  if (a != a || x != x || a < 0 || x < 0) return true;
  if (a == 0) {
    if (x > 0) *lower = 1;
    return true;
  }
  if (x == 0) return *lower = 0, true;
  if (a == infinity()) {
    if (x != a) *lower = 0;
    return true;
  }
  return x == infinity() ? (*lower = 1, true) : false;
}
RUTILE_FN double igammac_inside(double a, double x);
// The regularised lower and upper incomplete gamma functions; NaN for negative a or x.
RUTILE_FN double igamma(double a, double x) {
  double y = 0;
  if (gamma_edge(a, x, &y)) return y;
  if (a > 1e6) return gamma_uniform(a, x, true);
  return x > 1 && x > a ? 1 - igammac_inside(a, x) : gamma_lower_series(a, x);
}
RUTILE_FN double igammac_inside(double a, double x) {
  if (a > 1e6) return gamma_uniform(a, x, false);
  const double bound = x <= 0.5 ? -0.4 / __builtin_log(x) : x <= 1.1 ? 1.1 * x : x;
  if (x <= 1.1) return a > bound ? 1 - gamma_lower_series(a, x) : gamma_upper_series(a, x);
  return x < a ? 1 - gamma_lower_series(a, x) : gamma_upper_fraction(a, x);
}
RUTILE_FN double igammac(double a, double x) {
  double y = 0;
  return gamma_edge(a, x, &y) ? 1 - y : igammac_inside(a, x);
}

// The derivative of gamma_uniform(a, x, true) by a.
RUTILE_FN double gamma_uniform_slope(double a, double x) {
  const double u = (x - a) / a, half = u > 1 ? infinity() : -log1p_minus(u > -1 ? u : -1.0);
  if (!(a * half < 800)) return 0;
  const double eta = (u < 0 ? -1 : 1) * __builtin_sqrt(2 * half), log_1u = __builtin_log1p(u);
  const double near = __builtin_fabs(eta) < 1e-4;
  const double by_eta = near ? 1 - eta / 6 : log_1u / eta, u_by_eta = near ? 1 + eta / 3 : u / eta;
  const double c0 = -1.0 / 3 + eta * (1.0 / 12 + eta * (-2.0 / 135 + eta * (1.0 / 864)));
  const double slope0 = 1.0 / 12 + eta * (-4.0 / 135 + eta * (1.0 / 288));
  const double sum = by_eta + c0 * (log_1u - 0.5 / a) - slope0 * u_by_eta / a;
  return -__builtin_exp(-a * half) / (kRootOf2Pi * __builtin_sqrt(a)) * sum;
}
// That of gamma_lower_series: each term of the sum has its own.
RUTILE_FN double gamma_series_slope(double a, double x) {
  double sum = 1, term = 1, slope = 0, inverses = 0, n = a;
  for (int i = 0; i < 20000 && term * (1 + inverses) > sum * 1e-17; ++i) {
    n += 1;
    term *= x / n;
    inverses += 1 / n;
    sum += term;
    slope -= term * inverses;
  }
  return gamma_front(a, x) * ((__builtin_log(x) - digamma(a + 1)) * sum + slope);
}
// That of gamma_upper_fraction, with a derivative beside each number of Lentz's method.
RUTILE_FN double gamma_fraction_slope(double a, double x) {
  constexpr double kTiny = 1e-300;
  double b = x + 1 - a, c = 1 / kTiny, d = 1 / b, h = d;
  double dc = 0, dd = d * d, dh = dd;  // db = -1
  for (int i = 1; i < 20000; ++i) {
    const double an = -i * (i - a), dan = i;
    b += 2;
    dd = dan * d + an * dd - 1;
    d = an * d + b;
    if (__builtin_fabs(d) < kTiny) d = kTiny;
    dc = (dan - an / c * dc) / c - 1;
    c = b + an / c;
    if (__builtin_fabs(c) < kTiny) c = kTiny;
    d = 1 / d;
    dd *= -d * d;
    const double step = d * c, dstep = dd * c + d * dc, before = dh;
    dh = dh * step + h * dstep;
    h *= step;
    if (__builtin_fabs(step - 1) < 1e-16 &&
        __builtin_fabs(dh - before) <= 1e-16 * __builtin_fabs(dh)) {
      break;
    }
  }
  const double front = gamma_front(a, x);
  return front * (h + a * ((__builtin_log(x) - digamma(a + 1)) * h + dh));
}
// The derivative of igamma by a.
RUTILE_FN double igamma_slope(double a, double x) {
  if (a != a || x != x || a < 0 || x < 0 || (a == 0 && x == 0)) return nan();
  if (x == 0 || a == infinity() || x == infinity()) return 0;
  if (a > 1e6) return gamma_uniform_slope(a, x);
  return x > 1 && x > a ? -gamma_fraction_slope(a, x) : gamma_series_slope(a, x);
}

// ---- Hurwitz's zeta function --------------------------------------------------------------------

// The sum of (q + k)^-x over k >= 0; x below 1 gives NaN, as does a power of a negative number that
// is none.
RUTILE_FN double zeta(double x, double q) {
  if (x != x || q != q || x < 1) return nan();
  if (x == 1) return infinity();
  const double down = __builtin_floor(q);
  if (q == infinity()) return 0;
  if (q > 0) return zeta_positive(x, q);
  if (q == down) return infinity();
  if (x != __builtin_floor(x)) return nan();
  const bool odd = __builtin_fmod(x, 2) != 0;
  const double below = zeta_positive(x, 1 - (q - down)) - zeta_positive(x, 1 - q);
  return zeta_positive(x, q - down) + (odd ? -below : below);
}

// ---- Others -------------------------------------------------------------------------------------

RUTILE_FN double entr(double x) {
  if (x > 0) return -x * __builtin_log(x);
  return x == 0 ? 0.0 : x < 0 ? -infinity() : x;
}
// x = mantissa * 2^exponent, 0.5 <= |mantissa| < 1.
RUTILE_FN double frexp(double x, bool exponent) {
  int e = 0;
  const double m = __builtin_fabs(x) < infinity() ? __builtin_frexp(x, &e) : x;
  return exponent ? e : m;
}

// ---- Bessel functions ---------------------------------------------------------------------------

RUTILE_FN double bessel_j0(double x) { return __builtin_j0(x); }
RUTILE_FN double bessel_j1(double x) { return __builtin_j1(x); }
RUTILE_FN double bessel_y0(double x) {
  return x < 0 ? nan() : x == 0 ? -infinity() : __builtin_y0(x);
}
RUTILE_FN double bessel_y1(double x) {
  return x < 0 ? nan() : x == 0 ? -infinity() : __builtin_y1(x);
}

// exp(x) K0(x) and exp(x) K1(x) above 2.
RUTILE_FN double k0e_far(double x) {
  constexpr double kFar[] = {
      -1.6475805939842632e-17, 5.2103917776435543e-17, -1.6782311257549006e-16,
      5.5120559994043335e-16,  -1.848593377920907e-15, 6.340076476276646e-15,
      -2.2275133267462965e-14, 8.032890775068375e-14,  -2.9800969231481784e-13,
      1.1403405882073441e-12,  -4.514597883374519e-12, 1.8559491149549264e-11,
      -7.957489244477396e-11,  3.5773972814003283e-10, -1.6975345093890614e-09,
      8.574034017414225e-09,   -4.660489897687948e-08, 2.766813639445015e-07,
      -1.8317555227191195e-06, 1.39498137188765e-05,   -0.00012849549581627802,
      0.0015698838857300533,   -0.0314481013119645,    2.4403030820659555};
  return chebyshev(8 / x - 2, kFar) / __builtin_sqrt(x);
}
RUTILE_FN double k1e_far(double x) {
  constexpr double kFar[] = {
      1.7940510478863572e-17,  -5.689462849193648e-17,  1.8380935752430455e-16,
      -6.057047270643018e-16,  2.038703166239861e-15,   -7.0198370892147685e-15,
      2.4771544242195988e-14,  -8.976705182010146e-14,  3.348419666052243e-13,
      -1.2891739609498229e-12, 5.139639673482343e-12,   -2.129967838427791e-11,
      9.218315187605315e-11,   -4.1903547593419254e-10, 2.0150497551970347e-09,
      -1.0345762465678097e-08, 5.7410841254500495e-08,  -3.5019606030878126e-07,
      2.406484947837217e-06,   -1.936197974166083e-05,  0.00019521551847135162,
      -0.002857816859622779,   0.10392373657681724,     2.7206261904844427};
  return chebyshev(8 / x - 2, kFar) / __builtin_sqrt(x);
}
// The same functions up to 2.
RUTILE_FN double k0_near(double x) {
  constexpr double kNear[] = {
      1.3744654358807508e-16, 4.2598161427910826e-14, 1.0349695257633625e-11, 1.904516377220209e-09,
      2.5347910790261494e-07, 2.286212103119452e-05,  0.001264615411446926,   0.0359799365153615,
      0.3442898999246285,     -0.5353273932339028};
  return chebyshev(x * x - 2, kNear) - __builtin_log(x / 2) * i0(x);
}
RUTILE_FN double k1_near(double x) {
  constexpr double kNear[] = {
      -7.023863479386288e-18,  -2.427449850519366e-15, -6.666901694199329e-13,
      -1.4114883926335278e-10, -2.213387630734726e-08, -2.4334061415659684e-06,
      -0.0001730288957513052,  -0.006975723859639864,  -0.12261118082265715,
      -0.3531559607765449,     1.5253002273389478};
  return chebyshev(x * x - 2, kNear) / x + __builtin_log(x / 2) * i1(x);
}
// Modified Bessel functions of the second kind, of order 0 and 1, and those times exp(x).
RUTILE_FN double k0(double x) {
  if (!(x > 0)) return x == 0 ? infinity() : nan();
  return x <= 2 ? k0_near(x) : __builtin_exp(-x) * k0e_far(x);
}
RUTILE_FN double k1(double x) {
  if (!(x > 0)) return x == 0 ? infinity() : nan();
  return x <= 2 ? k1_near(x) : __builtin_exp(-x) * k1e_far(x);
}
RUTILE_FN double k0e(double x) {
  if (!(x > 0)) return x == 0 ? infinity() : nan();
  return x <= 2 ? __builtin_exp(x) * k0_near(x) : k0e_far(x);
}
RUTILE_FN double k1e(double x) {
  if (!(x > 0)) return x == 0 ? infinity() : nan();
  return x <= 2 ? __builtin_exp(x) * k1_near(x) : k1e_far(x);
}

}  // namespace rutile::kernels::special
