// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/gemv.h"

#include "rutile/kernels/cpu/isa/vec16.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

float total(V16 v) {
  float s[8];
  for (int i = 0; i < 8; ++i) s[i] = v[i] + v[i + 8];
  return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

float dot(const float* a, const float* x, int64_t k) {
  V16 s0{}, s1{}, s2{}, s3{};
  int64_t i = 0;
  for (; i + 64 <= k; i += 64) {
    s0 += load(a + i) * load(x + i);
    s1 += load(a + i + 16) * load(x + i + 16);
    s2 += load(a + i + 32) * load(x + i + 32);
    s3 += load(a + i + 48) * load(x + i + 48);
  }
  for (; i + 16 <= k; i += 16) s0 += load(a + i) * load(x + i);
  float sum = total((s0 + s1) + (s2 + s3));
  for (; i < k; ++i) sum += a[i] * x[i];
  return sum;
}

void gemv_rows(const float* a, int64_t stride, const float* x, float* y, int64_t rows, int64_t k) {
  int64_t r = 0;
  // Four rows share what is read of x.
  for (; r + 4 <= rows; r += 4) {
    const float *a0 = a + r * stride, *a1 = a0 + stride, *a2 = a1 + stride, *a3 = a2 + stride;
    V16 s0{}, s1{}, s2{}, s3{};
    int64_t i = 0;
    for (; i + 16 <= k; i += 16) {
      const V16 v = load(x + i);
      s0 += load(a0 + i) * v;
      s1 += load(a1 + i) * v;
      s2 += load(a2 + i) * v;
      s3 += load(a3 + i) * v;
    }
    float t0 = total(s0), t1 = total(s1), t2 = total(s2), t3 = total(s3);
    for (; i < k; ++i) {
      t0 += a0[i] * x[i];
      t1 += a1[i] * x[i];
      t2 += a2[i] * x[i];
      t3 += a3[i] * x[i];
    }
    y[r] = t0;
    y[r + 1] = t1;
    y[r + 2] = t2;
    y[r + 3] = t3;
  }
  for (; r < rows; ++r) y[r] = dot(a + r * stride, x, k);
}

// A block of results stays in the cache while the matrix goes by, four lines at a time.
void gemv_columns(const float* a, int64_t stride, const float* x, float* y, int64_t columns,
                  int64_t k) {
  constexpr int64_t kBlock = 1024;
  for (int64_t first = 0; first < columns; first += kBlock) {
    const int64_t n = columns - first < kBlock ? columns - first : kBlock;
    float* to = y + first;
    for (int64_t i = 0; i < n; ++i) to[i] = 0;
    int64_t l = 0;
    for (; l + 4 <= k; l += 4) {
      const float* a0 = a + l * stride + first;
      const float *a1 = a0 + stride, *a2 = a1 + stride, *a3 = a2 + stride;
      const float x0 = x[l], x1 = x[l + 1], x2 = x[l + 2], x3 = x[l + 3];
#pragma GCC ivdep
      for (int64_t i = 0; i < n; ++i) {
        to[i] += (a0[i] * x0 + a1[i] * x1) + (a2[i] * x2 + a3[i] * x3);
      }
    }
    for (; l < k; ++l) {
      const float* a0 = a + l * stride + first;
      const float x0 = x[l];
#pragma GCC ivdep
      for (int64_t i = 0; i < n; ++i) to[i] += a0[i] * x0;
    }
  }
}

}  // namespace

GemvKernels gemv_kernels() { return {gemv_rows, gemv_columns}; }

}  // namespace rutile::kernels::RUTILE_ISA
