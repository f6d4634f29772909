// SPDX-License-Identifier: Apache-2.0
// What the functors are made of: the C library's functions as a set that others can stand in for,
// and arithmetic on all element types that has a defined result for every value.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "rutile/kernels/special_more.h"

namespace rutile::kernels {

template <class T>
inline constexpr bool kIsFloat = std::is_floating_point_v<T>;

struct StdMath {
#define RUTILE_STD_MATH(name)    \
  template <class T>             \
  RUTILE_FN static T name(T x) { \
    return std::name(x);         \
  }
  RUTILE_STD_MATH(exp)
  RUTILE_STD_MATH(exp2)
  RUTILE_STD_MATH(expm1)
  RUTILE_STD_MATH(log)
  RUTILE_STD_MATH(log2)
  RUTILE_STD_MATH(log10)
  RUTILE_STD_MATH(log1p)
  RUTILE_STD_MATH(sqrt)
  RUTILE_STD_MATH(cbrt)
  RUTILE_STD_MATH(sin)
  RUTILE_STD_MATH(cos)
  RUTILE_STD_MATH(tan)
  RUTILE_STD_MATH(asin)
  RUTILE_STD_MATH(acos)
  RUTILE_STD_MATH(atan)
  RUTILE_STD_MATH(sinh)
  RUTILE_STD_MATH(cosh)
  RUTILE_STD_MATH(tanh)
  RUTILE_STD_MATH(asinh)
  RUTILE_STD_MATH(acosh)
  RUTILE_STD_MATH(atanh)
  RUTILE_STD_MATH(erf)
  RUTILE_STD_MATH(erfc)
  RUTILE_STD_MATH(floor)
  RUTILE_STD_MATH(ceil)
  RUTILE_STD_MATH(trunc)
#undef RUTILE_STD_MATH
  template <class T>
  RUTILE_FN static T round(T x) {  // half to even
    return std::nearbyint(x);
  }
  template <class T>
  RUTILE_FN static T pow(T x, T y) {
    return std::pow(x, y);
  }
  template <class T>
  RUTILE_FN static T fmod(T x, T y) {
    return std::fmod(x, y);
  }
  template <class T>
  RUTILE_FN static T atan2(T y, T x) {
    return std::atan2(y, x);
  }
  template <class T>
  RUTILE_FN static T hypot(T x, T y) {
    return std::hypot(x, y);
  }
  template <class T>
  RUTILE_FN static T nextafter(T x, T y) {
    return std::nextafter(x, y);
  }
};

namespace fn {

// Integer arithmetic that wraps.
template <class T>
using Wrapping = std::make_unsigned_t<std::conditional_t<sizeof(T) < 4, int32_t, T>>;
template <class T>
RUTILE_FN T add(T a, T b) {
  if constexpr (kIsFloat<T>) {
    return a + b;
  } else if constexpr (std::is_same_v<T, bool>) {
    return a | b;
  } else {
    return static_cast<T>(static_cast<Wrapping<T>>(a) + static_cast<Wrapping<T>>(b));
  }
}
template <class T>
RUTILE_FN T sub(T a, T b) {
  if constexpr (kIsFloat<T>) {
    return a - b;
  } else {
    return static_cast<T>(static_cast<Wrapping<T>>(a) - static_cast<Wrapping<T>>(b));
  }
}
template <class T>
RUTILE_FN T mul(T a, T b) {
  if constexpr (kIsFloat<T>) {
    return a * b;
  } else if constexpr (std::is_same_v<T, bool>) {
    return a & b;
  } else {
    return static_cast<T>(static_cast<Wrapping<T>>(a) * static_cast<Wrapping<T>>(b));
  }
}
template <class T>
RUTILE_FN T neg(T x) {
  if constexpr (kIsFloat<T>) {
    return -x;
  } else {
    return sub(T(0), x);
  }
}

// Python's: the quotient rounded down. A zero divisor gives 0 here; kernels report it.
template <class M, class T>
RUTILE_FN T floor_div(T a, T b) {
  if constexpr (kIsFloat<T>) {
    T rest = M::fmod(a, b);
    T q = (a - rest) / b;
    if (rest != 0 && (b < 0) != (rest < 0)) q -= T(1);
    T down = M::floor(q);
    if (q - down > T(0.5)) down += T(1);
    if (q == 0) down = T(0) * (a / b);  // a zero of its sign
    return b == 0 ? a / b : down;
  } else {
    if (b == T(0)) return T(0);
    if constexpr (std::is_signed_v<T>) {
      if constexpr (sizeof(T) == 8) {  // dividing doubles takes a fraction of the time
        constexpr uint64_t kExact = uint64_t{1} << 51;
        if (static_cast<uint64_t>(a) + kExact < 2 * kExact &&
            static_cast<uint64_t>(b) + kExact < 2 * kExact) {
          return static_cast<T>(__builtin_floor(static_cast<double>(a) / static_cast<double>(b)));
        }
      }
      if (b == T(-1)) return neg(a);  // the smallest number has no quotient by -1
      const T q = static_cast<T>(a / b);
      return (a % b != 0) && ((a < 0) != (b < 0)) ? static_cast<T>(q - 1) : q;
    } else {
      return static_cast<T>(a / b);
    }
  }
}
// a - b * floor_div(a, b): has the sign of b.
template <class M, class T>
RUTILE_FN T remainder(T a, T b) {
  if constexpr (kIsFloat<T>) {
    const T rest = M::fmod(a, b);
    return rest != 0 && (b < 0) != (rest < 0) ? rest + b : rest;
  } else {
    if (b == T(0)) return T(0);
    if constexpr (std::is_signed_v<T>) {
      if (b == T(-1)) return T(0);
      const T rest = static_cast<T>(a % b);
      return rest != 0 && ((b < 0) != (rest < 0)) ? static_cast<T>(rest + b) : rest;
    } else {
      return static_cast<T>(a % b);
    }
  }
}

// Integers: wraps; a negative power is 0 unless the base is 1 or -1.
template <class M, class T>
RUTILE_FN T power(T x, T y) {
  if constexpr (kIsFloat<T>) {
    return M::pow(x, y);
  } else {
    if constexpr (std::is_signed_v<T>) {
      if (y < 0) return x == 1 ? T(1) : x == T(-1) ? (y & 1 ? T(-1) : T(1)) : T(0);
    }
    T result = 1;
    for (; y != 0; y = static_cast<T>(y >> 1)) {
      if (y & 1) result = mul(result, x);
      x = mul(x, x);
    }
    return result;
  }
}

template <class T>
RUTILE_FN T bit_not(T x) {
  if constexpr (std::is_same_v<T, bool>) {
    return !x;
  } else {
    return static_cast<T>(~x);
  }
}

// NaN wins, as in NumPy.
template <class T>
RUTILE_FN T max(T a, T b) {
  return (a > b) | (a != a) ? a : b;
}
template <class T>
RUTILE_FN T min(T a, T b) {
  return (a < b) | (a != a) ? a : b;
}

template <class T>
RUTILE_FN T sign(T x) {
  if constexpr (std::is_unsigned_v<T>) {
    return x > T(0) ? T(1) : T(0);
  } else {
    return x > T(0) ? T(1) : x < T(0) ? T(-1) : x == T(0) ? T(0) : x;
  }
}
template <class T>
RUTILE_FN T abs(T x) {
  if constexpr (kIsFloat<T>) {
    return std::fabs(x);
  } else if constexpr (std::is_unsigned_v<T>) {
    return x;
  } else {
    return x < T(0) ? neg(x) : x;
  }
}
template <class T>
RUTILE_FN bool is_finite(T x) {
  if constexpr (kIsFloat<T>) {
    return x - x == T(0);
  } else {
    return true;
  }
}
template <class T>
RUTILE_FN bool is_inf(T x) {
  if constexpr (kIsFloat<T>) {
    return (x == x) & !(x - x == T(0));
  } else {
    return false;
  }
}

// Keeps NaN; upper end last, as in NumPy. Integer ranges shrink to the integers inside.
template <class T>
RUTILE_FN T bound(double v, bool lower) {
  if constexpr (kIsFloat<T>) {
    return static_cast<T>(v);
  } else {
    const double r = lower ? std::ceil(v) : std::floor(v);
    constexpr T kMin = std::is_signed_v<T> ? T(T(1) << (sizeof(T) * 8 - 1)) : T(0);
    constexpr T kMax = static_cast<T>(~kMin);
    if (r <= static_cast<double>(kMin)) return kMin;
    return r >= static_cast<double>(kMax) ? kMax : static_cast<T>(r);
  }
}
// Both values are computed: the compiler makes no branch of it, and vectors.
template <class T>
RUTILE_FN T choose(bool first, T x, T y) {
  return first ? x : y;
}
template <class T>
RUTILE_FN T clip(T x, T lo, T hi) {
  const T t = x < lo ? lo : x;
  return t > hi ? hi : t;
}

template <class M, class T>
RUTILE_FN T sigmoid(T x) {
  return T(1) / (T(1) + M::exp(-x));
}
template <class M, class T>
RUTILE_FN T softplus(T x) {
  return (x > T(0) ? x : x != x ? x : T(0)) + M::log1p(M::exp(-std::fabs(x)));
}
template <class M, class T>
RUTILE_FN T gelu_erf(T x) {
  return T(0.5) * x * (T(1) + M::erf(x * T(0.70710678118654752440)));
}
template <class M, class T>
RUTILE_FN T gelu_erf_grad(T dy, T x) {
  const T cdf = T(0.5) * (T(1) + M::erf(x * T(0.70710678118654752440)));
  const T density = T(0.39894228040143267794) * M::exp(T(-0.5) * x * x);
  return dy * (cdf + x * density);
}
template <class M, class T>
RUTILE_FN T gelu_tanh(T x) {
  const T u = T(0.79788456080286535588) * (x + T(0.044715) * x * x * x);
  return T(0.5) * x * (T(1) + M::tanh(u));
}
template <class M, class T>
RUTILE_FN T gelu_tanh_grad(T dy, T x) {
  const T u = T(0.79788456080286535588) * (x + T(0.044715) * x * x * x);
  const T du = T(0.79788456080286535588) * (T(1) + T(3 * 0.044715) * x * x);
  const T t = M::tanh(u);
  return dy * (T(0.5) * (T(1) + t) + T(0.5) * x * (T(1) - t * t) * du);
}
template <class M, class T>
RUTILE_FN T silu_grad(T dy, T x) {
  const T s = sigmoid<M>(x);
  return dy * s * (T(1) + x * (T(1) - s));
}
template <class T>
RUTILE_FN T hsigmoid(T x) {
  return clip(x + T(3), T(0), T(6)) * T(1.0 / 6);
}

// The quotient cut off, and what it leaves: has the sign of a. As above for a zero divisor.
template <class M, class T>
RUTILE_FN T trunc_div(T a, T b) {
  if constexpr (kIsFloat<T>) {
    return M::trunc(a / b);
  } else {
    if (b == T(0)) return T(0);
    if constexpr (std::is_signed_v<T>) {
      if (b == T(-1)) return neg(a);
    }
    return static_cast<T>(a / b);
  }
}
template <class M, class T>
RUTILE_FN T fmod(T a, T b) {
  if constexpr (kIsFloat<T>) {
    return M::fmod(a, b);
  } else {
    if (b == T(0)) return T(0);
    if constexpr (std::is_signed_v<T>) {
      if (b == T(-1)) return T(0);
    }
    return static_cast<T>(a % b);
  }
}

// Of |a| and |b|, as unsigned numbers: the smallest integer has an absolute value. Results wrap.
template <class T>
using Unsigned = Wrapping<std::conditional_t<std::is_same_v<T, bool>, uint8_t, T>>;
template <class T>
RUTILE_FN Unsigned<T> magnitude(T x) {
  const auto u = static_cast<Unsigned<T>>(x);
  return x < T(0) ? static_cast<Unsigned<T>>(Unsigned<T>(0) - u) : u;
}
template <class T>
RUTILE_FN Unsigned<T> common_divisor(T a, T b) {
  Unsigned<T> x = magnitude(a), y = magnitude(b);
  while (y != 0) {
    const Unsigned<T> rest = x % y;
    x = y;
    y = rest;
  }
  return x;
}
template <class T>
RUTILE_FN T gcd(T a, T b) {
  return static_cast<T>(common_divisor(a, b));
}
template <class T>
RUTILE_FN T lcm(T a, T b) {
  const Unsigned<T> d = common_divisor(a, b);
  return d == 0 ? T(0) : static_cast<T>(magnitude(a) / d * magnitude(b));
}
// By more bits than there are (or by a negative number): all are shifted out.
template <class T>
RUTILE_FN T shift_left(T a, T b) {
  constexpr int kBits = static_cast<int>(sizeof(T)) * 8;
  if constexpr (std::is_same_v<T, bool>) {
    return a & !b;
  } else {
    const bool inside = (b >= T(0)) & (b < T(kBits));
    return inside ? static_cast<T>(static_cast<Wrapping<T>>(a) << b) : T(0);
  }
}
template <class T>
RUTILE_FN T shift_right(T a, T b) {
  constexpr int kBits = static_cast<int>(sizeof(T)) * 8;
  if constexpr (std::is_same_v<T, bool>) {
    return a & !b;
  } else {
    const bool inside = (b >= T(0)) & (b < T(kBits));
    return inside ? static_cast<T>(a >> b) : a < T(0) ? static_cast<T>(-1) : T(0);
  }
}

template <class M, class T>
RUTILE_FN T log_add_exp(T a, T b) {
  const T top = max(a, b);
  return is_inf(top) ? top : top + M::log1p(M::exp(-std::fabs(a - b)));
}
template <class M, class T>
RUTILE_FN T log_add_exp2(T a, T b) {
  const T top = max(a, b);
  const T more = M::log1p(M::exp2(-std::fabs(a - b))) * T(1.44269504088896340736);
  return is_inf(top) ? top : top + more;
}
template <class M, class T>
RUTILE_FN T sinc(T x) {
  const T t = T(3.14159265358979323846) * x;
  return x == T(0) ? T(1) : M::sin(t) / t;
}
template <class T>
RUTILE_FN T heaviside(T x, T at_zero) {
  return x == T(0) ? at_zero : x != x ? x : x > T(0) ? T(1) : T(0);
}
template <class T>
RUTILE_FN T nan_to_num(T x, const double* p) {
  if constexpr (kIsFloat<T>) {
    const T finite = choose(x == T(__builtin_inf()), T(p[1]), x);
    return choose(x != x, T(p[0]), choose(x == -T(__builtin_inf()), T(p[2]), finite));
  } else {
    return x;
  }
}
template <class T>
RUTILE_FN bool sign_bit(T x) {
  if constexpr (kIsFloat<T>) {
    return __builtin_signbit(x) != 0;
  } else {
    return x < T(0);
  }
}
template <class M, class T>
RUTILE_FN T selu(T x) {
  constexpr double kScale = 1.0507009873554804934193349852946;
  constexpr double kAlpha = 1.6732632423543772848170429916717;
  return choose(x > T(0), x * T(kScale), T(kScale * kAlpha) * M::expm1(x));
}
// tanh(log(1 + e)) is e (e + 2) / (e (e + 2) + 2) with e = exp(x); past 20 it is 1.
template <class M, class T>
RUTILE_FN T mish(T x) {
  const T e = M::exp(x > T(20) ? T(20) : x), n = e * (e + T(2));
  return x > T(20) ? x : x * (n / (n + T(2)));
}
template <class T>
RUTILE_FN T soft_shrink(T x, T lambda) {
  return x > lambda ? x - lambda : x < -lambda ? x + lambda : x * T(0);
}

}  // namespace fn

}  // namespace rutile::kernels
