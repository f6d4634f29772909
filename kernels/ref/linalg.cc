// SPDX-License-Identifier: Apache-2.0
// Linear algebra from the textbook (Golub and Van Loan), in double: Cholesky-Banachiewicz,
// Doolittle with partial pivoting, Householder, Jacobi rotations, a Taylor series with squaring.
#include "rutile/ops/linalg.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <numeric>
#include <vector>

#include "rutile/core/complex.h"
#include "rutile/kernels/index_range.h"
#include "rutile/kernels/matrix_batch.h"
#include "rutile/kernels/ref/ref_plan.h"
#include "rutile/kernels/register.h"

namespace rutile::kernels {
namespace {

template <class S>  // double or complex<double>
struct Dense {
  int64_t rows = 0, cols = 0;
  std::vector<S> v;
  Dense(int64_t m, int64_t n) : rows(m), cols(n), v(static_cast<size_t>(m * n), 0.0) {}
  S& operator()(int64_t i, int64_t j) { return v[static_cast<size_t>(i * cols + j)]; }
  S operator()(int64_t i, int64_t j) const { return v[static_cast<size_t>(i * cols + j)]; }
  Dense transposed() const {
    Dense t(cols, rows);
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < cols; ++j) t(j, i) = (*this)(i, j);
    }
    return t;
  }
  Dense adjoint() const {
    Dense t = transposed();
    for (S& x : t.v) x = conjugate(x);
    return t;
  }
  bool finite() const {
    return std::all_of(v.begin(), v.end(), [](S x) { return std::isfinite(std::abs(x)); });
  }
};
double real_of(double x) { return x; }
double real_of(std::complex<double> x) { return x.real(); }
double size2(double x) { return x * x; }
double size2(std::complex<double> x) { return std::norm(x); }
// x / |x|, 1 of 0.
template <class S>
S phase(S x) {
  const double size = std::abs(x);
  return size == 0 ? S(1) : x / size;
}
template <class S>
Dense<S> identity(int64_t m, int64_t n) {
  Dense<S> y(m, n);
  for (int64_t i = 0; i < std::min(m, n); ++i) y(i, i) = 1;
  return y;
}
template <class S>
Dense<S> product(const Dense<S>& a, const Dense<S>& b) {
  Dense<S> y(a.rows, b.cols);
  for (int64_t i = 0; i < a.rows; ++i) {
    for (int64_t k = 0; k < a.cols; ++k) {
      for (int64_t j = 0; j < b.cols; ++j) y(i, j) += a(i, k) * b(k, j);
    }
  }
  return y;
}

using Complex = std::complex<double>;
template <class S>
Dense<S> load(const MatrixPlan& p, const Matrix& m) {
  using Small = std::conditional_t<std::is_same_v<S, double>, float, std::complex<float>>;
  const bool wide = real_dtype(p.dtype) == DType::kF64;
  Dense<S> y(m.rows, m.cols);
  for (int64_t i = 0; i < m.rows; ++i) {
    for (int64_t j = 0; j < m.cols; ++j) y(i, j) = wide ? m.at<S>(i, j) : S(m.at<Small>(i, j));
  }
  return y;
}
template <class S>
void store(const MatrixPlan& p, const Matrix& m, const Dense<S>& x) {
  using Small = std::conditional_t<std::is_same_v<S, double>, float, std::complex<float>>;
  const bool wide = real_dtype(p.dtype) == DType::kF64;
  for (int64_t i = 0; i < m.rows; ++i) {
    for (int64_t j = 0; j < m.cols; ++j) {
      if (wide) {
        m.at<S>(i, j) = x(i, j);
      } else {
        m.at<Small>(i, j) = static_cast<Small>(x(i, j));
      }
    }
  }
}

// One matrix of a batch: what goes in by position, and places for results.
template <class S>
struct Job {
  const MatrixPlan& p;
  const KernelArgs& args;
  int64_t index;
  Dense<S> in(int i = 0) const { return load<S>(p, p.input(args, i, index)); }
  Matrix place(int i) const { return p.output(args, i, index); }
  template <class R>  // S, or double
  void out(int i, const Dense<R>& x) const {
    store(p, place(i), x);
  }
};

template <class S, Fault (*kOne)(const Job<S>&)>
Status run(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const MatrixPlan&>(plan);
  return for_each_matrix(p, false, [&](int64_t i) { return kOne(Job<S>{p, args, i}); });
}

template <class S>
Fault cholesky(const Job<S>& job) {
  const bool upper = job.p.template as<ops::CholeskyAttrs>().upper;
  const Dense<S> a = upper ? job.in().adjoint() : job.in();
  Dense<S> l(a.rows, a.rows);
  for (int64_t j = 0; j < a.rows; ++j) {
    for (int64_t i = j; i < a.rows; ++i) {
      S s = a(i, j);
      for (int64_t k = 0; k < j; ++k) s -= l(i, k) * conjugate(l(j, k));
      if (i == j && !(real_of(s) > 0)) return {Fault::kNotPositive, j};
      l(i, j) = i == j ? S(std::sqrt(real_of(s))) : s / l(j, j);
    }
  }
  job.out(0, upper ? l.adjoint() : l);
  return {};
}

