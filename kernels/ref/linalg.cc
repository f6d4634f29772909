// SPDX-License-Identifier: Apache-2.0
// Linear algebra from the textbook (Golub and Van Loan), in double: Cholesky-Banachiewicz,
// Doolittle with partial pivoting, Householder, Jacobi rotations, a Taylor series with squaring.
#include "rutile/ops/linalg.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "rutile/kernels/index_range.h"
#include "rutile/kernels/matrix_batch.h"
#include "rutile/kernels/ref/ref_plan.h"
#include "rutile/kernels/register.h"

namespace rutile::kernels {
namespace {

struct Dense {
  int64_t rows = 0, cols = 0;
  std::vector<double> v;
  Dense(int64_t m, int64_t n) : rows(m), cols(n), v(static_cast<size_t>(m * n), 0.0) {}
  double& operator()(int64_t i, int64_t j) { return v[static_cast<size_t>(i * cols + j)]; }
  double operator()(int64_t i, int64_t j) const { return v[static_cast<size_t>(i * cols + j)]; }
  Dense transposed() const {
    Dense t(cols, rows);
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < cols; ++j) t(j, i) = (*this)(i, j);
    }
    return t;
  }
  bool finite() const {
    return std::all_of(v.begin(), v.end(), [](double x) { return std::isfinite(x); });
  }
};
Dense identity(int64_t m, int64_t n) {
  Dense y(m, n);
  for (int64_t i = 0; i < std::min(m, n); ++i) y(i, i) = 1;
  return y;
}
Dense product(const Dense& a, const Dense& b) {
  Dense y(a.rows, b.cols);
  for (int64_t i = 0; i < a.rows; ++i) {
    for (int64_t k = 0; k < a.cols; ++k) {
      for (int64_t j = 0; j < b.cols; ++j) y(i, j) += a(i, k) * b(k, j);
    }
  }
  return y;
}

Dense load(const MatrixPlan& p, const Matrix& m) {
  Dense y(m.rows, m.cols);
  for (int64_t i = 0; i < m.rows; ++i) {
    for (int64_t j = 0; j < m.cols; ++j) {
      y(i, j) = p.dtype == DType::kF64 ? m.at<double>(i, j) : m.at<float>(i, j);
    }
  }
  return y;
}
void store(const MatrixPlan& p, const Matrix& m, const Dense& x) {
  for (int64_t i = 0; i < m.rows; ++i) {
    for (int64_t j = 0; j < m.cols; ++j) {
      if (p.dtype == DType::kF64) {
        m.at<double>(i, j) = x(i, j);
      } else {
        m.at<float>(i, j) = static_cast<float>(x(i, j));
      }
    }
  }
}

// One matrix of a batch: what goes in by position, and places for results.
struct Job {
  const MatrixPlan& p;
  const KernelArgs& args;
  int64_t index;
  Dense in(int i = 0) const { return load(p, p.input(args, i, index)); }
  Matrix place(int i) const { return p.output(args, i, index); }
  void out(int i, const Dense& x) const { store(p, place(i), x); }
};

template <Fault (*kOne)(const Job&)>
Status run(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const MatrixPlan&>(plan);
  return for_each_matrix(p, false, [&](int64_t i) { return kOne(Job{p, args, i}); });
}

Fault cholesky(const Job& job) {
  const bool upper = job.p.as<ops::CholeskyAttrs>().upper;
  const Dense a = upper ? job.in().transposed() : job.in();
  Dense l(a.rows, a.rows);
  for (int64_t j = 0; j < a.rows; ++j) {
    for (int64_t i = j; i < a.rows; ++i) {
      double s = a(i, j);
      for (int64_t k = 0; k < j; ++k) s -= l(i, k) * l(j, k);
      if (i == j && !(s > 0)) return {Fault::kNotPositive, j};
      l(i, j) = i == j ? std::sqrt(s) : s / l(j, j);
    }
  }
  job.out(0, upper ? l.transposed() : l);
  return {};
}

