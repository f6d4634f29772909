// SPDX-License-Identifier: Apache-2.0
// What the elementwise ops compute: one row per op, usable by host and device code. A functor takes
// values of a compute type: float (also for f16 and bf16), double, bool, int64_t, uint64_t or a
// native integer. M supplies the transcendental functions, so that one definition serves the
// reference (StdMath), the vectorised kernels and device code. Attributes come as `p`, an array of
// numbers (kernels/elementwise_params.h).
#pragma once

#include "rutile/kernels/functor_math.h"

namespace rutile::kernels {

// The compute types that a functor takes.
enum class Domain : uint8_t {
  kReal,     // every type, bool included
  kNumber,   // every type but bool
  kFloat,    // float and double; integers and bool are converted first
  kInteger,  // integers and bool
  kLogical,  // bool; whatever comes is converted by x != 0
};

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

RUTILE_BINARY_FN(TruncDiv, Number, fn::trunc_div<M>(a, b))
RUTILE_BINARY_FN(Fmod, Number, fn::fmod<M>(a, b))
RUTILE_BINARY_FN(Gcd, Integer, fn::gcd(a, b))
RUTILE_BINARY_FN(Lcm, Integer, fn::lcm(a, b))
RUTILE_BINARY_FN(LeftShift, Integer, fn::shift_left(a, b))
RUTILE_BINARY_FN(RightShift, Integer, fn::shift_right(a, b))
RUTILE_BINARY_FN(Hypot, Float, M::hypot(a, b))
RUTILE_BINARY_FN(Copysign, Float, std::copysign(a, b))
RUTILE_BINARY_FN(Nextafter, Float, M::nextafter(a, b))
RUTILE_BINARY_FN(Heaviside, Number, fn::heaviside(a, b))
RUTILE_BINARY_FN(LogAddExp, Float, fn::log_add_exp<M>(a, b))
RUTILE_BINARY_FN(LogAddExp2, Float, fn::log_add_exp2<M>(a, b))
RUTILE_BINARY_FN(Xlogy, Float, a == T(0) && b == b ? T(0) : a * M::log(b))
RUTILE_BINARY_FN(Xlog1py, Float, a == T(0) && b == b ? T(0) : a * M::log1p(b))

RUTILE_UNARY_FN(Log10, Float, M::log10(x))
RUTILE_UNARY_FN(Cbrt, Float, M::cbrt(x))
RUTILE_UNARY_FN(Frac, Float, x - M::trunc(x))
RUTILE_UNARY_FN(Sinc, Float, fn::sinc<M>(x))
RUTILE_UNARY_FN(Deg2Rad, Float, x* T(special::kPi / 180))
RUTILE_UNARY_FN(Rad2Deg, Float, x* T(180 / special::kPi))
RUTILE_UNARY_FN(Erfinv, Float, static_cast<T>(special::erfinv(x)))
RUTILE_UNARY_FN(Lgamma, Float, static_cast<T>(special::lgamma(x)))
RUTILE_UNARY_FN(Digamma, Float, static_cast<T>(special::digamma(x)))
RUTILE_UNARY_FN(Polygamma, Float, static_cast<T>(special::polygamma(static_cast<int>(p[0]), x)))
RUTILE_UNARY_FN(I0, Float, static_cast<T>(special::i0(x)))
RUTILE_UNARY_FN(I1, Float, static_cast<T>(special::i1(x)))
RUTILE_UNARY_FN(SignBit, Number, fn::sign_bit(x))
RUTILE_UNARY_FN(IsPosInf, Number, fn::is_inf(x) && x > T(0))
RUTILE_UNARY_FN(IsNegInf, Number, fn::is_inf(x) && x < T(0))
RUTILE_UNARY_FN(NanToNum, Number, fn::nan_to_num(x, p))

RUTILE_BINARY_FN(Fmax, Real, a >= b || b != b ? a : b)
RUTILE_BINARY_FN(Fmin, Real, a <= b || b != b ? a : b)
RUTILE_BINARY_FN(Igamma, Float, static_cast<T>(special::igamma(a, b)))
RUTILE_BINARY_FN(Igammac, Float, static_cast<T>(special::igammac(a, b)))
RUTILE_BINARY_FN(IgammaGradA, Float, static_cast<T>(special::igamma_slope(a, b)))
RUTILE_BINARY_FN(Zeta, Float, static_cast<T>(special::zeta(a, b)))
RUTILE_UNARY_FN(Ndtr, Float, static_cast<T>(special::ndtr(x)))
RUTILE_UNARY_FN(LogNdtr, Float, static_cast<T>(special::log_ndtr(x)))
RUTILE_UNARY_FN(Ndtri, Float, static_cast<T>(special::ndtri(x)))
RUTILE_UNARY_FN(Erfcx, Float, static_cast<T>(special::erfcx(x)))
RUTILE_UNARY_FN(I0e, Float, static_cast<T>(special::i0e(x)))
RUTILE_UNARY_FN(I1e, Float, static_cast<T>(special::i1e(x)))
RUTILE_UNARY_FN(BesselJ0, Float, static_cast<T>(special::bessel_j0(x)))
RUTILE_UNARY_FN(BesselJ1, Float, static_cast<T>(special::bessel_j1(x)))
RUTILE_UNARY_FN(BesselY0, Float, static_cast<T>(special::bessel_y0(x)))
RUTILE_UNARY_FN(BesselY1, Float, static_cast<T>(special::bessel_y1(x)))
RUTILE_UNARY_FN(BesselK0, Float, static_cast<T>(special::k0(x)))
RUTILE_UNARY_FN(BesselK1, Float, static_cast<T>(special::k1(x)))
RUTILE_UNARY_FN(BesselK0e, Float, static_cast<T>(special::k0e(x)))
RUTILE_UNARY_FN(BesselK1e, Float, static_cast<T>(special::k1e(x)))
RUTILE_UNARY_FN(Entr, Float, static_cast<T>(special::entr(x)))
RUTILE_UNARY_FN(FrexpMantissa, Float, static_cast<T>(special::frexp(x, false)))
RUTILE_UNARY_FN(FrexpExponent, Float, static_cast<T>(special::frexp(x, true)))

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

RUTILE_UNARY_FN(Selu, Float, fn::selu<M>(x))
RUTILE_UNARY_FN(Celu, Float, fn::choose(x > T(0), x, T(p[0]) * M::expm1(x / T(p[0]))))
RUTILE_UNARY_FN(Mish, Float, fn::mish<M>(x))
RUTILE_UNARY_FN(Softsign, Float, x / (T(1) + std::fabs(x)))
RUTILE_UNARY_FN(LogSigmoid, Float, -fn::softplus<M>(-x))
RUTILE_UNARY_FN(Threshold, Number,
                fn::choose(x <= fn::bound<T>(p[0], false), fn::bound<T>(p[1], false), x))
RUTILE_UNARY_FN(Softshrink, Float, fn::soft_shrink(x, T(p[0])))
RUTILE_UNARY_FN(Hardshrink, Float, fn::choose((x >= T(-p[0])) & (x <= T(p[0])), T(0), x))

// From the nearer end, so that weights 0 and 1 give the ends themselves.
template <class M>
struct Lerp {
  static constexpr Domain kDomain = Domain::kFloat;
  const double* p = nullptr;
  template <class T>
  RUTILE_FN T operator()(T x, T end, T weight) const {
    const T d = end - x;
    return fn::choose((weight < T(0.5)) & (weight > T(-0.5)), x + weight * d,
                      end - d * (T(1) - weight));
  }
};

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
