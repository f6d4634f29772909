// SPDX-License-Identifier: Apache-2.0
// What reference kernels of linear algebra share: dense matrices in double or complex<double>,
// Householder's QR, and rows that run one function a matrix of the batch.
#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "rutile/core/complex.h"
#include "rutile/kernels/matrix_batch.h"
#include "rutile/ops/linalg.h"

namespace rutile::kernels::dense {

using Complex = std::complex<double>;

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

inline double real_of(double x) { return x; }
inline double real_of(Complex x) { return x.real(); }
inline double size2(double x) { return x * x; }
inline double size2(Complex x) { return std::norm(x); }
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
Status run_matrices(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const MatrixPlan&>(plan);
  return for_each_matrix(p, false, [&](int64_t i) { return kOne(Job<S>{p, args, i}); });
}

// kIn inputs that are matrices (0: a matrix, and vectors or a matrix to solve for); kOut: the
// dimensions of each output behind the batch.
template <Fault (*kReal)(const Job<double>&), Fault (*kComplex)(const Job<Complex>&), int kIn,
          int... kOut>
KernelRow matrix_row(const OpDef& op) {
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
    p->run = is_complex(p->dtype) ? run_matrices<Complex, kComplex> : run_matrices<double, kReal>;
    *plan = std::move(p);
    return Status();
  };
  return r;
}

}  // namespace rutile::kernels::dense
