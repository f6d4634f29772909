// SPDX-License-Identifier: Apache-2.0
// Linear algebra from the textbook (Golub and Van Loan), in double: Cholesky-Banachiewicz,
// Doolittle with partial pivoting, Householder, a Taylor series with squaring.
#include "rutile/ops/linalg.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "rutile/kernels/index_range.h"
#include "rutile/kernels/ref/dense.h"
#include "rutile/kernels/ref/ref_plan.h"
#include "rutile/kernels/register.h"

namespace rutile::kernels {
namespace {

using namespace dense;

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

template <class S>
Fault qr(const Job<S>& job) {
  Dense<S> r = job.in();
  job.out(0, householder(r));
  job.out(1, r);
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

}  // namespace

void register_linalg_ref() {
  register_kernel(matrix_row<cholesky<double>, cholesky<Complex>, 1, 2>(ops::kCholesky));
  register_kernel(matrix_row<lu_factor<double>, lu_factor<Complex>, 1, 2, 1>(ops::kLuFactor));
  register_kernel(matrix_row<inverse<double>, inverse<Complex>, 1, 2>(ops::kInverse));
  register_kernel(matrix_row<solve<double>, solve<Complex>, 0>(ops::kSolve));
  register_kernel(
      matrix_row<solve_triangular<double>, solve_triangular<Complex>, 2, 2>(ops::kSolveTriangular));
  register_kernel(matrix_row<qr<double>, qr<Complex>, 1, 2, 2>(ops::kQr));
  register_kernel(matrix_row<matrix_exp<double>, matrix_exp<Complex>, 1, 2>(ops::kMatrixExp));
  register_kernel(ref_row<run_permutation>(ops::kLuPermutation));
}

}  // namespace rutile::kernels
