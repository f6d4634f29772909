// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/gemm.h"

#include "rutile/kernels/cuda/values.h"

namespace rutile::cuda {
namespace {

// A block makes a tile of 32 x 32 results, a thread four of a column.
constexpr int kTile = 32, kDepth = 16, kThreads = 256, kRows = kTile * kTile / kThreads;

template <class R>
struct Complex {
  R re, im;
  RUTILE_FN Complex operator*(const Complex& o) const {
    return {re * o.re - im * o.im, re * o.im + im * o.re};
  }
  RUTILE_FN Complex operator+(const Complex& o) const { return {re + o.re, im + o.im}; }
  RUTILE_FN Complex& operator+=(const Complex& o) { return *this = *this + o; }
};
template <class C>
inline constexpr bool kIsComplex = false;
template <class R>
inline constexpr bool kIsComplex<Complex<R>> = true;

// Integers are read and written as int64_t, and wrap in C.
template <class C>
RUTILE_FN C value_at(DType t, const void* p, int64_t i) {
  if constexpr (kIsComplex<C>) {
    return static_cast<const C*>(p)[i];
  } else {
    using Load = std::conditional_t<std::is_floating_point_v<C>, C, int64_t>;
    return static_cast<C>(load<Load>(t, p, i));
  }
}
template <class C>
RUTILE_FN void put_value(DType t, void* p, int64_t i, C v) {
  if constexpr (kIsComplex<C>) {
    static_cast<C*>(p)[i] = v;
  } else {
    using Load = std::conditional_t<std::is_floating_point_v<C>, C, int64_t>;
    store<Load>(t, p, i, static_cast<Load>(v));
  }
}

template <class C>
__global__ void __launch_bounds__(kThreads) gemm(RUTILE_PARAM GemmArgs a) {
  __shared__ C left[kDepth][kTile + 1], right[kDepth][kTile + 1];
  const int64_t down = (a.m + kTile - 1) / kTile, across = (a.n + kTile - 1) / kTile;
  int64_t block = blockIdx.x;
  const int64_t column = block % across * kTile;
  block /= across;
  const int64_t row = block % down * kTile;
  int64_t at[3];
  a.index.find(block / down, at);
  const int t = static_cast<int>(threadIdx.x), x = t % kTile, y = t / kTile;
  C sum[kRows] = {};
  for (int64_t k = 0; k < a.k; k += kDepth) {
#pragma unroll
    for (int e = t; e < kDepth * kTile; e += kThreads) {
      const int d = e % kDepth, i = e / kDepth;
      const bool deep = k + d < a.k;
      left[d][i] = deep && row + i < a.m
                       ? value_at<C>(a.in_type, a.a, at[0] + (row + i) * a.a_m + (k + d) * a.a_k)
                       : C{};
      right[d][i] =
          deep && column + i < a.n
              ? value_at<C>(a.in_type, a.b, at[1] + (k + d) * a.b_k + (column + i) * a.b_n)
              : C{};
    }
    __syncthreads();
#pragma unroll
    for (int d = 0; d < kDepth; ++d) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        sum[r] += left[d][y + r * (kThreads / kTile)] * right[d][x];
      }
    }
    __syncthreads();
  }
  const int64_t j = column + x;
  if (j >= a.n) return;
  const C bias = a.bias ? value_at<C>(a.bias_type, a.bias, j * a.bias_n) : C{};
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const int64_t i = row + y + r * (kThreads / kTile);
    if (i < a.m) {
      put_value<C>(a.out_type, a.c, at[2] + i * a.c_m + j * a.c_n, sum[r] + bias);
    }
  }
}

}  // namespace

int launch_gemm(const GemmArgs& a, Stream stream) {
  const int64_t tiles = ((a.m + kTile - 1) / kTile) * ((a.n + kTile - 1) / kTile);
  const Grid grid{.x = tiles * a.batch, .threads = kThreads};
  if (a.in_type == DType::kC64) return launch_blocks(gemm<Complex<float>>, grid, stream, a);
  if (a.in_type == DType::kC128) return launch_blocks(gemm<Complex<double>>, grid, stream, a);
  if (a.in_type == DType::kF64) return launch_blocks(gemm<double>, grid, stream, a);
  if (is_floating(a.in_type)) return launch_blocks(gemm<float>, grid, stream, a);
  return launch_blocks(gemm<uint64_t>, grid, stream, a);
}

}  // namespace rutile::cuda