// Doolittle in place; row i changed places with exchanges[i].
std::vector<int64_t> factor(Dense& a) {
  const int64_t steps = std::min(a.rows, a.cols);
  std::vector<int64_t> exchanges;
  for (int64_t k = 0; k < steps; ++k) {
    int64_t best = k;
    for (int64_t i = k + 1; i < a.rows; ++i) {
      if (std::abs(a(i, k)) > std::abs(a(best, k))) best = i;
    }
    exchanges.push_back(best);
    for (int64_t j = 0; j < a.cols; ++j) std::swap(a(k, j), a(best, j));
    if (a(k, k) == 0) continue;
    for (int64_t i = k + 1; i < a.rows; ++i) {
      a(i, k) /= a(k, k);
      for (int64_t j = k + 1; j < a.cols; ++j) a(i, j) -= a(i, k) * a(k, j);
    }
  }
  return exchanges;
}

Fault lu_factor(const Job& job) {
  Dense a = job.in();
  const std::vector<int64_t> exchanges = factor(a);
  job.out(0, a);
  const Matrix pivots = job.place(1);
  for (size_t k = 0; k < exchanges.size(); ++k) {
    pivots.at<int32_t>(static_cast<int64_t>(k)) = static_cast<int32_t>(exchanges[k] + 1);
  }
  return {};
}

// Substitution: the triangle of a is solved for every column of b.
void substitute(const Dense& a, Dense& b, bool upper, bool unit) {
  const int64_t n = a.rows;
  for (int64_t step = 0; step < n; ++step) {
    const int64_t i = upper ? n - 1 - step : step;
    for (int64_t j = 0; j < b.cols; ++j) {
      double s = b(i, j);
      for (int64_t k = upper ? i + 1 : 0; k < (upper ? n : i); ++k) s -= a(i, k) * b(k, j);
      b(i, j) = unit ? s : s / a(i, i);
    }
  }
}

Fault solve_system(Dense a, Dense b, const Job& job) {
  const std::vector<int64_t> exchanges = factor(a);
  for (int64_t k = 0; k < a.rows; ++k) {
    if (a(k, k) == 0) return {Fault::kSingular, k};
    for (int64_t j = 0; j < b.cols; ++j) {
      std::swap(b(k, j), b(exchanges[static_cast<size_t>(k)], j));
    }
  }
  substitute(a, b, false, true);
  substitute(a, b, true, false);
  job.out(0, b);
  return {};
}
Fault solve(const Job& job) { return solve_system(job.in(0), job.in(1), job); }
Fault inverse(const Job& job) {
  const Dense a = job.in();
  return solve_system(a, identity(a.rows, a.rows), job);
}

Fault solve_triangular(const Job& job) {
  const auto& t = job.p.as<ops::TriangularAttrs>();
  Dense a = job.in(0), b = job.in(1);
  for (int64_t k = 0; k < a.rows && !t.unitriangular; ++k) {
    if (a(k, k) == 0) return {Fault::kSingular, k};
  }
  substitute(t.transpose ? a.transposed() : a, b, t.upper != t.transpose, t.unitriangular);
  job.out(0, b);
  return {};
}

// Householder: r becomes upper triangular, the result is the whole of Q.
Dense householder(Dense& r) {
  Dense q = identity(r.rows, r.rows);
  for (int64_t k = 0; k < std::min(r.rows - 1, r.cols); ++k) {
    double below = 0;
    for (int64_t i = k + 1; i < r.rows; ++i) below += r(i, k) * r(i, k);
    if (below == 0) continue;
    const double length = std::sqrt(r(k, k) * r(k, k) + below);
    std::vector<double> v(static_cast<size_t>(r.rows), 0.0);
    for (int64_t i = k; i < r.rows; ++i) v[static_cast<size_t>(i)] = r(i, k);
    v[static_cast<size_t>(k)] += r(k, k) < 0 ? -length : length;
    double vv = 0;
    for (const double x : v) vv += x * x;
    auto at = [&](int64_t i) { return v[static_cast<size_t>(i)]; };
    for (int64_t j = 0; j < r.cols; ++j) {
      double s = 0;
      for (int64_t i = k; i < r.rows; ++i) s += at(i) * r(i, j);
      for (int64_t i = k; i < r.rows; ++i) r(i, j) -= 2 * s / vv * at(i);
    }
    for (int64_t j = 0; j < r.rows; ++j) {
      double s = 0;
      for (int64_t i = k; i < r.rows; ++i) s += q(j, i) * at(i);
      for (int64_t i = k; i < r.rows; ++i) q(j, i) -= 2 * s / vv * at(i);
    }
    for (int64_t i = k + 1; i < r.rows; ++i) r(i, k) = 0;
  }
  return q;
}

