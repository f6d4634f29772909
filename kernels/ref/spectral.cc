// SPDX-License-Identifier: Apache-2.0
// Eigenvalues and singular values from the textbook (Golub and Van Loan), in double: Jacobi
// rotations, QR steps with shifts.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "rutile/kernels/ref/dense.h"
#include "rutile/kernels/register.h"

namespace rutile::kernels {
namespace {

using namespace dense;

// Cyclic Jacobi: a becomes diagonal, the columns of the result are eigenvectors.
template <class S>
Dense<S> jacobi(Dense<S>& a) {
  const int64_t n = a.rows;
  Dense<S> v = identity<S>(n, n);
  for (int sweep = 0; sweep < 60; ++sweep) {
    double off = 0, all = 0;
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j) (i == j ? all : off) += size2(a(i, j));
    }
    if (off <= 1e-34 * (all + off)) break;
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = i + 1; j < n; ++j) {
        if (a(i, j) == S(0)) continue;
        const S turn = conjugate(phase(a(i, j)));  // of column j: makes a(i, j) real
        const double tau = real_of(a(j, j) - a(i, i)) / (2 * std::abs(a(i, j)));
        const double t = (tau < 0 ? -1 : 1) / (std::abs(tau) + std::hypot(1.0, tau));
        const double c = 1 / std::hypot(1.0, t), s = t * c;
        for (int64_t k = 0; k < n; ++k) {
          const S x = a(k, i), y = a(k, j) * turn;
          a(k, i) = c * x - s * y;
          a(k, j) = s * x + c * y;
        }
        for (int64_t k = 0; k < n; ++k) {
          const S x = a(i, k), y = a(j, k) * conjugate(turn), vx = v(k, i), vy = v(k, j) * turn;
          a(i, k) = c * x - s * y;
          a(j, k) = s * x + c * y;
          v(k, i) = c * vx - s * vy;
          v(k, j) = s * vx + c * vy;
        }
        // Rounding must not part the halves: the upper one alone says how to turn.
        a(i, j) = a(j, i) = 0;
        for (int64_t k = 0; k < n; ++k) {
          if (k != i) a(i, k) = conjugate(a(k, i));
          if (k != j) a(j, k) = conjugate(a(k, j));
        }
      }
    }
  }
  return v;
}

std::vector<int64_t> rising(const std::vector<double>& w) {
  std::vector<int64_t> order(w.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return w[static_cast<size_t>(a)] < w[static_cast<size_t>(b)];
  });
  return order;
}

template <class S>
Fault eigh(const Job<S>& job) {
  Dense<S> a = job.p.template as<ops::EighAttrs>().upper ? job.in().adjoint() : job.in();
  const int64_t n = a.rows;
  for (int64_t i = 0; i < n; ++i) {
    a(i, i) = real_of(a(i, i));
    for (int64_t j = i + 1; j < n; ++j) a(i, j) = conjugate(a(j, i));
  }
  if (!a.finite()) return {Fault::kNotFinite, 0};
  const Dense<S> v = jacobi(a);
  std::vector<double> w;
  for (int64_t i = 0; i < n; ++i) w.push_back(real_of(a(i, i)));
  const std::vector<int64_t> order = rising(w);
  Dense<double> values(n, 1);
  Dense<S> vectors(n, n);
  for (int64_t k = 0; k < n; ++k) {
    const int64_t from = order[static_cast<size_t>(k)];
    const S turn = positive_peak<S>(n, [&](int64_t i) { return v(i, from); });
    values(k, 0) = real_of(a(from, from));
    for (int64_t i = 0; i < n; ++i) vectors(i, k) = turn * v(i, from);
  }
  job.out(0, values);
  job.out(1, vectors);
  return {};
}

// One-sided Jacobi: the columns of a are turned until they are orthogonal; the rotations come out.
template <class S>
Dense<S> hestenes(Dense<S>& a) {
  Dense<S> v = identity<S>(a.cols, a.cols);
  for (int sweep = 0; sweep < 80; ++sweep) {
    bool turned = false;
    for (int64_t i = 0; i < a.cols; ++i) {
      for (int64_t j = i + 1; j < a.cols; ++j) {
        double x = 0, y = 0;
        S xy = 0;
        for (int64_t k = 0; k < a.rows; ++k) {
          x += size2(a(k, i));
          y += size2(a(k, j));
          xy += conjugate(a(k, i)) * a(k, j);
        }
        if (std::abs(xy) <= 1e-16 * std::sqrt(x * y)) continue;
        turned = true;
        const S turn = conjugate(phase(xy));
        const double tau = (y - x) / (2 * std::abs(xy));
        const double t = (tau < 0 ? -1 : 1) / (std::abs(tau) + std::hypot(1.0, tau));
        const double c = 1 / std::hypot(1.0, t), s = t * c;
        auto rotate = [&](Dense<S>& m) {
          for (int64_t k = 0; k < m.rows; ++k) {
            const S p = m(k, i), q = m(k, j) * turn;
            m(k, i) = c * p - s * q;
            m(k, j) = s * p + c * q;
          }
        };
        rotate(a);
        rotate(v);
      }
    }
    if (!turned) break;
  }
  return v;
}

// A basis of the whole space that begins with the k orthonormal columns of x.
template <class S>
Dense<S> completed(const Dense<S>& x) {
  Dense<S> r = x, q = householder(r);
  for (int64_t i = 0; i < x.rows; ++i) {
    for (int64_t j = 0; j < x.cols; ++j) q(i, j) = x(i, j);
  }
  return q;
}

