// SPDX-License-Identifier: Apache-2.0
// Between the rows of softmax, losses and the norms over rows, and their vector kernels, which
// exist once per instruction set. T is f32 or bf16; everything is computed in f32.
#pragma once

#include <cstdint>

namespace rutile::kernels {

// ---- softmax ------------------------------------------------------------------------------------

struct SoftmaxKernels {
  // Rows of n neighbouring elements.
  void (*forward)(const void* x, void* y, int64_t rows, int64_t n);
  void (*backward)(const void* grad, const void* y, void* dx, int64_t rows, int64_t n);
  // Columns [begin, end) of n x inner elements, each softmax going down a column.
  void (*forward_columns)(const void* x, void* y, int64_t n, int64_t inner, int64_t begin,
                          int64_t end);
  void (*backward_columns)(const void* grad, const void* y, void* dx, int64_t n, int64_t inner,
                           int64_t begin, int64_t end);
};

// ---- cross_entropy ------------------------------------------------------------------------------

// One row is a label with its logits: x[r * row_stride + k * class_stride] for neighbouring classes
// (class_stride 1), or for neighbouring rows (row_stride 1).
struct CrossEntropyArgs {
  const void* logits = nullptr;
  const void* labels = nullptr;
  bool labels64 = false;
  const float* weight = nullptr;                // of the classes; null: 1
  float total_weight = 0;                       // their sum
  int64_t classes = 0, ignore = 0, stride = 0;  // stride: of rows or of classes
  float smoothing = 0;
  // Forward: results by row.
  float* loss = nullptr;
  float* lse = nullptr;
  // Backward.
  const float* grad = nullptr;  // by row, or one number
  bool grad_each = false;
  float scale = 1;  // times grad
  void* dlogits = nullptr;
};
struct CrossEntropyKernels {
  // Rows [begin, end), neighbouring classes: row r starts at logits + r * classes.
  void (*forward)(const CrossEntropyArgs&, int64_t begin, int64_t end);
  void (*backward)(const CrossEntropyArgs&, int64_t begin, int64_t end);
  // Neighbouring rows: pointers are those of row 0, classes lie `stride` apart.
  void (*forward_columns)(const CrossEntropyArgs&, int64_t begin, int64_t end);
  void (*backward_columns)(const CrossEntropyArgs&, int64_t begin, int64_t end);
};

// ---- layer_norm, rms_norm -----------------------------------------------------------------------

struct NormArgs {
  const void* x = nullptr;
  const float *weight = nullptr, *bias = nullptr;  // null: 1 and 0
  int64_t width = 0;
  double eps = 0;
  void* y = nullptr;
  float *mean = nullptr, *rstd = nullptr;  // results, or inputs of backward; mean null: rms_norm
  const void* grad = nullptr;
  void* dx = nullptr;
};
struct NormKernels {
  void (*forward)(const NormArgs&, int64_t begin, int64_t end);
  // Adds to dweight and dbias (null for rms_norm) what rows [begin, end) give.
  void (*backward)(const NormArgs&, int64_t begin, int64_t end, float* dweight, float* dbias);
};

#define RUTILE_ROW_KERNELS                              \
  SoftmaxKernels softmax_kernels(bool log, bool bf16);  \
  CrossEntropyKernels cross_entropy_kernels(bool bf16); \
  NormKernels norm_kernels(bool rms, bool bf16);
namespace avx2 {
RUTILE_ROW_KERNELS
}
namespace avx512 {
RUTILE_ROW_KERNELS
}
#undef RUTILE_ROW_KERNELS

}  // namespace rutile::kernels
