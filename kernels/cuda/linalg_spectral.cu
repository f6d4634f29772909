// SPDX-License-Identifier: Apache-2.0
// Eigenvalues of symmetric matrices and singular values by Jacobi's rotations, in rounds of pairs
// that do not meet (Brent and Luk, 1985).
#include "rutile/kernels/cuda/linalg_block.h"

namespace rutile::cuda {
namespace {

template <class C>
inline constexpr C kEpsilon = static_cast<C>(sizeof(C) == 8 ? 2.3e-16 : 1.2e-7);
constexpr int kSweeps = 40, kLanes = 32;

// Where each value stands in the order of f: rising, the first of equal ones before the others.
template <class C>
RUTILE_DEVICE void rank_values(const C* values, int64_t n, int64_t* ranks, bool falling) {
  for_line(0, n, [&](int64_t i) {
    int64_t before = 0;
    for (int64_t j = 0; j < n; ++j) {
      const bool less = falling ? values[j] > values[i] : values[j] < values[i];
      if (less || (values[j] == values[i] && j < i)) ++before;
    }
    ranks[i] = before;
  });
}

// Integers in the workspace of numbers: one needs two floats.
template <class C>
RUTILE_DEVICE int64_t* integers_at(C* p) {
  const auto at = reinterpret_cast<uintptr_t>(p);
  return reinterpret_cast<int64_t*>((at + 7) / 8 * 8);
}

template <class C>
RUTILE_DEVICE void jacobi(const View<C>& x, const View<C>& v, C* turns, C* shared) {
  const int64_t n = x.rows, even = n + n % 2, pairs = even / 2;
  set_identity(v);
  const Pairing game{even};
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    const C off = sum_line<C>(0, n * n, shared, [&](int64_t e) {
      const C u = x(e / n, e % n);
      return e / n == e % n ? C(0) : u * u;
    });
    const C all = sum_line<C>(0, n, shared, [&](int64_t i) { return x(i, i) * x(i, i); });
    if (off <= kEpsilon<C> * kEpsilon<C> * (all + off)) return;
    for (int64_t round = 0; round + 1 < even; ++round) {
      for_line(0, pairs, [&](int64_t p) {
        int64_t i, j;
        game.meet(round, p, &i, &j);
        C cosine = 1, sine = 0;
        if (j < n && x(i, j) != 0) {
          rotation<C>((x(j, j) - x(i, i)) / (2 * x(i, j)), &cosine, &sine);
        }
        turns[2 * p] = cosine;
        turns[2 * p + 1] = sine;
      });
      const auto turn = [&](C& p, C& q, int64_t pair) {
        const C a = p, b = q, c = turns[2 * pair], s = turns[2 * pair + 1];
        p = c * a - s * b;
        q = s * a + c * b;
      };
      for_matrix(pairs, n, [&](int64_t p, int64_t k) {
        int64_t i, j;
        game.meet(round, p, &i, &j);
        if (j >= n) return;
        turn(x(k, i), x(k, j), p);
        turn(v(k, i), v(k, j), p);
      });
      for_matrix(pairs, n, [&](int64_t p, int64_t k) {
        int64_t i, j;
        game.meet(round, p, &i, &j);
        if (j < n) turn(x(i, k), x(j, k), p);
      });
    }
  }
}

template <class C>
__global__ void __launch_bounds__(kMatrixThreads) eigh(RUTILE_PARAM LinalgArgs a) {
  __shared__ C shared[kMatrixThreads];
  const int64_t index = blockIdx.x;
  int64_t at[5];
  a.at.find(index, at);
  const View<C> in = view_of<C>(a.in[0], at[0]);
  const View<C> values = view_of<C>(a.out[0], at[2]), vectors = view_of<C>(a.out[1], at[3]);
  const int64_t n = in.rows;
  C* const room = static_cast<C*>(a.workspace) + index * a.room;
  const View<C> x = view_of<C>(room, n, n), v = view_of<C>(room + n * n, n, n);
  C *const turns = room + 2 * n * n, *const w = turns + n + 1;
  int64_t* const ranks = integers_at(w + n);
  for_matrix(n, n, [&](int64_t i, int64_t j) {
    const bool low = j <= i;
    x(i, j) = low != a.upper || i == j ? in(i, j) : in(j, i);
  });
  if (!all_finite(x, shared)) {
    if (threadIdx.x == 0) a.fault.raise(FaultKind::kNotFinite, 0, index, a.single ? 0 : 1, false);
    return;
  }
  jacobi(x, v, turns, shared);
  for_line(0, n, [&](int64_t i) { w[i] = x(i, i); });
  rank_values(w, n, ranks, false);
  for_line(0, n, [&](int64_t k) {
    const C sign = sign_of_peak(v, k);
    values(ranks[k], 0) = w[k];
    for (int64_t i = 0; i < n; ++i) vectors(i, ranks[k]) = sign * v(i, k);
  });
}

// Sums of a warp's lanes, for all of them.
template <class C>
RUTILE_DEVICE C sum_of_lanes(C v) {
  for (int half = kLanes / 2; half > 0; half /= 2) v += __shfl_xor_sync(0xffffffffu, v, half);
  return v;
}

// One-sided: the columns of x are turned until they are orthogonal, v's with them. A warp a pair.
template <class C>
RUTILE_DEVICE void hestenes(const View<C>& x, const View<C>& v, int* turned) {
  const int64_t n = x.columns, even = n + n % 2, pairs = even / 2;
  const int64_t warps = kMatrixThreads / kLanes, warp = threadIdx.x / kLanes;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  set_identity(v);
  const Pairing game{even};
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    if (threadIdx.x == 0) *turned = 0;
    __syncthreads();
    for (int64_t round = 0; round + 1 < even; ++round) {
      for (int64_t p = warp; p < pairs; p += warps) {
        int64_t i, j;
        game.meet(round, p, &i, &j);
        if (j >= n) continue;
        C xx = 0, yy = 0, xy = 0;
        for (int64_t k = lane; k < x.rows; k += kLanes) {
          const C s = x(k, i), t = x(k, j);
          xx += s * s;
          yy += t * t;
          xy += s * t;
        }
        xx = sum_of_lanes(xx);
        yy = sum_of_lanes(yy);
        xy = sum_of_lanes(xy);
        const C size = kernels::StdMath::sqrt(xx) * kernels::StdMath::sqrt(yy);
        if (size_of_number(xy) <= 4 * kEpsilon<C> * size) continue;
        if (lane == 0) (void)atomicOr(turned, 1);
        C c, s;
        rotation<C>((yy - xx) / (2 * xy), &c, &s);
        for (int64_t k = lane; k < x.rows + v.rows; k += kLanes) {
          C& u = k < x.rows ? x(k, i) : v(k - x.rows, i);
          C& t = k < x.rows ? x(k, j) : v(k - x.rows, j);
          const C left = u, right = t;
          u = c * left - s * right;
          t = s * left + c * right;
        }
      }
      __syncthreads();
    }
    const int any = *turned;
    __syncthreads();
    if (any == 0) return;
  }
}