Fault qr(const Job& job) {
  Dense r = job.in();
  job.out(0, householder(r));
  job.out(1, r);
  return {};
}

// Cyclic Jacobi: a becomes diagonal, the columns of the result are eigenvectors.
Dense jacobi(Dense& a) {
  const int64_t n = a.rows;
  Dense v = identity(n, n);
  for (int sweep = 0; sweep < 60; ++sweep) {
    double off = 0, all = 0;
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j) (i == j ? all : off) += a(i, j) * a(i, j);
    }
    if (off <= 1e-34 * (all + off)) break;
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = i + 1; j < n; ++j) {
        if (a(i, j) == 0) continue;
        const double tau = (a(j, j) - a(i, i)) / (2 * a(i, j));
        const double t = (tau < 0 ? -1 : 1) / (std::abs(tau) + std::hypot(1.0, tau));
        const double c = 1 / std::hypot(1.0, t), s = t * c;
        for (int64_t k = 0; k < n; ++k) {
          const double x = a(k, i), y = a(k, j);
          a(k, i) = c * x - s * y;
          a(k, j) = s * x + c * y;
        }
        for (int64_t k = 0; k < n; ++k) {
          const double x = a(i, k), y = a(j, k), vx = v(k, i), vy = v(k, j);
          a(i, k) = c * x - s * y;
          a(j, k) = s * x + c * y;
          v(k, i) = c * vx - s * vy;
          v(k, j) = s * vx + c * vy;
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

Fault eigh(const Job& job) {
  Dense a = job.p.as<ops::EighAttrs>().upper ? job.in().transposed() : job.in();
  const int64_t n = a.rows;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = i + 1; j < n; ++j) a(i, j) = a(j, i);
  }
  if (!a.finite()) return {Fault::kNotFinite, 0};
  const Dense v = jacobi(a);
  std::vector<double> w;
  for (int64_t i = 0; i < n; ++i) w.push_back(a(i, i));
  const std::vector<int64_t> order = rising(w);
  Dense values(n, 1), vectors(n, n);
  for (int64_t k = 0; k < n; ++k) {
    const int64_t from = order[static_cast<size_t>(k)];
    const double sign = positive_peak(n, [&](int64_t i) { return v(i, from); });
    values(k, 0) = a(from, from);
    for (int64_t i = 0; i < n; ++i) vectors(i, k) = sign * v(i, from);
  }
  job.out(0, values);
  job.out(1, vectors);
  return {};
}

