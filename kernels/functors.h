// SPDX-License-Identifier: Apache-2.0
// What the elementwise ops compute: one row per op, usable by host and device code. A functor takes
// values of a compute type: float (also for f16 and bf16), double, bool, int64_t, uint64_t or a
// native integer. M supplies the transcendental functions, so that one definition serves the
// reference (StdMath), the vectorised kernels and device code. Attributes come as `p`, an array of
// numbers (kernels/elementwise_params.h). All is inlined always: code for one instruction set must
// not leak into another.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#if defined(__CUDACC__)
#define RUTILE_FN __host__ __device__ __forceinline__
#else
#define RUTILE_FN [[gnu::always_inline]] inline
#endif

namespace rutile::kernels {

// The compute types that a functor takes.
enum class Domain : uint8_t {
  kReal,     // every type, bool included
  kNumber,   // every type but bool
  kFloat,    // float and double; integers and bool are converted first
  kInteger,  // integers and bool
  kLogical,  // bool; whatever comes is converted by x != 0
};

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
  RUTILE_STD_MATH(log1p)
  RUTILE_STD_MATH(sqrt)
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
    if (q == 0) down = a / b < 0 ? T(-0.0) : T(0);
    return b == 0 ? a / b : down;
  } else {
    if (b == T(0)) return T(0);
    if constexpr (std::is_signed_v<T>) {
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

}  // namespace fn

// A row: name, domain, value.
#define RUTILE_UNARY_FN(name, domain, ...)               \
  template <class M>                                     \
  struct name {                                          \
    static constexpr Domain kDomain = Domain::k##domain; \
    const double* p = nullptr;                           \
    template <class T>                                   \
    RUTILE_FN auto operator()(T x) const {               \
      return __VA_ARGS__;                                \
    }                                                    \
  };
#define RUTILE_BINARY_FN(name, domain, ...)              \
  template <class M>                                     \
  struct name {                                          \
    static constexpr Domain kDomain = Domain::k##domain; \
    const double* p = nullptr;                           \
    template <class T>                                   \
    RUTILE_FN auto operator()(T a, T b) const {          \
      return __VA_ARGS__;                                \
    }                                                    \
  };

RUTILE_BINARY_FN(Add, Real, fn::add(a, b))
RUTILE_BINARY_FN(Sub, Number, fn::sub(a, b))
RUTILE_BINARY_FN(Mul, Real, fn::mul(a, b))
RUTILE_BINARY_FN(Div, Float, a / b)
RUTILE_BINARY_FN(FloorDiv, Number, fn::floor_div<M>(a, b))
RUTILE_BINARY_FN(Remainder, Number, fn::remainder<M>(a, b))
RUTILE_BINARY_FN(Pow, Number, fn::power<M>(a, b))
RUTILE_BINARY_FN(Maximum, Real, fn::max(a, b))
RUTILE_BINARY_FN(Minimum, Real, fn::min(a, b))
RUTILE_BINARY_FN(Atan2, Float, M::atan2(a, b))
RUTILE_BINARY_FN(Equal, Real, a == b)
RUTILE_BINARY_FN(NotEqual, Real, a != b)
RUTILE_BINARY_FN(Less, Real, a < b)
RUTILE_BINARY_FN(LessEqual, Real, a <= b)
RUTILE_BINARY_FN(Greater, Real, a > b)
RUTILE_BINARY_FN(GreaterEqual, Real, a >= b)
RUTILE_BINARY_FN(LogicalAnd, Logical, static_cast<bool>(a& b))
RUTILE_BINARY_FN(LogicalOr, Logical, static_cast<bool>(a | b))
RUTILE_BINARY_FN(LogicalXor, Logical, static_cast<bool>(a ^ b))
RUTILE_BINARY_FN(BitwiseAnd, Integer, static_cast<T>(a& b))
RUTILE_BINARY_FN(BitwiseOr, Integer, static_cast<T>(a | b))
RUTILE_BINARY_FN(BitwiseXor, Integer, static_cast<T>(a ^ b))

RUTILE_UNARY_FN(LogicalNot, Logical, !x)
RUTILE_UNARY_FN(BitwiseNot, Integer, fn::bit_not(x))
RUTILE_UNARY_FN(Neg, Number, fn::neg(x))
RUTILE_UNARY_FN(Abs, Number, fn::abs(x))
RUTILE_UNARY_FN(Sign, Number, fn::sign(x))
RUTILE_UNARY_FN(Square, Number, fn::mul(x, x))
RUTILE_UNARY_FN(Exp, Float, M::exp(x))
RUTILE_UNARY_FN(Exp2, Float, M::exp2(x))
RUTILE_UNARY_FN(Expm1, Float, M::expm1(x))
RUTILE_UNARY_FN(Log, Float, M::log(x))
RUTILE_UNARY_FN(Log2, Float, M::log2(x))
RUTILE_UNARY_FN(Log1p, Float, M::log1p(x))
RUTILE_UNARY_FN(Sqrt, Float, M::sqrt(x))
RUTILE_UNARY_FN(Rsqrt, Float, T(1) / M::sqrt(x))
RUTILE_UNARY_FN(Reciprocal, Float, T(1) / x)
RUTILE_UNARY_FN(Sin, Float, M::sin(x))
RUTILE_UNARY_FN(Cos, Float, M::cos(x))
RUTILE_UNARY_FN(Tan, Float, M::tan(x))
RUTILE_UNARY_FN(Asin, Float, M::asin(x))
RUTILE_UNARY_FN(Acos, Float, M::acos(x))
RUTILE_UNARY_FN(Atan, Float, M::atan(x))
RUTILE_UNARY_FN(Sinh, Float, M::sinh(x))
RUTILE_UNARY_FN(Cosh, Float, M::cosh(x))
RUTILE_UNARY_FN(Tanh, Float, M::tanh(x))
RUTILE_UNARY_FN(Asinh, Float, M::asinh(x))
RUTILE_UNARY_FN(Acosh, Float, M::acosh(x))
RUTILE_UNARY_FN(Atanh, Float, M::atanh(x))
RUTILE_UNARY_FN(Erf, Float, M::erf(x))
RUTILE_UNARY_FN(Erfc, Float, M::erfc(x))
RUTILE_UNARY_FN(IsNan, Real, x != x)
RUTILE_UNARY_FN(IsInf, Real, fn::is_inf(x))
RUTILE_UNARY_FN(IsFinite, Real, fn::is_finite(x))

// Integers are whole already.
#define RUTILE_ROUNDING_FN(name, function)              \
  template <class M>                                    \
  struct name {                                         \
    static constexpr Domain kDomain = Domain::kNumber;  \
    const double* p = nullptr;                          \
    template <class T>                                  \
    RUTILE_FN T operator()(T x) const {                 \
      if constexpr (kIsFloat<T>) return M::function(x); \
      return x;                                         \
    }                                                   \
  };
RUTILE_ROUNDING_FN(Floor, floor)
RUTILE_ROUNDING_FN(Ceil, ceil)
RUTILE_ROUNDING_FN(Round, round)
RUTILE_ROUNDING_FN(Trunc, trunc)

// Activations and their gradients (dy is `a`).
RUTILE_UNARY_FN(Relu, Number, x <= T(0) ? T(0) : x)
RUTILE_BINARY_FN(ReluGrad, Number, b <= T(0) ? T(0) : a)
RUTILE_UNARY_FN(Relu6, Number, fn::clip(x, T(0), T(6)))
RUTILE_BINARY_FN(Relu6Grad, Number, (b <= T(0)) | (b >= T(6)) ? T(0) : a)
RUTILE_UNARY_FN(Clip, Number, fn::clip(x, fn::bound<T>(p[0], true), fn::bound<T>(p[1], false)))
RUTILE_BINARY_FN(ClipGrad, Float, (b >= T(p[0])) & (b <= T(p[1])) ? a : T(0))
RUTILE_UNARY_FN(LeakyRelu, Float, fn::choose(x > T(0), x, x* T(p[0])))
RUTILE_BINARY_FN(LeakyReluGrad, Float, fn::choose(b > T(0), a, a* T(p[0])))
RUTILE_UNARY_FN(Elu, Float, fn::choose(x > T(0), x, T(p[0]) * M::expm1(x)))
RUTILE_BINARY_FN(EluGrad, Float, fn::choose(b > T(0), a, a* T(p[0]) * M::exp(b)))
RUTILE_UNARY_FN(Sigmoid, Float, fn::sigmoid<M>(x))
RUTILE_BINARY_FN(SigmoidGrad, Float, a* b*(T(1) - b))
RUTILE_BINARY_FN(TanhGrad, Float, a*(T(1) - b * b))
RUTILE_UNARY_FN(Silu, Float, x* fn::sigmoid<M>(x))
RUTILE_BINARY_FN(SiluGrad, Float, fn::silu_grad<M>(a, b))
RUTILE_UNARY_FN(Softplus, Float, fn::softplus<M>(x))
RUTILE_UNARY_FN(Gelu, Float, p[0] != 0 ? fn::gelu_tanh<M>(x) : fn::gelu_erf<M>(x))
RUTILE_BINARY_FN(GeluGrad, Float,
                 p[0] != 0 ? fn::gelu_tanh_grad<M>(a, b) : fn::gelu_erf_grad<M>(a, b))
RUTILE_UNARY_FN(Hsigmoid, Float, fn::hsigmoid(x))
RUTILE_BINARY_FN(HsigmoidGrad, Float, fn::choose((b > T(-3)) & (b < T(3)), a* T(1.0 / 6), T(0)))
RUTILE_UNARY_FN(Hswish, Float, x* fn::hsigmoid(x))
RUTILE_BINARY_FN(HswishGrad, Float,
                 fn::choose(b <= T(-3), T(0), fn::choose(b >= T(3), a, a*(b* T(1.0 / 3) + T(0.5)))))

template <class M>
struct Where {
  static constexpr Domain kDomain = Domain::kReal;
  const double* p = nullptr;
  template <class T>
  RUTILE_FN T operator()(T cond, T x, T y) const {
    return cond != T(0) ? x : y;
  }
};

#undef RUTILE_UNARY_FN
#undef RUTILE_BINARY_FN
#undef RUTILE_ROUNDING_FN

}  // namespace rutile::kernels