template <class S>
Fault svd(const Job<S>& job) {
  const Dense<S> x = job.in();
  if (!x.finite()) return {Fault::kNotFinite, 0};
  const bool wide = x.rows < x.cols;
  Dense<S> a = wide ? x.adjoint() : x;  // tall
  const Dense<S> v = hestenes(a);
  const int64_t m = a.rows, k = a.cols;
  std::vector<double> s;
  for (int64_t j = 0; j < k; ++j) {
    double sum = 0;
    for (int64_t i = 0; i < m; ++i) sum += size2(a(i, j));
    s.push_back(-std::sqrt(sum));
  }
  const std::vector<int64_t> order = rising(s);
  Dense<double> values(k, 1);
  Dense<S> left(m, k), right(k, k);
  for (int64_t j = 0; j < k; ++j) {
    const int64_t from = order[static_cast<size_t>(j)];
    const double size = -s[static_cast<size_t>(from)];
    values(j, 0) = size;
    for (int64_t i = 0; i < m; ++i) left(i, j) = size > 0 ? a(i, from) / size : S(0);
    for (int64_t i = 0; i < k; ++i) right(i, j) = v(i, from);
  }
  Dense<S> u = wide ? right : left, w = wide ? left : right;
  for (int64_t j = 0; j < k; ++j) {
    const S turn = positive_peak<S>(u.rows, [&](int64_t i) { return u(i, j); });
    for (int64_t i = 0; i < u.rows; ++i) u(i, j) *= turn;
    for (int64_t i = 0; i < w.rows; ++i) w(i, j) *= turn;
  }
  job.out(0, job.place(0).cols > k ? completed(u) : u);
  job.out(1, values);
  job.out(2, (job.place(2).rows > k ? completed(w) : w).adjoint());
  return {};
}

// QR steps with shifts: t becomes upper triangular, the result turns it back. False: no end.
bool schur(Dense<Complex>& t, Dense<Complex>* z) {
  const int64_t n = t.rows;
  *z = identity<Complex>(n, n);
  double size = 0;
  for (const Complex x : t.v) size += std::abs(x);
  int64_t m = n - 1;  // the block still at work
  for (int step = 0; m > 0; ++step) {
    if (step > 200 * n) return false;
    double left = 0;
    for (int64_t j = 0; j < m; ++j) left += std::abs(t(m, j));
    if (left <= 1e-16 * size) {
      for (int64_t j = 0; j < m; ++j) t(m, j) = 0;
      --m;
      continue;
    }
    // The eigenvalue of the last two rows that is nearer to the corner; now and then another.
    const Complex a = t(m - 1, m - 1), b = t(m - 1, m), c = t(m, m - 1), d = t(m, m);
    const Complex root = std::sqrt((a - d) * (a - d) / 4.0 + b * c), half = (a + d) / 2.0;
    Complex shift =
        std::abs(half + root - d) < std::abs(half - root - d) ? half + root : half - root;
    if (step % 20 == 19) shift += left;
    Dense<Complex> r(m + 1, m + 1);
    for (int64_t i = 0; i <= m; ++i) {
      for (int64_t j = 0; j <= m; ++j) r(i, j) = t(i, j) - (i == j ? shift : 0);
    }
    const Dense<Complex> small = householder(r);
    Dense<Complex> q = identity<Complex>(n, n);
    for (int64_t i = 0; i <= m; ++i) {
      for (int64_t j = 0; j <= m; ++j) q(i, j) = small(i, j);
    }
    t = product(product(q.adjoint(), t), q);
    *z = product(*z, q);
  }
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < i; ++j) t(i, j) = 0;
  }
  return true;
}

template <class S>
Fault eig(const Job<S>& job) {
  const Dense<S> x = job.in();
  if (!x.finite()) return {Fault::kNotFinite, 0};
  const int64_t n = x.rows;
  Dense<Complex> t(n, n), z(n, n);
  for (size_t i = 0; i < x.v.size(); ++i) t.v[i] = x.v[i];
  if (!schur(t, &z)) return {Fault::kNoConvergence, 0};
  std::vector<Complex> w;
  double size = 1e-300;
  for (int64_t i = 0; i < n; ++i) {
    w.push_back(t(i, i));
    size = std::max(size, std::abs(t(i, i)));
  }
  Dense<Complex> values(n, 1), vectors(n, n);
  const double rounding = real_dtype(job.p.dtype) == DType::kF64 ? 1e-9 : 1e-4;
  int64_t to = 0;
  for (const int64_t k : order_of_eigenvalues(w, rounding)) {
    Dense<Complex> y(n, 1);
    y(k, 0) = 1;
    for (int64_t i = k - 1; i >= 0; --i) {
      Complex s = 0;
      for (int64_t j = i + 1; j <= k; ++j) s -= t(i, j) * y(j, 0);
      const Complex gap = t(i, i) - t(k, k);
      y(i, 0) = s / (std::abs(gap) < 1e-16 * size ? Complex(1e-16 * size) : gap);
    }
    const Dense<Complex> v = product(z, y);
    double length = 0;
    for (const Complex e : v.v) length += std::norm(e);
    const Complex turn = positive_peak<Complex>(n, [&](int64_t i) { return v(i, 0); });
    values(to, 0) = t(k, k);
    for (int64_t i = 0; i < n; ++i) vectors(i, to) = v(i, 0) * turn / std::sqrt(length);
    ++to;
  }
  job.out(0, values);
  job.out(1, vectors);
  return {};
}

}  // namespace

void register_spectral_ref() {
  register_kernel(matrix_row<svd<double>, svd<Complex>, 1, 2, 1, 2>(ops::kSvd));
  register_kernel(matrix_row<eigh<double>, eigh<Complex>, 1, 1, 2>(ops::kEigh));
  register_kernel(matrix_row<eig<double>, eig<Complex>, 1, 1, 2>(ops::kEig));
}

}  // namespace rutile::kernels