// One-sided Jacobi: the columns of a are turned until they are orthogonal; the rotations come out.
Dense hestenes(Dense& a) {
  Dense v = identity(a.cols, a.cols);
  for (int sweep = 0; sweep < 80; ++sweep) {
    bool turned = false;
    for (int64_t i = 0; i < a.cols; ++i) {
      for (int64_t j = i + 1; j < a.cols; ++j) {
        double x = 0, y = 0, xy = 0;
        for (int64_t k = 0; k < a.rows; ++k) {
          x += a(k, i) * a(k, i);
          y += a(k, j) * a(k, j);
          xy += a(k, i) * a(k, j);
        }
        if (std::abs(xy) <= 1e-16 * std::sqrt(x * y)) continue;
        turned = true;
        const double tau = (y - x) / (2 * xy);
        const double t = (tau < 0 ? -1 : 1) / (std::abs(tau) + std::hypot(1.0, tau));
        const double c = 1 / std::hypot(1.0, t), s = t * c;
        auto rotate = [&](Dense& m) {
          for (int64_t k = 0; k < m.rows; ++k) {
            const double p = m(k, i), q = m(k, j);
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
Dense completed(const Dense& x) {
  Dense r = x, q = householder(r);
  for (int64_t i = 0; i < x.rows; ++i) {
    for (int64_t j = 0; j < x.cols; ++j) q(i, j) = x(i, j);
  }
  return q;
}

Fault svd(const Job& job) {
  const Dense x = job.in();
  if (!x.finite()) return {Fault::kNotFinite, 0};
  const bool wide = x.rows < x.cols;
  Dense a = wide ? x.transposed() : x;  // tall
  const Dense v = hestenes(a);
  const int64_t m = a.rows, k = a.cols;
  std::vector<double> s;
  for (int64_t j = 0; j < k; ++j) {
    double sum = 0;
    for (int64_t i = 0; i < m; ++i) sum += a(i, j) * a(i, j);
    s.push_back(-std::sqrt(sum));
  }
  const std::vector<int64_t> order = rising(s);
  Dense values(k, 1), left(m, k), right(k, k);
  for (int64_t j = 0; j < k; ++j) {
    const int64_t from = order[static_cast<size_t>(j)];
    const double size = -s[static_cast<size_t>(from)];
    values(j, 0) = size;
    for (int64_t i = 0; i < m; ++i) left(i, j) = size > 0 ? a(i, from) / size : 0;
    for (int64_t i = 0; i < k; ++i) right(i, j) = v(i, from);
  }
  Dense u = wide ? right : left, w = wide ? left : right;
  for (int64_t j = 0; j < k; ++j) {
    const double sign = positive_peak(u.rows, [&](int64_t i) { return u(i, j); });
    for (int64_t i = 0; i < u.rows; ++i) u(i, j) *= sign;
    for (int64_t i = 0; i < w.rows; ++i) w(i, j) *= sign;
  }
  job.out(0, job.place(0).cols > k ? completed(u) : u);
  job.out(1, values);
  job.out(2, (job.place(2).rows > k ? completed(w) : w).transposed());
  return {};
}

Fault matrix_exp(const Job& job) {
  Dense a = job.in();
  if (!a.finite()) return {Fault::kNotFinite, 0};
  double norm = 0;
  for (const double x : a.v) norm += std::abs(x);
  const int squarings = norm > 0.25 ? std::ilogb(norm) + 3 : 0;
  for (double& x : a.v) x = std::ldexp(x, -squarings);
  Dense term = identity(a.rows, a.rows), y = term;
  for (int n = 1; n <= 24; ++n) {
    term = product(term, a);
    for (size_t i = 0; i < y.v.size(); ++i) y.v[i] += term.v[i] /= n;
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

template <Fault (*kOne)(const Job&), int kIn, int... kOut>
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
    p->run = run<kOne>;
    *plan = std::move(p);
    return Status();
  };
  return r;
}

}  // namespace

void register_linalg_ref() {
  register_kernel(row<cholesky, 1, 2>(ops::kCholesky));
  register_kernel(row<lu_factor, 1, 2, 1>(ops::kLuFactor));
  register_kernel(row<inverse, 1, 2>(ops::kInverse));
  register_kernel(row<solve, 0>(ops::kSolve));
  register_kernel(row<solve_triangular, 2, 2>(ops::kSolveTriangular));
  register_kernel(row<qr, 1, 2, 2>(ops::kQr));
  register_kernel(row<svd, 1, 2, 1, 2>(ops::kSvd));
  register_kernel(row<eigh, 1, 1, 2>(ops::kEigh));
  register_kernel(row<matrix_exp, 1, 2>(ops::kMatrixExp));
  register_kernel(ref_row<run_permutation>(ops::kLuPermutation));
}

}  // namespace rutile::kernels
