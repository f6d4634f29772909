// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/solver.h"

#include "rutile/kernels/cuda/values.h"
#include "rutile/kernels/functors.h"

namespace rutile::cuda {
namespace {

using kernels::StdMath;

template <class C>
struct Complex {
  C re, im;
};

template <class E>
struct Parts {
  using Real = E;
  RUTILE_FN static E make(E re, E) { return re; }
  RUTILE_FN static E re(E v) { return v; }
  RUTILE_FN static E im(E) { return 0; }
};
template <class C>
struct Parts<Complex<C>> {
  using Real = C;
  RUTILE_FN static Complex<C> make(C re, C im) { return {re, im}; }
  RUTILE_FN static C re(Complex<C> v) { return v.re; }
  RUTILE_FN static C im(Complex<C> v) { return v.im; }
};
template <class E>
using RealOf = typename Parts<E>::Real;

template <class E>
RUTILE_FN E conjugate(E v) {
  return Parts<E>::make(Parts<E>::re(v), -Parts<E>::im(v));
}
template <class E>
RUTILE_FN E times(E a, E b) {
  using P = Parts<E>;
  return P::make(P::re(a) * P::re(b) - P::im(a) * P::im(b),
                 P::re(a) * P::im(b) + P::im(a) * P::re(b));
}
// The size in double: no square overflows there that matters.
template <class E>
RUTILE_FN double size_of(E v) {
  const double re = Parts<E>::re(v), im = Parts<E>::im(v);
  const double a = re < 0 ? -re : re, b = im < 0 ? -im : im, large = a > b ? a : b;
  if (large == 0) return 0;
  const double ratio = (a > b ? b : a) / large;
  return large * StdMath::sqrt(1 + ratio * ratio);
}

template <class E>
RUTILE_DEVICE E* base_of(const MatrixSide& s, int64_t matrix, const int64_t (&at)[5]) {
  return static_cast<E*>(s.data) + (s.operand >= 0 ? at[s.operand] : matrix * s.stride);
}

template <class E, class From>
__global__ void __launch_bounds__(kCoverThreads) move_matrix(RUTILE_PARAM MoveArgs a) {
  const int64_t e = thread_number(), size = a.rows * a.columns;
  if (e >= a.batch * size) return;
  // Neighbouring threads write neighbours.
  const bool by_columns = a.to.row_step == 1;
  const int64_t matrix = e / size, place = e % size;
  const int64_t i = by_columns ? place % a.rows : place / a.columns;
  const int64_t j = by_columns ? place / a.rows : place % a.columns;
  int64_t at[5];
  a.at.find(matrix, at);
  E* const to = base_of<E>(a.to, matrix, at) + i * a.to.row_step + j * a.to.column_step;
  bool one = false, none = false, turned = false;
  int64_t r = i, c = j;
  switch (a.part) {
    case MatrixPart::kLower:
      none = i < j;
      break;
    case MatrixPart::kUpper:
      none = i > j;
      break;
    case MatrixPart::kUnitUpper:
      none = i > j;
      one = i == j;
      break;
    case MatrixPart::kFromLower:
      turned = i < j;
      break;
    case MatrixPart::kFromUpper:
      turned = i > j;
      break;
    case MatrixPart::kIdentity:
      none = i != j;
      one = i == j;
      break;
    default:
      break;
  }
  if (none || one) {
    *to = Parts<E>::make(one ? 1 : 0, 0);
    return;
  }
  if (a.order) c = a.order[matrix * a.columns + j];
  if (a.transposed != turned) {
    const int64_t kept = r;
    r = c;
    c = kept;
  }
  const From x =
      base_of<const From>(a.from, matrix, at)[r * a.from.row_step + c * a.from.column_step];
  using R = RealOf<E>;
  E v = Parts<E>::make(static_cast<R>(Parts<From>::re(x)), static_cast<R>(Parts<From>::im(x)));
  if (a.conjugate != turned) v = conjugate(v);
  if (a.turns) {
    const E* const turns = static_cast<const E*>(a.turns);
    v = times(v,
              a.turn_rows ? conjugate(turns[matrix * a.rows + i]) : turns[matrix * a.columns + j]);
  }
  if (a.odd) {
    const R re = Parts<E>::re(v), im = Parts<E>::im(v);
    if (!(re - re == 0 && im - im == 0)) (void)atomicOr(a.odd + matrix, 1);
  }
  *to = v;
}

__global__ void __launch_bounds__(kCoverThreads) pivots(RUTILE_PARAM PivotArgs a) {
  const int64_t e = thread_number();
  if (e >= a.batch * a.steps) return;
  const int64_t matrix = e / a.steps, k = e % a.steps;
  int64_t at[5];
  a.at.find(matrix, at);
  base_of<int32_t>(a.to, matrix, at)[k * a.to.row_step] = static_cast<int32_t>(a.from[e]);
}

__global__ void __launch_bounds__(kCoverThreads)
    first_pivots(int64_t* pivots, int64_t n, int64_t total) {
  const int64_t e = thread_number();
  if (e < total) pivots[e] = e % n + 1;
}

__global__ void __launch_bounds__(kCoverThreads) clear(int* info, int* odd, int64_t batch) {
  const int64_t b = thread_number();
  if (b >= batch) return;
  info[b] = 0;
  odd[b] = 0;
}

template <class E>
__global__ void __launch_bounds__(kCoverThreads)
    calm(E* matrices, int64_t size, const int* odd, int64_t total) {
  const int64_t e = thread_number();
  if (e < total && odd[e / size] != 0) matrices[e] = Parts<E>::make(0, 0);
}

template <class E>
__global__ void __launch_bounds__(kCoverThreads) find_turns(RUTILE_PARAM TurnArgs a) {
  const int64_t e = thread_number();
  if (e >= a.batch * a.columns) return;
  const int64_t matrix = e / a.columns;
  const int64_t column = a.order ? a.order[e] : e % a.columns;
  const E* const base = static_cast<const E*>(a.vectors.data) + matrix * a.vectors.stride;
  const int64_t step = a.transposed ? a.vectors.column_step : a.vectors.row_step;
  const E* const v = base + column * (a.transposed ? a.vectors.row_step : a.vectors.column_step);
  double best = 0, sum = 0;
  for (int64_t i = 0; i < a.rows; ++i) {
    const double size = size_of(v[i * step]);
    best = size > best ? size : best;
    sum += size * size;
  }
  E turn = Parts<E>::make(1, 0);
  for (int64_t i = 0; best > 0 && i < a.rows; ++i) {
    const E x = a.conjugate ? conjugate(v[i * step]) : v[i * step];
    const double size = size_of(x);
    if (size * (1 + 1e-4) < best) continue;
    const double scale = 1 / (a.normal ? size * StdMath::sqrt(sum) : size);
    using R = RealOf<E>;
    turn = Parts<E>::make(static_cast<R>(Parts<E>::re(x) * scale),
                          static_cast<R>(-Parts<E>::im(x) * scale));
    break;
  }
  static_cast<E*>(a.turns)[e] = turn;
}

template <class C>
__global__ void __launch_bounds__(kCoverThreads) eigen_order(RUTILE_PARAM EigenOrderArgs a) {
  const int64_t b = thread_number();
  if (b >= a.batch) return;
  const Complex<C>* const w = static_cast<const Complex<C>*>(a.values) + b * a.n;
  int64_t* const order = a.order + b * a.n;
  double size = 0;
  for (int64_t i = 0; i < a.n; ++i) size = size_of(w[i]) > size ? size_of(w[i]) : size;
  const double equal = (sizeof(C) == 4 ? 1e-4 : 1e-9) * size;
  for (int64_t i = 0; i < a.n; ++i) {
    int64_t at = i;
    for (; at > 0; --at) {
      const Complex<C> x = w[i], y = w[order[at - 1]];
      const double apart = static_cast<double>(x.re) - static_cast<double>(y.re);
      const bool before = apart > equal || apart < -equal ? apart < 0 : x.im < y.im;
      if (!before) break;
      order[at] = order[at - 1];
    }
    order[at] = i;
  }
}

template <class E>
__global__ void __launch_bounds__(kCoverThreads) verdict(RUTILE_PARAM VerdictArgs a) {
  const int64_t b = thread_number();
  if (b >= a.batch) return;
  const int64_t limit = a.single ? 0 : 1;
  if (a.odd && a.odd[b] != 0) {
    a.fault.raise(FaultKind::kNotFinite, 0, b, limit, false);
    return;
  }
  if (a.of_info != FaultKind::kNone && a.info[b] > 0) {
    a.fault.raise(a.of_info, a.info[b] - 1, b, limit, false);
    return;
  }
  if (a.of_diagonal == FaultKind::kNone) return;
  const E* const d = static_cast<const E*>(a.diagonal) + b * a.stride;
  for (int64_t k = 0; k < a.n; ++k) {
    const E v = d[k * (a.row_step + 1)];
    const bool fine = a.of_diagonal == FaultKind::kNotPositive
                          ? Parts<E>::re(v) > 0
                          : !(Parts<E>::re(v) == 0 && Parts<E>::im(v) == 0);
    if (fine) continue;
    a.fault.raise(a.of_diagonal, k, b, limit, false);
    return;
  }
}

template <class F>
int by_type(DType t, F&& f) {
  switch (t) {
    case DType::kF32:
      return f(float{});
    case DType::kF64:
      return f(double{});
    case DType::kC64:
      return f(Complex<float>{});
    default:
      return f(Complex<double>{});
  }
}

}  // namespace

int launch_move(const MoveArgs& a, Stream stream) {
  const Grid grid = cover(a.batch * a.rows * a.columns);
  return by_type(a.type, [&](auto element) {
    using E = decltype(element);
    if (a.from_type != a.type) return launch(move_matrix<E, RealOf<E>>, grid, stream, a);
    return launch(move_matrix<E, E>, grid, stream, a);
  });
}
int launch_pivots(const PivotArgs& a, Stream stream) {
  return launch(pivots, cover(a.batch * a.steps), stream, a);
}
int launch_first_pivots(int64_t* to, int64_t n, int64_t total, Stream stream) {
  return launch(first_pivots, cover(total), stream, to, n, total);
}
int launch_clear(int* info, int* odd, int64_t batch, Stream stream) {
  return launch(clear, cover(batch), stream, info, odd, batch);
}
int launch_calm(DType type, void* matrices, int64_t size, const int* odd, int64_t batch,
                Stream stream) {
  return by_type(type, [&](auto element) {
    using E = decltype(element);
    return launch(calm<E>, cover(batch * size), stream, static_cast<E*>(matrices), size, odd,
                  batch * size);
  });
}
int launch_turns(const TurnArgs& a, Stream stream) {
  return by_type(a.type, [&](auto element) {
    return launch(find_turns<decltype(element)>, cover(a.batch * a.columns), stream, a);
  });
}
int launch_eigen_order(const EigenOrderArgs& a, Stream stream) {
  return a.type == DType::kC128 ? launch(eigen_order<double>, cover(a.batch), stream, a)
                                : launch(eigen_order<float>, cover(a.batch), stream, a);
}
int launch_verdict(const VerdictArgs& a, Stream stream) {
  return by_type(a.type, [&](auto element) {
    return launch(verdict<decltype(element)>, cover(a.batch), stream, a);
  });
}

}  // namespace rutile::cuda
