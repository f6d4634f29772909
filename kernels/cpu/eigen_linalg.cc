// SPDX-License-Identifier: Apache-2.0
// Decompositions and solves by Eigen, a matrix of the batch at a time (svd: eigen_svd.inc). Eigen's
// decompositions keep their factors on the heap: these rows take memory while they run.
#define EIGEN_DONT_PARALLELIZE
#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <Eigen/LU>
#include <Eigen/QR>
#include <limits>
#include <type_traits>
#include <unsupported/Eigen/MatrixFunctions>

#include "rutile/kernels/cpu/eigen_svd.h"
#include "rutile/kernels/matrix_batch.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/linalg.h"

namespace rutile::kernels {
namespace {

using Eigen::Dynamic;
template <class T>
using Mat = Eigen::Matrix<T, Dynamic, Dynamic>;
using Strides2 = Eigen::Stride<Dynamic, Dynamic>;
template <class T>
using Map = Eigen::Map<Mat<T>, 0, Strides2>;

template <class T>
Map<T> view(const Matrix& m) {
  return Map<T>(static_cast<T*>(m.data), m.rows, m.cols, Strides2(m.col, m.row));
}
template <class T>
bool finite(const Mat<T>& a) {
  return a.size() == 0 || a.allFinite();
}
const MatrixPlan& matrices(const Plan& p) { return static_cast<const MatrixPlan&>(p); }

template <class T>
Status run_cholesky(const Plan& plan, const KernelArgs& args) {
  const MatrixPlan& p = matrices(plan);
  const bool upper = p.as<ops::CholeskyAttrs>().upper;
  return for_each_matrix(p, true, [&](int64_t i) -> Fault {
    Mat<T> a = view<T>(p.input(args, 0, i));
    if (upper) a.transposeInPlace();
    if (a.rows() > 0) {
      Eigen::Ref<Mat<T>> in_place(a);
      const Eigen::Index bad = Eigen::internal::llt_inplace<T, Eigen::Lower>::blocked(in_place);
      if (bad >= 0) return {Fault::kNotPositive, bad};
      for (Eigen::Index k = 0; k < a.rows(); ++k) {
        if (!(a(k, k) > 0)) return {Fault::kNotPositive, k};
      }
    }
    auto y = view<T>(p.output(args, 0, i));
    y.setZero();
    if (upper) {
      y.template triangularView<Eigen::Upper>() = a.transpose();
    } else {
      y.template triangularView<Eigen::Lower>() = a;
    }
    return {};
  });
}

// LU in place; exchanges[k] is the row that row k changed places with.
template <class T>
void factor_lu(Mat<T>& a, std::vector<int>& exchanges) {
  exchanges.assign(static_cast<size_t>(std::min(a.rows(), a.cols())), 0);
  if (a.size() == 0) return;
  int count = 0;
  Eigen::internal::partial_lu_impl<T, Eigen::ColMajor, int>::blocked_lu(
      a.rows(), a.cols(), a.data(), a.rows(), exchanges.data(), count);
}

template <class T>
Status run_lu_factor(const Plan& plan, const KernelArgs& args) {
  const MatrixPlan& p = matrices(plan);
  return for_each_matrix(p, true, [&](int64_t i) -> Fault {
    Mat<T> a = view<T>(p.input(args, 0, i));
    std::vector<int> exchanges;
    factor_lu(a, exchanges);
    view<T>(p.output(args, 0, i)) = a;
    const Matrix pivots = p.output(args, 1, i);
    for (int64_t k = 0; k < pivots.rows; ++k) {
      pivots.at<int32_t>(k) = exchanges[static_cast<size_t>(k)] + 1;
    }
    return {};
  });
}

// X with A X = B for a factored A; b becomes X.
template <class T>
Fault solve_factored(const Mat<T>& lu, const std::vector<int>& exchanges, Mat<T>& b) {
  for (Eigen::Index k = 0; k < lu.rows(); ++k) {
    if (lu(k, k) == T(0)) return {Fault::kSingular, k};
  }
  for (Eigen::Index k = 0; k < lu.rows(); ++k) {
    const int other = exchanges[static_cast<size_t>(k)];
    if (other != k) b.row(k).swap(b.row(other));
  }
  if (b.size() == 0) return {};
  lu.template triangularView<Eigen::UnitLower>().solveInPlace(b);
  lu.template triangularView<Eigen::Upper>().solveInPlace(b);
  return {};
}

template <class T>
Status run_solve(const Plan& plan, const KernelArgs& args) {
  const MatrixPlan& p = matrices(plan);
  return for_each_matrix(p, true, [&](int64_t i) -> Fault {
    Mat<T> a = view<T>(p.input(args, 0, i));
    std::vector<int> exchanges;
    factor_lu(a, exchanges);
    Mat<T> b = view<T>(p.input(args, 1, i));
    const Fault f = solve_factored(a, exchanges, b);
    if (f.kind == Fault::kNone) view<T>(p.output(args, 0, i)) = b;
    return f;
  });
}

template <class T>
Status run_inverse(const Plan& plan, const KernelArgs& args) {
  const MatrixPlan& p = matrices(plan);
  return for_each_matrix(p, true, [&](int64_t i) -> Fault {
    Mat<T> a = view<T>(p.input(args, 0, i));
    std::vector<int> exchanges;
    factor_lu(a, exchanges);
    Mat<T> b = Mat<T>::Identity(a.rows(), a.cols());
    const Fault f = solve_factored(a, exchanges, b);
    if (f.kind == Fault::kNone) view<T>(p.output(args, 0, i)) = b;
    return f;
  });
}

template <unsigned kMode, class T>
void triangular(const Mat<T>& a, Mat<T>& b) {
  a.template triangularView<kMode>().solveInPlace(b);
}

template <class T>
Status run_triangular(const Plan& plan, const KernelArgs& args) {
  const MatrixPlan& p = matrices(plan);
  const auto& attrs = p.as<ops::TriangularAttrs>();
  const bool upper = attrs.upper != attrs.transpose;
  return for_each_matrix(p, true, [&](int64_t i) -> Fault {
    Mat<T> a = view<T>(p.input(args, 0, i));
    for (Eigen::Index k = 0; k < a.rows() && !attrs.unitriangular; ++k) {
      if (a(k, k) == T(0)) return {Fault::kSingular, k};
    }
    if (attrs.transpose) a.transposeInPlace();
    Mat<T> b = view<T>(p.input(args, 1, i));
    if (b.size() > 0) {
      if (attrs.unitriangular) {
        upper ? triangular<Eigen::UnitUpper>(a, b) : triangular<Eigen::UnitLower>(a, b);
      } else {
        upper ? triangular<Eigen::Upper>(a, b) : triangular<Eigen::Lower>(a, b);
      }
    }
    view<T>(p.output(args, 0, i)) = b;
    return {};
  });
}

template <class T>
Status run_qr(const Plan& plan, const KernelArgs& args) {
  const MatrixPlan& p = matrices(plan);
  return for_each_matrix(p, true, [&](int64_t i) -> Fault {
    auto q = view<T>(p.output(args, 0, i));
    auto r = view<T>(p.output(args, 1, i));
    const Mat<T> a = view<T>(p.input(args, 0, i));
    q.setIdentity();
    r.setZero();
    if (a.size() == 0) return {};
    Eigen::HouseholderQR<Mat<T>> f(a);
    Mat<T> full = q;
    full.applyOnTheLeft(f.householderQ());
    q = full;
    r.template triangularView<Eigen::Upper>() = f.matrixQR().topRows(r.rows());
    return {};
  });
}

template <class T>
Status run_svd(const Plan& plan, const KernelArgs& args) {
  const MatrixPlan& p = matrices(plan);
  return for_each_matrix(p, true, [&](int64_t i) -> Fault {
    const Matrix a = p.input(args, 0, i), u = p.output(args, 0, i);
    const Matrix s = p.output(args, 1, i), vh = p.output(args, 2, i);
    if constexpr (std::is_same_v<T, float>) {
      return eigen_svd_f32(a, u, s, vh);
    } else {
      return eigen_svd_f64(a, u, s, vh);
    }
  });
}

template <class T>
Status run_svdvals(const Plan& plan, const KernelArgs& args) {
  const MatrixPlan& p = matrices(plan);
  return for_each_matrix(p, true, [&](int64_t i) -> Fault {
    const Matrix a = p.input(args, 0, i), s = p.output(args, 0, i);
    return std::is_same_v<T, float> ? eigen_svdvals_f32(a, s) : eigen_svdvals_f64(a, s);
  });
}

// The lower triangle of the input, or its upper one, on both sides.
template <class T>
Mat<T> symmetric(const Matrix& m, bool upper) {
  Mat<T> a = view<T>(m);
  if (upper) a.transposeInPlace();
  a.template triangularView<Eigen::StrictlyUpper>() = a.transpose();
  return a;
}

template <class T>
Status run_eigvalsh(const Plan& plan, const KernelArgs& args) {
  const MatrixPlan& p = matrices(plan);
  const bool upper = p.as<ops::EighAttrs>().upper;
  return for_each_matrix(p, true, [&](int64_t i) -> Fault {
    const Mat<T> a = symmetric<T>(p.input(args, 0, i), upper);
    if (a.size() == 0) return {};
    if (!finite(a)) return {Fault::kNotFinite, 0};
    Eigen::SelfAdjointEigenSolver<Mat<T>> f(a, Eigen::EigenvaluesOnly);
    if (f.info() != Eigen::Success) return {Fault::kNoConvergence, 0};
    view<T>(p.output(args, 0, i)).col(0) = f.eigenvalues();
    return {};
  });
}

// The solution of smallest norm through singular values, for systems without full rank.
template <class T>
Mat<T> solve_by_svd(Mat<T> a, const Mat<T>& b) {
  const Eigen::Index k = std::min(a.rows(), a.cols());
  Mat<T> u(a.rows(), k), s(k, 1), vh(k, a.cols());
  const auto plain = [](Mat<T>& m) { return Matrix{m.data(), m.rows(), m.cols(), 1, m.rows()}; };
  if constexpr (std::is_same_v<T, float>) {
    eigen_svd_f32(plain(a), plain(u), plain(s), plain(vh));
  } else {
    eigen_svd_f64(plain(a), plain(u), plain(s), plain(vh));
  }
  const T limit =
      s(0, 0) * std::numeric_limits<T>::epsilon() * static_cast<T>(std::max(a.rows(), a.cols()));
  Mat<T> y = u.transpose() * b;
  for (Eigen::Index i = 0; i < k; ++i) y.row(i) *= s(i, 0) > limit ? 1 / s(i, 0) : T(0);
  return vh.transpose() * y;
}

template <class T>
Status run_lstsq(const Plan& plan, const KernelArgs& args) {
  const MatrixPlan& p = matrices(plan);
  return for_each_matrix(p, true, [&](int64_t i) -> Fault {
    const Mat<T> a = view<T>(p.input(args, 0, i)), b = view<T>(p.input(args, 1, i));
    auto x = view<T>(p.output(args, 0, i));
    if (a.size() == 0 || b.size() == 0) {
      x.setZero();
      return {};
    }
    if (!finite(a)) return {Fault::kNotFinite, 0};
    Eigen::CompleteOrthogonalDecomposition<Mat<T>> f(a);
    if (f.rank() == std::min(a.rows(), a.cols())) {
      x = f.solve(b);
    } else {
      x = solve_by_svd<T>(a, b);
    }
    return {};
  });
}

bool supports_lstsq(const CallMeta& c, Reason* reason) {
  if (c.as<ops::LstsqAttrs>().rcond < 0) return true;
  reason->text = "cuts off singular values at the usual limit only";
  return false;
}

template <class T>
Status run_eigh(const Plan& plan, const KernelArgs& args) {
  const MatrixPlan& p = matrices(plan);
  const bool upper = p.as<ops::EighAttrs>().upper;
  return for_each_matrix(p, true, [&](int64_t i) -> Fault {
    const Mat<T> a = symmetric<T>(p.input(args, 0, i), upper);
    if (a.size() == 0) return {};
    if (!finite(a)) return {Fault::kNotFinite, 0};
    Eigen::SelfAdjointEigenSolver<Mat<T>> f(a);
    if (f.info() != Eigen::Success) return {Fault::kNoConvergence, 0};
    Mat<T> v = f.eigenvectors();
    for (Eigen::Index k = 0; k < v.cols(); ++k) {
      v.col(k) *= T(positive_peak(v.rows(), [&](int64_t j) { return v(j, k); }));
    }
    view<T>(p.output(args, 0, i)).col(0) = f.eigenvalues();
    view<T>(p.output(args, 1, i)) = v;
    return {};
  });
}

template <class T>
Status run_matrix_exp(const Plan& plan, const KernelArgs& args) {
  const MatrixPlan& p = matrices(plan);
  return for_each_matrix(p, true, [&](int64_t i) -> Fault {
    const Mat<T> a = view<T>(p.input(args, 0, i));
    if (a.size() == 0) return {};
    if (!finite(a)) return {Fault::kNotFinite, 0};
    Mat<T> y = a.exp();
    view<T>(p.output(args, 0, i)) = y;
    return {};
  });
}

KernelRow row(const OpDef& op, Status (*prepare)(const CallMeta&, std::unique_ptr<Plan>*)) {
  KernelRow r;
  r.op = &op;
  r.name = "eigen";
  r.prepare = prepare;
  return r;
}

// kIn / kOut: core dimensions of the tensors.
template <RunFn kF32, RunFn kF64, int kIn, int... kOut>
Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<MatrixPlan>();
  if constexpr (kIn == 1) {
    plan_matrices(c, {2}, {kOut...}, p.get());
  } else {
    plan_matrices(c, {2, 2}, {kOut...}, p.get());
  }
  const Matrix& a = p->in[0].first;
  const auto side = static_cast<double>(std::max(a.rows, a.cols));
  finish_matrices<kF32, kF64>(p.get(), 100 + side * side * side);
  *plan = std::move(p);
  return Status();
}
template <RunFn kF32, RunFn kF64>
Status prepare_solve(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<MatrixPlan>();
  const int core = ops::solves_vectors(c.in(0), c.in(1)) ? 1 : 2;
  plan_matrices(c, {2, core}, {core}, p.get());
  const auto side = static_cast<double>(p->in[0].first.rows);
  finish_matrices<kF32, kF64>(p.get(), 100 + side * side * side);
  *plan = std::move(p);
  return Status();
}

#define RUTILE_EIGEN_ROW(constant, function, ...) \
  register_kernel(row(ops::constant, prepare<function<float>, function<double>, __VA_ARGS__>))

}  // namespace

