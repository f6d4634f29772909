// SPDX-License-Identifier: Apache-2.0
// Matrix products by Eigen, single-threaded: callers divide the work.
#pragma once

#include <complex>
#include <cstdint>
#include <type_traits>

namespace rutile::kernels {

// False on an x86 machine without AVX2, which these functions are compiled for.
bool eigen_runs();

// An operand of `rows` x `cols` by row and column stride: one of the two is 1.
struct GemmOperand {
  const void* data;
  int64_t row, col;
};
// c (row-major, ldc) = a [m,k] b [k,n], added to c if `accumulate`.
void eigen_gemm_f32(int64_t m, int64_t n, int64_t k, GemmOperand a, GemmOperand b, float* c,
                    int64_t ldc, bool accumulate);
void eigen_gemm_f64(int64_t m, int64_t n, int64_t k, GemmOperand a, GemmOperand b, double* c,
                    int64_t ldc, bool accumulate);

void eigen_gemm_c64(int64_t m, int64_t n, int64_t k, GemmOperand a, GemmOperand b,
                    std::complex<float>* c, int64_t ldc, bool accumulate);
void eigen_gemm_c128(int64_t m, int64_t n, int64_t k, GemmOperand a, GemmOperand b,
                     std::complex<double>* c, int64_t ldc, bool accumulate);

template <class T>
void eigen_gemm(int64_t m, int64_t n, int64_t k, GemmOperand a, GemmOperand b, T* c, int64_t ldc,
                bool accumulate) {
  if constexpr (std::is_same_v<T, std::complex<float>>) {
    eigen_gemm_c64(m, n, k, a, b, c, ldc, accumulate);
  } else if constexpr (std::is_same_v<T, std::complex<double>>) {
    eigen_gemm_c128(m, n, k, a, b, c, ldc, accumulate);
  } else if constexpr (sizeof(T) == 4) {
    eigen_gemm_f32(m, n, k, a, b, c, ldc, accumulate);
  } else {
    eigen_gemm_f64(m, n, k, a, b, c, ldc, accumulate);
  }
}

}  // namespace rutile::kernels
