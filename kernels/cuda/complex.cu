// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/complex.h"

#include "rutile/kernels/cuda/values.h"
#include "rutile/kernels/functors.h"

namespace rutile::cuda {
namespace {

using M = kernels::StdMath;

template <class C>
struct Pair {
  C re = 0, im = 0;
};

template <class C>
RUTILE_FN Pair<C> load_pair(DType t, const void* p, int64_t i) {
  if (t == DType::kC64) {
    const Pair<float> v = static_cast<const Pair<float>*>(p)[i];
    return {static_cast<C>(v.re), static_cast<C>(v.im)};
  }
  if (t == DType::kC128) {
    const Pair<double> v = static_cast<const Pair<double>*>(p)[i];
    return {static_cast<C>(v.re), static_cast<C>(v.im)};
  }
  return {load_any<C>(t, p, i), 0};
}
template <class C>
RUTILE_FN void store_pair(DType t, void* p, int64_t i, Pair<C> v) {
  if (t == DType::kC64) {
    static_cast<Pair<float>*>(p)[i] = {static_cast<float>(v.re), static_cast<float>(v.im)};
  } else if (t == DType::kC128) {
    static_cast<Pair<double>*>(p)[i] = {static_cast<double>(v.re), static_cast<double>(v.im)};
  } else {
    store_any<C>(t, p, i, v.re);
  }
}

template <class C>
RUTILE_FN C size_of_number(C v) {
  return v < 0 ? -v : v;
}
// The larger part is taken out, so that squares neither overflow nor vanish.
template <class C>
RUTILE_FN C length(Pair<C> v) {
  const C a = size_of_number(v.re), b = size_of_number(v.im);
  if (kernels::fn::is_inf(a) || kernels::fn::is_inf(b)) return static_cast<C>(__builtin_inf());
  const C large = a > b ? a : b, small = a > b ? b : a;
  if (a != a || b != b) return a + b;
  if (large == 0) return 0;
  const C ratio = small / large;
  return large * M::sqrt(1 + ratio * ratio);
}
template <class C>
RUTILE_FN Pair<C> product(Pair<C> a, Pair<C> b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
// R. L. Smith, Algorithm 116: Complex division (1962).
template <class C>
RUTILE_FN Pair<C> quotient(Pair<C> a, Pair<C> b) {
  const C c = b.re, d = b.im;
  if (size_of_number(c) >= size_of_number(d)) {
    if (c == 0) return {a.re / size_of_number(c), a.im / size_of_number(c)};
    const C ratio = d / c, scale = 1 / (c + d * ratio);
    return {(a.re + a.im * ratio) * scale, (a.im - a.re * ratio) * scale};
  }
  const C ratio = c / d, scale = 1 / (d + c * ratio);
  return {(a.re * ratio + a.im) * scale, (a.im * ratio - a.re) * scale};
}
template <class C>
RUTILE_FN Pair<C> root(Pair<C> x) {
  const C size = length(x);
  if (size == 0) return {0, x.im};
  const C half = M::sqrt((size + size_of_number(x.re)) / 2),
          other = size_of_number(x.im) / (2 * half);
  const bool right = x.re >= 0;
  const C im = right ? other : half;
  return {right ? half : other, x.im < 0 ? -im : im};
}

template <class C>
RUTILE_FN Pair<C> compute(ComplexOp op, Pair<C> a, Pair<C> b, Pair<C> c) {
  const auto truth = [](bool v) { return Pair<C>{v ? C(1) : C(0), 0}; };
  const auto number = [](C v) { return v - v == 0; };
  switch (op) {
    case ComplexOp::kAdd:
      return {a.re + b.re, a.im + b.im};
    case ComplexOp::kSub:
      return {a.re - b.re, a.im - b.im};
    case ComplexOp::kMul:
      return product(a, b);
    case ComplexOp::kDiv:
      return quotient(a, b);
    case ComplexOp::kNeg:
      return {-a.re, -a.im};
    case ComplexOp::kConj:
      return {a.re, -a.im};
    case ComplexOp::kImag:
      return {a.im, 0};
    case ComplexOp::kAbs:
      return {length(a), 0};
    case ComplexOp::kAngle:
      return {M::atan2(a.im, a.re), 0};
    case ComplexOp::kComplex:
      return {a.re, b.re};
    case ComplexOp::kSquare:
      return product(a, a);
    case ComplexOp::kReciprocal:
      return quotient(Pair<C>{1, 0}, a);
    case ComplexOp::kExp: {
      const C e = M::exp(a.re);
      if (a.im == 0) return {e, a.im};
      return {e * M::cos(a.im), e * M::sin(a.im)};
    }
    case ComplexOp::kLog:
      return {M::log(length(a)), M::atan2(a.im, a.re)};
    case ComplexOp::kSqrt:
      return root(a);
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
    default:
      return a;  // a cast, or the real part
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

}  // namespace

int launch_complex(const ComplexArgs& a, Stream stream) {
  return a.wide ? launch(complex_each<double>, cover(a.n), stream, a)
                : launch(complex_each<float>, cover(a.n), stream, a);
}

}  // namespace rutile::cuda