// LAPACK's measure: |re| + |im|.
double pivot_size(double v) { return std::fabs(v); }
double pivot_size(Complex v) { return std::fabs(v.real()) + std::fabs(v.imag()); }

// Doolittle in place; row i changed places with exchanges[i].
template <class S>
std::vector<int64_t> factor(Dense<S>& a) {
  const int64_t steps = std::min(a.rows, a.cols);
  std::vector<int64_t> exchanges;
  for (int64_t k = 0; k < steps; ++k) {
    int64_t best = k;
    for (int64_t i = k + 1; i < a.rows; ++i) {
      if (pivot_size(a(i, k)) > pivot_size(a(best, k))) best = i;
    }
    exchanges.push_back(best);
    for (int64_t j = 0; j < a.cols; ++j) std::swap(a(k, j), a(best, j));
    if (a(k, k) == S(0)) continue;
    for (int64_t i = k + 1; i < a.rows; ++i) {
      a(i, k) /= a(k, k);
      for (int64_t j = k + 1; j < a.cols; ++j) a(i, j) -= a(i, k) * a(k, j);
    }
  }
  return exchanges;
}

template <class S>
Fault lu_factor(const Job<S>& job) {
  Dense<S> a = job.in();
  const std::vector<int64_t> exchanges = factor(a);
  job.out(0, a);
  const Matrix pivots = job.place(1);
  for (size_t k = 0; k < exchanges.size(); ++k) {
    pivots.at<int32_t>(static_cast<int64_t>(k)) = static_cast<int32_t>(exchanges[k] + 1);
  }
  return {};
}

// Substitution: the triangle of a is solved for every column of b.
template <class S>
void substitute(const Dense<S>& a, Dense<S>& b, bool upper, bool unit) {
  const int64_t n = a.rows;
  for (int64_t step = 0; step < n; ++step) {
    const int64_t i = upper ? n - 1 - step : step;
    for (int64_t j = 0; j < b.cols; ++j) {
      S s = b(i, j);
      for (int64_t k = upper ? i + 1 : 0; k < (upper ? n : i); ++k) s -= a(i, k) * b(k, j);
      b(i, j) = unit ? s : s / a(i, i);
    }
  }
}

template <class S>
Fault solve_system(Dense<S> a, Dense<S> b, const Job<S>& job) {
  const std::vector<int64_t> exchanges = factor(a);
  for (int64_t k = 0; k < a.rows; ++k) {
    if (a(k, k) == S(0)) return {Fault::kSingular, k};
    for (int64_t j = 0; j < b.cols; ++j) {
      std::swap(b(k, j), b(exchanges[static_cast<size_t>(k)], j));
    }
  }
  substitute(a, b, false, true);
  substitute(a, b, true, false);
  job.out(0, b);
  return {};
}
template <class S>
Fault solve(const Job<S>& job) {
  return solve_system(job.in(0), job.in(1), job);
}
template <class S>
Fault inverse(const Job<S>& job) {
  const Dense<S> a = job.in();
  return solve_system(a, identity<S>(a.rows, a.rows), job);
}

template <class S>
Fault solve_triangular(const Job<S>& job) {
  const auto& t = job.p.template as<ops::TriangularAttrs>();
  Dense<S> a = job.in(0), b = job.in(1);
  for (int64_t k = 0; k < a.rows && !t.unitriangular; ++k) {
    if (a(k, k) == S(0)) return {Fault::kSingular, k};
  }
  substitute(t.transpose ? a.transposed() : a, b, t.upper != t.transpose, t.unitriangular);
  job.out(0, b);
  return {};
}

// Householder: r becomes upper triangular with a real diagonal, the result is the whole of Q.
template <class S>
Dense<S> householder(Dense<S>& r) {
  Dense<S> q = identity<S>(r.rows, r.rows);
  for (int64_t k = 0; k < std::min(r.rows, r.cols); ++k) {
    double below = 0;
    for (int64_t i = k + 1; i < r.rows; ++i) below += size2(r(i, k));
    if (below == 0 && r(k, k) == S(real_of(r(k, k)))) continue;
    const double length = std::sqrt(size2(r(k, k)) + below);
    // H r = beta e for H = 1 - tau v v', not its own adjoint unless real (as LAPACK's larfg).
    const double beta = real_of(r(k, k)) < 0 ? length : -length;
    const S alpha = r(k, k), tau = (beta - alpha) / beta;
    std::vector<S> v(static_cast<size_t>(r.rows), 0.0);
    v[static_cast<size_t>(k)] = 1;
    for (int64_t i = k + 1; i < r.rows; ++i) v[static_cast<size_t>(i)] = r(i, k) / (alpha - beta);
    auto at = [&](int64_t i) { return v[static_cast<size_t>(i)]; };
    for (int64_t j = 0; j < r.cols; ++j) {
      S s = 0;
      for (int64_t i = k; i < r.rows; ++i) s += conjugate(at(i)) * r(i, j);
      for (int64_t i = k; i < r.rows; ++i) r(i, j) -= conjugate(tau) * s * at(i);
    }
    for (int64_t j = 0; j < r.rows; ++j) {
      S s = 0;
      for (int64_t i = k; i < r.rows; ++i) s += q(j, i) * at(i);
      for (int64_t i = k; i < r.rows; ++i) q(j, i) -= tau * s * conjugate(at(i));
    }
    r(k, k) = beta;
    for (int64_t i = k + 1; i < r.rows; ++i) r(i, k) = 0;
  }
  return q;
}

