// SPDX-License-Identifier: Apache-2.0
// Solving and factoring: LU, Cholesky, substitution, Householder, the exponential.
#include "rutile/kernels/cuda/linalg.h"

#include "rutile/kernels/cuda/linalg_block.h"

namespace rutile::cuda {

int launch_spectral(LinalgKind kind, const LinalgArgs& a, Stream stream);  // linalg_spectral.cu

namespace {

// What a block finds: its matrix of the batch and the places of its operands.
template <class C>
struct Work {
  int64_t index, at[5];
  C* room;
  RUTILE_DEVICE explicit Work(const LinalgArgs& a) : index(blockIdx.x) {
    a.at.find(index, at);
    room = static_cast<C*>(a.workspace) + index * a.room;
  }
  RUTILE_DEVICE View<C> in(const LinalgArgs& a, int i) const { return view_of<C>(a.in[i], at[i]); }
  RUTILE_DEVICE View<C> out(const LinalgArgs& a, int i) const {
    return view_of<C>(a.out[i], at[2 + i]);
  }
  RUTILE_DEVICE void fail(const LinalgArgs& a, FaultKind kind, int64_t place) const {
    if (threadIdx.x == 0) a.fault.raise(kind, place, index, a.single ? 0 : 1, false);
  }
};

template <class C>
__global__ void __launch_bounds__(kMatrixThreads) cholesky(RUTILE_PARAM LinalgArgs a) {
  const Work<C> w(a);
  View<C> x = w.in(a, 0), y = w.out(a, 0);
  if (a.upper) {
    x = x.transposed();
    y = y.transposed();
  }
  const int64_t n = x.rows;
  for_matrix(n, n, [&](int64_t i, int64_t j) { y(i, j) = j <= i ? x(i, j) : C(0); });
  for (int64_t k = 0; k < n; ++k) {
    const C pivot = y(k, k);
    __syncthreads();
    if (!(pivot > 0)) return w.fail(a, FaultKind::kNotPositive, k);
    const C root = kernels::StdMath::sqrt(pivot);
    for_line(k, n, [&](int64_t i) { y(i, k) = i == k ? root : y(i, k) / root; });
    for_matrix(n - k - 1, n - k - 1, [&](int64_t i, int64_t j) {
      if (j <= i) y(k + 1 + i, k + 1 + j) -= y(k + 1 + i, k) * y(k + 1 + j, k);
    });
  }
}

template <class C>
__global__ void __launch_bounds__(kMatrixThreads) lu(RUTILE_PARAM LinalgArgs a) {
  __shared__ C shared[kMatrixThreads];
  __shared__ int64_t places[kMatrixThreads];
  const Work<C> w(a);
  const View<C> y = w.out(a, 0);
  const View<int32_t> pivots = view_of<int32_t>(a.out[1], w.at[3]);
  copy_matrix(y, w.in(a, 0));
  (void)factor_lu(y, view_of<C>(nullptr, y.rows, 0), shared, places,
                  [&](int64_t k, int64_t row) { pivots(k, 0) = static_cast<int32_t>(row + 1); });
}

// With kInverse, the right side is the identity.
template <class C, bool kInverse>
__global__ void __launch_bounds__(kMatrixThreads) solve(RUTILE_PARAM LinalgArgs a) {
  __shared__ C shared[kMatrixThreads];
  __shared__ int64_t places[kMatrixThreads];
  const Work<C> w(a);
  const View<C> x = w.in(a, 0), y = w.out(a, 0), f = view_of<C>(w.room, x.rows, x.columns);
  copy_matrix(f, x);
  if constexpr (kInverse) {
    set_identity(y);
  } else {
    copy_matrix(y, w.in(a, 1));
  }
  const int64_t singular = factor_lu(f, y, shared, places, [](int64_t, int64_t) {});
  if (singular >= 0) return w.fail(a, FaultKind::kSingular, singular);
  substitute(f, y, false, true);
  substitute(f, y, true, false);
}

template <class C>
__global__ void __launch_bounds__(kMatrixThreads) triangular(RUTILE_PARAM LinalgArgs a) {
  const Work<C> w(a);
  View<C> x = w.in(a, 0);
  const View<C> y = w.out(a, 0);
  copy_matrix(y, w.in(a, 1));
  for (int64_t k = 0; k < x.rows && !a.unit; ++k) {
    if (x(k, k) == 0) return w.fail(a, FaultKind::kSingular, k);
  }
  if (a.transpose) x = x.transposed();
  substitute(x, y, a.upper != a.transpose, a.unit);
}

template <class C>
__global__ void __launch_bounds__(kMatrixThreads) qr(RUTILE_PARAM LinalgArgs a) {
  __shared__ C shared[kMatrixThreads];
  const Work<C> w(a);
  const View<C> x = w.in(a, 0), q = w.out(a, 0), r = w.out(a, 1);
  const View<C> f = view_of<C>(w.room, x.rows, x.columns);
  C* const tau = w.room + x.size();
  copy_matrix(f, x);
  factor_qr(f, tau, shared);
  for_matrix(r.rows, r.columns, [&](int64_t i, int64_t j) { r(i, j) = i <= j ? f(i, j) : C(0); });
  expand_q(f, tau, q);
}

// to = x y.
template <class C>
RUTILE_DEVICE void multiply(const View<C>& to, const View<C>& x, const View<C>& y) {
  for_matrix(to.rows, to.columns, [&](int64_t i, int64_t j) {
    C s{};
    for (int64_t k = 0; k < x.columns; ++k) s += x(i, k) * y(k, j);
    to(i, j) = s;
  });
}

template <class C>
RUTILE_DEVICE C scaled(C v, C by) {
  return v * by;
}
template <class C>
RUTILE_DEVICE Pair<C> scaled(Pair<C> v, C by) {
  return {v.re * by, v.im * by};
}

// Taylor's series of a small part of x, then squarings.
template <class C>
__global__ void __launch_bounds__(kMatrixThreads) exponential(RUTILE_PARAM LinalgArgs a) {
  using R = RealOf<C>;
  __shared__ R shared[kMatrixThreads];
  const Work<C> w(a);
  const View<C> x = w.in(a, 0), out = w.out(a, 0);
  const int64_t n = x.rows;
  View<C> part = view_of<C>(w.room, n, n), term = view_of<C>(w.room + n * n, n, n);
  View<C> next = view_of<C>(w.room + 2 * n * n, n, n), sum = view_of<C>(w.room + 3 * n * n, n, n);
  if (!all_finite(x, shared)) return w.fail(a, FaultKind::kNotFinite, 0);
  const R norm =
      sum_line<R>(0, x.size(), shared, [&](int64_t e) { return size_of_number(x(e / n, e % n)); });
  int squarings = 0;
  R scale = 1;
  for (; norm * scale > R(0.25) && squarings < 4096; ++squarings) scale *= R(0.5);
  for_matrix(n, n, [&](int64_t i, int64_t j) { part(i, j) = scaled(x(i, j), scale); });
  set_identity(term);
  set_identity(sum);
  for (int k = 1; k <= 16; ++k) {
    multiply(next, term, part);
    for_matrix(n, n, [&](int64_t i, int64_t j) {
      next(i, j) = scaled(next(i, j), 1 / static_cast<R>(k));
      sum(i, j) += next(i, j);
    });
    const View<C> t = term;
    term = next;
    next = t;
  }
  for (int s = 0; s < squarings; ++s) {
    multiply(next, sum, sum);
    const View<C> t = sum;
    sum = next;
    next = t;
  }
  copy_matrix(out, sum);
}

__global__ void __launch_bounds__(kCoverThreads) permutation(RUTILE_PARAM PermutationArgs a) {
  const int64_t b = thread_number();
  if (b >= a.batch) return;
  int64_t* const y = a.y + b * a.rows;
  for (int64_t i = 0; i < a.rows; ++i) y[i] = i;
  const int64_t from = a.at.find_one(b);
  for (int64_t i = 0; i < a.steps; ++i) {
    const int64_t other = load<int64_t>(a.type, a.pivots, from + i * a.step) - 1;
    if (other < 0 || other >= a.rows) {
      a.fault.raise(FaultKind::kPivot, other + 1, b * a.steps + i, a.rows, false);
      continue;
    }
    const int64_t kept = y[i];
    y[i] = y[other];
    y[other] = kept;
  }
}

template <class C>
int launch_kind(LinalgKind kind, const LinalgArgs& a, Stream stream) {
  const Grid grid{.x = a.batch, .threads = kMatrixThreads};
  if (a.complex)
    return launch_blocks(exponential<Pair<C>>, grid, stream, a);  // no other takes them
  switch (kind) {
    case LinalgKind::kCholesky:
      return launch_blocks(cholesky<C>, grid, stream, a);
    case LinalgKind::kLu:
      return launch_blocks(lu<C>, grid, stream, a);
    case LinalgKind::kSolve:
      return launch_blocks(solve<C, false>, grid, stream, a);
    case LinalgKind::kInverse:
      return launch_blocks(solve<C, true>, grid, stream, a);
    case LinalgKind::kTriangular:
      return launch_blocks(triangular<C>, grid, stream, a);
    case LinalgKind::kQr:
      return launch_blocks(qr<C>, grid, stream, a);
    default:
      return launch_blocks(exponential<C>, grid, stream, a);
  }
}

}  // namespace

int64_t linalg_room(LinalgKind kind, const LinalgArgs& a) {
  const int64_t m = a.in[0].rows, n = a.in[0].columns, k = m < n ? m : n, tall = m < n ? n : m;
  switch (kind) {
    case LinalgKind::kCholesky:
    case LinalgKind::kLu:
    case LinalgKind::kTriangular:
      return 0;
    case LinalgKind::kSolve:
    case LinalgKind::kInverse:
      return m * n;
    case LinalgKind::kQr:
      return m * n + k;
    case LinalgKind::kEigh:
      return 2 * n * n + 4 * n + 4;
    case LinalgKind::kSvd:
      return 2 * tall * k + k * k + tall * tall + 4 * k + 4;
    default:
      return 4 * n * n;
  }
}

int launch_linalg(LinalgKind kind, const LinalgArgs& a, Stream stream) {
  if (kind == LinalgKind::kEigh || kind == LinalgKind::kSvd) {
    return launch_spectral(kind, a, stream);
  }
  return a.wide ? launch_kind<double>(kind, a, stream) : launch_kind<float>(kind, a, stream);
}

int launch_permutation(const PermutationArgs& a, Stream stream) {
  return launch(permutation, cover(a.batch), stream, a);
}

}  // namespace rutile::cuda
