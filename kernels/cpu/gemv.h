// SPDX-License-Identifier: Apache-2.0
// Loops of products of an f32 matrix and a vector.
#pragma once

#include <cstdint>

namespace rutile::kernels {

struct GemvKernels {
  // y[i] = sum_k a[i * stride + k] x[k] for `rows` rows.
  void (*rows)(const float* a, int64_t stride, const float* x, float* y, int64_t rows, int64_t k);
  // y[i] = sum_k a[k * stride + i] x[k] for `columns` columns.
  void (*columns)(const float* a, int64_t stride, const float* x, float* y, int64_t columns,
                  int64_t k);
};
namespace avx2 {
GemvKernels gemv_kernels();
}
namespace avx512 {
GemvKernels gemv_kernels();
}

}  // namespace rutile::kernels
