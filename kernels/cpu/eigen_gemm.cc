// SPDX-License-Identifier: Apache-2.0
#define EIGEN_DONT_PARALLELIZE
#include <Eigen/Core>

#include "rutile/kernels/cpu/eigen_gemm.h"

namespace rutile::kernels {

namespace {

using Eigen::Dynamic;
template <class T, int Order>
using Operand =
    Eigen::Map<const Eigen::Matrix<T, Dynamic, Dynamic, Order>, 0, Eigen::OuterStride<>>;
template <class T>
using Result =
    Eigen::Map<Eigen::Matrix<T, Dynamic, Dynamic, Eigen::RowMajor>, 0, Eigen::OuterStride<>>;

template <class T, int Order>
Operand<T, Order> operand(GemmOperand o, int64_t rows, int64_t cols) {
  return Operand<T, Order>(static_cast<const T*>(o.data), rows, cols,
                           Eigen::OuterStride<>(Order == Eigen::RowMajor ? o.row : o.col));
}

template <class T, int OrderA, int OrderB>
void product(int64_t m, int64_t n, int64_t k, GemmOperand a, GemmOperand b, T* c, int64_t ldc,
             bool accumulate) {
  Result<T> out(c, m, n, Eigen::OuterStride<>(ldc));
  if (accumulate) {
    out.noalias() += operand<T, OrderA>(a, m, k) * operand<T, OrderB>(b, k, n);
  } else {
    out.noalias() = operand<T, OrderA>(a, m, k) * operand<T, OrderB>(b, k, n);
  }
}

template <class T>
void gemm(int64_t m, int64_t n, int64_t k, GemmOperand a, GemmOperand b, T* c, int64_t ldc,
          bool accumulate) {
  constexpr int kRow = Eigen::RowMajor, kCol = Eigen::ColMajor;
  const bool a_rows = a.col == 1, b_rows = b.col == 1;
  if (a_rows && b_rows) return product<T, kRow, kRow>(m, n, k, a, b, c, ldc, accumulate);
  if (a_rows) return product<T, kRow, kCol>(m, n, k, a, b, c, ldc, accumulate);
  if (b_rows) return product<T, kCol, kRow>(m, n, k, a, b, c, ldc, accumulate);
  product<T, kCol, kCol>(m, n, k, a, b, c, ldc, accumulate);
}

}  // namespace

void eigen_gemm_f32(int64_t m, int64_t n, int64_t k, GemmOperand a, GemmOperand b, float* c,
                    int64_t ldc, bool accumulate) {
  gemm(m, n, k, a, b, c, ldc, accumulate);
}

void eigen_gemm_f64(int64_t m, int64_t n, int64_t k, GemmOperand a, GemmOperand b, double* c,
                    int64_t ldc, bool accumulate) {
  gemm(m, n, k, a, b, c, ldc, accumulate);
}

void eigen_gemm_c64(int64_t m, int64_t n, int64_t k, GemmOperand a, GemmOperand b,
                    std::complex<float>* c, int64_t ldc, bool accumulate) {
  gemm(m, n, k, a, b, c, ldc, accumulate);
}

void eigen_gemm_c128(int64_t m, int64_t n, int64_t k, GemmOperand a, GemmOperand b,
                     std::complex<double>* c, int64_t ldc, bool accumulate) {
  gemm(m, n, k, a, b, c, ldc, accumulate);
}

}  // namespace rutile::kernels
