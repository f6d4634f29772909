// SPDX-License-Identifier: Apache-2.0
// Linear algebra of real numbers.
#include <complex>

namespace rutile::kernels {
namespace {
using Single = float;
using Double = double;
constexpr bool kComplex = false;
}  // namespace
}  // namespace rutile::kernels

#include "rutile/kernels/cpu/eigen_linalg.inc"
#include "rutile/kernels/cpu/planning.h"

#include <limits>

namespace rutile::kernels {
namespace {

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
  if (!takes(c, reason)) return false;
  if (c.as<ops::LstsqAttrs>().rcond < 0) return true;
  return refuse(reason, "cuts off singular values at the usual limit only");
}

}  // namespace

void register_linalg_cpu() {
  register_rows();
  KernelRow lstsq = row(ops::kLstsq, prepare<run_lstsq<float>, run_lstsq<double>, 2, 2>);
  lstsq.supports = supports_lstsq;
  register_kernel(lstsq);
}

}  // namespace rutile::kernels
