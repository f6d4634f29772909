// SPDX-License-Identifier: Apache-2.0
// Matrices as one block of threads works on them. Every thread of the block calls these functions,
// with the same arguments.
#pragma once

#include "rutile/kernels/cuda/linalg.h"
#include "rutile/kernels/cuda/pair.h"
#include "rutile/kernels/functors.h"

namespace rutile::cuda {

inline constexpr int kMatrixThreads = 256;

#if RUTILE_KERNEL_CODE

template <class C>
struct View {
  C* p = nullptr;
  int64_t rows = 0, columns = 0, row = 0, column = 0;
  RUTILE_DEVICE C& operator()(int64_t i, int64_t j) const { return p[i * row + j * column]; }
  RUTILE_DEVICE View transposed() const { return {p, columns, rows, column, row}; }
  RUTILE_DEVICE int64_t size() const { return rows * columns; }
};
template <class C>
RUTILE_DEVICE View<C> view_of(const MatrixAt& m, int64_t offset) {
  return {static_cast<C*>(m.data) + offset, m.rows, m.columns, m.row_step, m.column_step};
}
// Row-major in the workspace.
template <class C>
RUTILE_DEVICE View<C> view_of(C* p, int64_t rows, int64_t columns) {
  return {p, rows, columns, columns, 1};
}

// f(i, j) for each element, shared by the threads; then all of them have done it.
template <class F>
RUTILE_DEVICE void for_matrix(int64_t rows, int64_t columns, F&& f) {
  for (int64_t e = threadIdx.x; e < rows * columns; e += kMatrixThreads)
    f(e / columns, e % columns);
  __syncthreads();
}
template <class F>
RUTILE_DEVICE void for_line(int64_t begin, int64_t end, F&& f) {
  for (int64_t i = begin + threadIdx.x; i < end; i += kMatrixThreads) f(i);
  __syncthreads();
}
template <class C>
RUTILE_DEVICE void copy_matrix(const View<C>& to, const View<C>& from) {
  for_matrix(to.rows, to.columns, [&](int64_t i, int64_t j) { to(i, j) = from(i, j); });
}
template <class C>
RUTILE_DEVICE void set_identity(const View<C>& m) {
  for_matrix(m.rows, m.columns, [&](int64_t i, int64_t j) { m(i, j) = i == j ? C{1} : C{}; });
}

// Sum over [begin, end) in a fixed order, for all threads.
template <class C, class F>
RUTILE_DEVICE C sum_line(int64_t begin, int64_t end, C* shared, F&& f) {
  C mine = 0;
  for (int64_t i = begin + threadIdx.x; i < end; i += kMatrixThreads) mine += f(i);
  shared[threadIdx.x] = mine;
  __syncthreads();
  for (int half = kMatrixThreads / 2; half > 0; half /= 2) {
    if (static_cast<int>(threadIdx.x) < half) shared[threadIdx.x] += shared[threadIdx.x + half];
    __syncthreads();
  }
  const C sum = shared[0];
  __syncthreads();
  return sum;
}

template <class C>
RUTILE_DEVICE C size_of_number(C v) {
  return v < 0 ? -v : v;
}
template <class C>
RUTILE_DEVICE C size_of_number(Pair<C> v) {
  return size_of_number(v.re) + size_of_number(v.im);
}
template <class C>
RUTILE_DEVICE bool is_finite(C v) {
  return v - v == 0;
}
template <class C>
RUTILE_DEVICE bool is_finite(Pair<C> v) {
  return is_finite(v.re) && is_finite(v.im);
}
template <class C>
RUTILE_DEVICE bool all_finite(const View<C>& m, RealOf<C>* shared) {
  using R = RealOf<C>;
  const R odd = sum_line<R>(0, m.size(), shared, [&](int64_t e) {
    return is_finite(m(e / m.columns, e % m.columns)) ? R(0) : R(1);
  });
  return odd == 0;
}

// Where the largest of |f(i)| in [begin, end) is, the first of equal ones.
template <class C, class F>
RUTILE_DEVICE int64_t place_of_largest(int64_t begin, int64_t end, C* shared, int64_t* places,
                                       F&& f) {
  C best = -1;
  int64_t at = end;
  for (int64_t i = begin + threadIdx.x; i < end; i += kMatrixThreads) {
    const C v = size_of_number(f(i));
    if (v > best) {
      best = v;
      at = i;
    }
  }
  shared[threadIdx.x] = best;
  places[threadIdx.x] = at;
  __syncthreads();
  for (int half = kMatrixThreads / 2; half > 0; half /= 2) {
    const int t = static_cast<int>(threadIdx.x);
    if (t < half) {
      const C other = shared[t + half];
      if (other > shared[t] || (other == shared[t] && places[t + half] < places[t])) {
        shared[t] = other;
        places[t] = places[t + half];
      }
    }
    __syncthreads();
  }
  const int64_t found = places[0];
  __syncthreads();
  return found < end ? found : begin;  // NaNs only
}

// LU with partial pivoting in place; b's rows change places as a's do. exchange(k, row) is told by
// one thread. The step whose pivot is zero, or -1.
template <class C, class F>
RUTILE_DEVICE int64_t factor_lu(const View<C>& a, const View<C>& b, C* shared, int64_t* places,
                                F&& exchange) {
  const int64_t steps = a.rows < a.columns ? a.rows : a.columns;
  int64_t singular = -1;
  for (int64_t k = 0; k < steps; ++k) {
    const int64_t best =
        place_of_largest(k, a.rows, shared, places, [&](int64_t i) { return a(i, k); });
    if (threadIdx.x == 0) exchange(k, best);
    if (best != k) {
      for_line(0, a.columns + b.columns, [&](int64_t j) {
        C& x = j < a.columns ? a(k, j) : b(k, j - a.columns);
        C& y = j < a.columns ? a(best, j) : b(best, j - a.columns);
        const C kept = x;
        x = y;
        y = kept;
      });
    }
    const C pivot = a(k, k);
    __syncthreads();
    if (pivot == 0) {
      if (singular < 0) singular = k;
      continue;
    }
    for_line(k + 1, a.rows, [&](int64_t i) { a(i, k) /= pivot; });
    for_matrix(a.rows - k - 1, a.columns - k - 1, [&](int64_t i, int64_t j) {
      a(k + 1 + i, k + 1 + j) -= a(k + 1 + i, k) * a(k, k + 1 + j);
    });
  }
  return singular;
}

// b becomes the solution of the triangle of a.
template <class C>
RUTILE_DEVICE void substitute(const View<C>& a, const View<C>& b, bool upper, bool unit) {
  const int64_t n = a.rows;
  for (int64_t step = 0; step < n; ++step) {
    const int64_t k = upper ? n - 1 - step : step;
    if (!unit) {
      const C pivot = a(k, k);
      for_line(0, b.columns, [&](int64_t j) { b(k, j) /= pivot; });
    }
    const int64_t from = upper ? 0 : k + 1, left = upper ? k : n - k - 1;
    for_matrix(left, b.columns,
               [&](int64_t i, int64_t j) { b(from + i, j) -= a(from + i, k) * b(k, j); });
  }
}

// Householder: r becomes upper triangular with the reflections' vectors below (1 on the diagonal is
// left out), tau their factors.
template <class C>
RUTILE_DEVICE void factor_qr(const View<C>& r, C* tau, C* shared) {
  const int64_t steps = r.rows < r.columns ? r.rows : r.columns;
  for (int64_t k = 0; k < steps; ++k) {
    const C below =
        sum_line<C>(k + 1, r.rows, shared, [&](int64_t i) { return r(i, k) * r(i, k); });
    const C alpha = r(k, k);
    __syncthreads();
    if (below == 0) {
      if (threadIdx.x == 0) tau[k] = 0;
      __syncthreads();
      continue;
    }
    const C length = kernels::StdMath::sqrt(alpha * alpha + below);
    const C beta = alpha < 0 ? length : -length, factor = (beta - alpha) / beta;
    for_line(k + 1, r.rows, [&](int64_t i) { r(i, k) /= alpha - beta; });
    if (threadIdx.x == 0) {
      tau[k] = factor;
      r(k, k) = beta;
    }
    __syncthreads();
    for_line(k + 1, r.columns, [&](int64_t j) {
      C s = r(k, j);
      for (int64_t i = k + 1; i < r.rows; ++i) s += r(i, k) * r(i, j);
      s *= factor;
      r(k, j) -= s;
      for (int64_t i = k + 1; i < r.rows; ++i) r(i, j) -= s * r(i, k);
    });
  }
}
// The first columns of the product of r's reflections.
template <class C>
RUTILE_DEVICE void expand_q(const View<C>& r, const C* tau, const View<C>& q) {
  set_identity(q);
  const int64_t steps = r.rows < r.columns ? r.rows : r.columns;
  for (int64_t k = steps - 1; k >= 0; --k) {
    const C factor = tau[k];
    for_line(0, q.columns, [&](int64_t j) {
      C s = q(k, j);
      for (int64_t i = k + 1; i < r.rows; ++i) s += r(i, k) * q(i, j);
      s *= factor;
      q(k, j) -= s;
      for (int64_t i = k + 1; i < r.rows; ++i) q(i, j) -= s * r(i, k);
    });
  }
}

// 1 or -1: what makes the element of largest magnitude of a column positive, of nearly equal ones
// the first.
template <class C>
RUTILE_DEVICE C sign_of_peak(const View<C>& m, int64_t column) {
  C best = 0, sign = 1;
  for (int64_t i = 0; i < m.rows; ++i) {
    const C v = m(i, column), size = size_of_number(v);
    if (size > best * static_cast<C>(1 + 1e-4)) {
      best = size;
      sign = v < 0 ? C(-1) : C(1);
    }
  }
  return sign;
}

// Pairs of a round-robin of n players (n even): in each of n - 1 rounds everybody meets another.
struct Pairing {
  int64_t n;
  RUTILE_DEVICE void meet(int64_t round, int64_t pair, int64_t* i, int64_t* j) const {
    const int64_t m = n - 1;
    const int64_t a = pair == 0 ? m : (round + pair) % m, b = (round + m - pair) % m;
    *i = a < b ? a : b;
    *j = a < b ? b : a;
  }
};

// The rotation that makes the product of two columns, or an element off the diagonal, vanish.
template <class C>
RUTILE_DEVICE void rotation(C tau, C* cosine, C* sine) {
  const C t =
      (tau < 0 ? C(-1) : C(1)) / (size_of_number(tau) + kernels::StdMath::sqrt(1 + tau * tau));
  *cosine = 1 / kernels::StdMath::sqrt(1 + t * t);
  *sine = t * *cosine;
}

#endif

}  // namespace rutile::cuda
