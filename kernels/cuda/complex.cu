// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/complex.h"

#include "rutile/kernels/cuda/complex_functions.h"

namespace rutile::cuda {
namespace {

using M = kernels::StdMath;

template <class C>
RUTILE_FN bool is_zero(Pair<C> v) {
  return v.re == 0 && v.im == 0;
}

// Of one number.
template <class C>
RUTILE_FN Pair<C> compute_curve(ComplexOp op, Pair<C> a) {
  namespace fn = complex_fn;
  switch (op) {
    case ComplexOp::kExp2:
      return fn::exponential(fn::scaled(a, C(0.69314718055994530942)));
    case ComplexOp::kExpm1:
      return fn::expm1(a);
    case ComplexOp::kLog2:
      return fn::scaled(fn::logarithm(a), C(1.44269504088896340736));
    case ComplexOp::kLog10:
      return fn::scaled(fn::logarithm(a), C(0.43429448190325182765));
    case ComplexOp::kLog1p:
      return fn::log1p(a);
    case ComplexOp::kRsqrt:
      return fn::reciprocal(fn::root(a));
    case ComplexOp::kSigmoid: {
      const Pair<C> e = fn::exponential(Pair<C>{-a.re, -a.im});
      return fn::reciprocal(Pair<C>{1 + e.re, e.im});
    }
    case ComplexOp::kSinh:
      return fn::sinh(a);
    case ComplexOp::kCosh:
      return fn::cosh(a);
    case ComplexOp::kTanh:
      return fn::tanh(a);
    case ComplexOp::kSin:
      return fn::over_i(fn::sinh(fn::times_i(a)));
    case ComplexOp::kCos:
      return fn::cosh(fn::times_i(a));
    case ComplexOp::kTan:
      return fn::over_i(fn::tanh(fn::times_i(a)));
    case ComplexOp::kAsin:
      return fn::asin(a);
    case ComplexOp::kAcos:
      return fn::acos(a);
    case ComplexOp::kAcosh:
      return fn::acosh(a);
    case ComplexOp::kAtanh:
      return fn::atanh(a);
    case ComplexOp::kAsinh:
      return fn::over_i(fn::asin(fn::times_i(a)));
    case ComplexOp::kAtan:
      return fn::over_i(fn::atanh(fn::times_i(a)));
    default:
      return a;  // a cast, or the real part
  }
}

template <class C>
RUTILE_FN Pair<C> compute(ComplexOp op, Pair<C> a, Pair<C> b, Pair<C> c) {
  namespace fn = complex_fn;
  const auto truth = [](bool v) { return Pair<C>{v ? C(1) : C(0), 0}; };
  const auto number = [](C v) { return v - v == 0; };
  switch (op) {
    case ComplexOp::kAdd:
      return {a.re + b.re, a.im + b.im};
    case ComplexOp::kSub:
      return {a.re - b.re, a.im - b.im};
    case ComplexOp::kMul:
      return fn::product(a, b);
    case ComplexOp::kDiv:
      return fn::quotient(a, b);
    case ComplexOp::kNeg:
      return {-a.re, -a.im};
    case ComplexOp::kConj:
      return {a.re, -a.im};
    case ComplexOp::kImag:
      return {a.im, 0};
    case ComplexOp::kAbs:
      return {fn::length(a), 0};
    case ComplexOp::kAngle:
      return {M::atan2(a.im, a.re), 0};
    case ComplexOp::kComplex:
      return {a.re, b.re};
    case ComplexOp::kSquare:
      return fn::product(a, a);
    case ComplexOp::kReciprocal:
      return fn::reciprocal(a);
    case ComplexOp::kExp:
      return fn::exponential(a);
    case ComplexOp::kLog:
      return fn::logarithm(a);
    case ComplexOp::kSqrt:
      return fn::root(a);
    case ComplexOp::kEqual:
      return truth(a.re == b.re && a.im == b.im);
    case ComplexOp::kNotEqual:
      return truth(!(a.re == b.re && a.im == b.im));
    case ComplexOp::kIsNan:
      return truth(a.re != a.re || a.im != a.im);
    case ComplexOp::kIsInf:
      return truth(kernels::fn::is_inf(a.re) || kernels::fn::is_inf(a.im));
    case ComplexOp::kIsFinite:
      return truth(number(a.re) && number(a.im));
    case ComplexOp::kWhere:
      return a.re != 0 ? b : c;
    case ComplexOp::kLogicalNot:
      return truth(is_zero(a));
    case ComplexOp::kLogicalAnd:
      return truth(!is_zero(a) && !is_zero(b));
    case ComplexOp::kLogicalOr:
      return truth(!is_zero(a) || !is_zero(b));
    case ComplexOp::kLogicalXor:
      return truth(is_zero(a) != is_zero(b));
    case ComplexOp::kPow:
      return fn::power(a, b);
    default:
      return compute_curve(op, a);
  }
}

template <class C>
__global__ void __launch_bounds__(kCoverThreads) complex_each(RUTILE_PARAM ComplexArgs a) {
  const int64_t i = thread_number();
  if (i >= a.n) return;
  int64_t at[4];
  a.at.find(i, at);
  Pair<C> v[3];
  for (int k = 0; k < a.inputs; ++k) v[k] = load_pair<C>(a.in_type[k], a.in[k], at[1 + k]);
  store_pair<C>(a.out_type, a.out, at[0], compute<C>(a.op, v[0], v[1], v[2]));
}

template <class C>
__global__ void __launch_bounds__(kCoverThreads) combine(RUTILE_PARAM CombineArgs a) {
  const int64_t i = thread_number();
  if (i >= a.n) return;
  const C left = static_cast<const C*>(a.a)[i], right = static_cast<const C*>(a.b)[i];
  static_cast<C*>(a.y)[2 * i + a.part] = a.part == 0 ? left - right : left + right;
}

}  // namespace

int launch_combine(const CombineArgs& a, Stream stream) {
  return a.wide ? launch(combine<double>, cover(a.n), stream, a)
                : launch(combine<float>, cover(a.n), stream, a);
}
int launch_complex(const ComplexArgs& a, Stream stream) {
  return a.wide ? launch(complex_each<double>, cover(a.n), stream, a)
                : launch(complex_each<float>, cover(a.n), stream, a);
}

}  // namespace rutile::cuda