template <class S>
Fault qr(const Job<S>& job) {
  Dense<S> r = job.in();
  job.out(0, householder(r));
  job.out(1, r);
  return {};
}

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

template <class S>
Fault matrix_exp(const Job<S>& job) {
  Dense<S> a = job.in();
  if (!a.finite()) return {Fault::kNotFinite, 0};
  double norm = 0;
  for (const S x : a.v) norm += std::abs(x);
  const int squarings = norm > 0.25 ? std::ilogb(norm) + 3 : 0;
  for (S& x : a.v) x *= std::ldexp(1.0, -squarings);
  Dense<S> term = identity<S>(a.rows, a.rows), y = term;
  for (int n = 1; n <= 24; ++n) {
    term = product(term, a);
    for (size_t i = 0; i < y.v.size(); ++i) y.v[i] += term.v[i] /= static_cast<double>(n);
  }
  for (int i = 0; i < squarings; ++i) y = product(y, y);
  job.out(0, y);
  return {};
}

Status run_permutation(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const Elements pivots = input(p, args, 0);
  auto* y = static_cast<int64_t*>(args.out[0]);
  const int64_t n = p.as<ops::LuPermutationAttrs>().rows;
  const int64_t k = p.in[0].shape.back(), batch = n > 0 ? p.out[0].numel() / n : 0;
  for (int64_t b = 0; b < batch; ++b, y += n) {
    std::iota(y, y + n, 0);
    for (int64_t i = 0; i < k; ++i) {
      const Dims at = position_of(b * k + i, p.in[0].shape);
      const int64_t other = pivots.int_at(at) - 1;
      if (other < 0 || other >= n) {
        return index_error(
            cat("pivot ", other + 1, " at ", at, " is out of range: expects 1 to ", n));
      }
      std::swap(y[i], y[other]);
    }
  }
  return Status();
}

template <Fault (*kReal)(const Job<double>&), Fault (*kComplex)(const Job<Complex>&), int kIn,
          int... kOut>
KernelRow row(const OpDef& op) {
  KernelRow r;
  r.op = &op;
  r.name = "ref";
  r.reference = true;
  r.prepare = [](const CallMeta& c, std::unique_ptr<Plan>* plan) {
    auto p = std::make_unique<MatrixPlan>();
    if constexpr (kIn == 0) {
      const int core = ops::solves_vectors(c.in(0), c.in(1)) ? 1 : 2;
      plan_matrices(c, {2, core}, {core}, p.get());
    } else if constexpr (kIn == 1) {
      plan_matrices(c, {2}, {kOut...}, p.get());
    } else {
      plan_matrices(c, {2, 2}, {kOut...}, p.get());
    }
    p->run = is_complex(p->dtype) ? run<Complex, kComplex> : run<double, kReal>;
    *plan = std::move(p);
    return Status();
  };
  return r;
}

}  // namespace

void register_linalg_ref() {
  register_kernel(row<cholesky<double>, cholesky<Complex>, 1, 2>(ops::kCholesky));
  register_kernel(row<lu_factor<double>, lu_factor<Complex>, 1, 2, 1>(ops::kLuFactor));
  register_kernel(row<inverse<double>, inverse<Complex>, 1, 2>(ops::kInverse));
  register_kernel(row<solve<double>, solve<Complex>, 0>(ops::kSolve));
  register_kernel(
      row<solve_triangular<double>, solve_triangular<Complex>, 2, 2>(ops::kSolveTriangular));
  register_kernel(row<qr<double>, qr<Complex>, 1, 2, 2>(ops::kQr));
  register_kernel(row<svd<double>, svd<Complex>, 1, 2, 1, 2>(ops::kSvd));
  register_kernel(row<eigh<double>, eigh<Complex>, 1, 1, 2>(ops::kEigh));
  register_kernel(row<eig<double>, eig<Complex>, 1, 1, 2>(ops::kEig));
  register_kernel(row<matrix_exp<double>, matrix_exp<Complex>, 1, 2>(ops::kMatrixExp));
  register_kernel(ref_row<run_permutation>(ops::kLuPermutation));
}

}  // namespace rutile::kernels