template <class T>
void complete_basis(int64_t n, int64_t k, const T* thin, T* full) {
  const Mat<T> start = Eigen::Map<const Mat<T>>(thin, n, k);
  Mat<T> y = Mat<T>::Identity(n, n);
  if (k > 0) y.applyOnTheLeft(Eigen::HouseholderQR<Mat<T>>(start).householderQ());
  y.leftCols(k) = start;
  Eigen::Map<Mat<T>>(full, n, n) = y;
}
template void complete_basis(int64_t n, int64_t k, const float* thin, float* full);
template void complete_basis(int64_t n, int64_t k, const double* thin, double* full);

void register_linalg_cpu() {
  RUTILE_EIGEN_ROW(kCholesky, run_cholesky, 1, 2);
  RUTILE_EIGEN_ROW(kLuFactor, run_lu_factor, 1, 2, 1);
  RUTILE_EIGEN_ROW(kInverse, run_inverse, 1, 2);
  RUTILE_EIGEN_ROW(kSolveTriangular, run_triangular, 2, 2);
  RUTILE_EIGEN_ROW(kQr, run_qr, 1, 2, 2);
  RUTILE_EIGEN_ROW(kSvd, run_svd, 1, 2, 1, 2);
  RUTILE_EIGEN_ROW(kSvdvals, run_svdvals, 1, 1);
  RUTILE_EIGEN_ROW(kEigh, run_eigh, 1, 1, 2);
  RUTILE_EIGEN_ROW(kEigvalsh, run_eigvalsh, 1, 1);
  RUTILE_EIGEN_ROW(kMatrixExp, run_matrix_exp, 1, 2);
  KernelRow lstsq = row(ops::kLstsq, prepare<run_lstsq<float>, run_lstsq<double>, 2, 2>);
  lstsq.supports = supports_lstsq;
  register_kernel(lstsq);
  register_kernel(row(ops::kSolve, prepare_solve<run_solve<float>, run_solve<double>>));
}

}  // namespace rutile::kernels
