// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/require.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

template <class T>
bool copy_checked(const void* px, void* py, int64_t n, RangeCheck range, int64_t* positive) {
  constexpr int64_t kBlock = 1024;
  const T* x = static_cast<const T*>(px);
  T* y = static_cast<T*>(py);
  int bad = 0;
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t end = n - begin < kBlock ? n : begin + kBlock;
    int above = 0;
#pragma GCC ivdep
    for (int64_t i = begin; i < end; ++i) {
      const T v = x[i];
      const double d = v;
      bad |= !((d >= range.min) & (d <= range.max));
      above += v > T(0);
      y[i] = v;
    }
    *positive += above;
  }
  return !bad;
}

}  // namespace

RequireKernels require_kernels() { return {copy_checked<float>, copy_checked<double>}; }

}  // namespace rutile::kernels::RUTILE_ISA