// The columns of `thin` [m, k] are kept, and completed to a basis where `full` has m.
template <class C>
RUTILE_DEVICE void write_basis(const View<C>& full, const View<C>& thin, C* room, C* tau,
                               C* shared) {
  const int64_t m = thin.rows, k = thin.columns;
  if (full.columns > k) {
    const View<C> r = view_of<C>(room, m, k);
    copy_matrix(r, thin);
    factor_qr(r, tau, shared);
    expand_q(r, tau, full);
  }
  for_matrix(m, k, [&](int64_t i, int64_t j) { full(i, j) = thin(i, j); });
}

template <class C>
__global__ void __launch_bounds__(kMatrixThreads) svd(RUTILE_PARAM LinalgArgs a) {
  __shared__ C shared[kMatrixThreads];
  __shared__ int turned[1];
  const int64_t index = blockIdx.x;
  int64_t at[5];
  a.at.find(index, at);
  const View<C> in = view_of<C>(a.in[0], at[0]), values = view_of<C>(a.out[1], at[3]);
  const bool wide = in.rows < in.columns;
  const View<C> x = wide ? in.transposed() : in;
  const int64_t m = x.rows, k = x.columns;
  // Behind it: rotated columns, sorted columns, rotations, what completes, numbers.
  C* room = static_cast<C*>(a.workspace) + index * a.room;
  const View<C> y = view_of<C>(room, m, k), left = view_of<C>(room + m * k, m, k);
  const View<C> v = view_of<C>(room + 2 * m * k, k, k);
  C* const more = room + 2 * m * k + k * k;  // m * m
  C *const tau = more + m * m, *const sizes = tau + k;
  int64_t* const ranks = integers_at(sizes + k);
  copy_matrix(y, x);
  if (!all_finite(y, shared)) {
    if (threadIdx.x == 0) a.fault.raise(FaultKind::kNotFinite, 0, index, a.single ? 0 : 1, false);
    return;
  }
  hestenes(y, v, turned);
  for_line(0, k, [&](int64_t j) {
    C s = 0;
    for (int64_t i = 0; i < m; ++i) s += y(i, j) * y(i, j);
    sizes[j] = kernels::StdMath::sqrt(s);
  });
  rank_values(sizes, k, ranks, true);
  // The vectors on the left of `in` say how each pair is turned.
  const View<C> right = view_of<C>(more, k, k);  // until the bases are completed
  for_line(0, k, [&](int64_t j) {
    const C sign = sign_of_peak(wide ? v : y, j), size = sizes[j];
    values(ranks[j], 0) = size;
    for (int64_t i = 0; i < m; ++i) left(i, ranks[j]) = size > 0 ? sign * y(i, j) / size : C(0);
    for (int64_t i = 0; i < k; ++i) right(i, ranks[j]) = sign * v(i, j);
  });
  copy_matrix(v, right);
  const View<C> u = view_of<C>(a.out[0], at[2]), w = view_of<C>(a.out[2], at[4]).transposed();
  write_basis(wide ? w : u, left, more, tau, shared);
  write_basis(wide ? u : w, v, more, tau, shared);
}

template <class C>
int launch_type(LinalgKind kind, const LinalgArgs& a, Stream stream) {
  const Grid grid{.x = a.batch, .threads = kMatrixThreads};
  return kind == LinalgKind::kEigh ? launch_blocks(eigh<C>, grid, stream, a)
                                   : launch_blocks(svd<C>, grid, stream, a);
}

}  // namespace

int launch_spectral(LinalgKind kind, const LinalgArgs& a, Stream stream) {
  return a.wide ? launch_type<double>(kind, a, stream) : launch_type<float>(kind, a, stream);
}

}  // namespace rutile::cuda
