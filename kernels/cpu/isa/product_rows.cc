// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/product_rows.h"

#include "rutile/kernels/cpu/isa/reduce_loops.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

// Every lane multiplies what it meets: in front of an element on the way there, behind it on the
// way back, which starts from what the other lanes come to.
template <class T>
void others(const void* px, void* py, int64_t rows, int64_t n) {
  using V = VecOf<T>;
  using U = typename Lanes<T>::Unaligned;
  constexpr int64_t w = Lanes<T>::kCount;
  for (int64_t row = 0; row < rows; ++row) {
    const T* x = static_cast<const T*>(px) + row * n;
    T* y = static_cast<T*>(py) + row * n;
    V in_front = fill<T>(1);
    int64_t i = 0;
    for (; i + w <= n; i += w) {
      *reinterpret_cast<U*>(y + i) = in_front;
      in_front *= load_as<T>(x + i);
    }
    const int64_t rest = n - i;
    const V last = rest > 0 ? load_some<T>(x + i, rest, T(1)) : fill<T>(1);
    const V total = in_front * last;
    V behind = fill<T>(1);
    for (int64_t k = 0; k < w; ++k) {
      for (int64_t lane = 0; lane < w; ++lane) behind[lane] *= lane == k ? T(1) : total[k];
    }
    const V end = in_front * behind;
    for (int64_t k = 0; k < rest; ++k) y[i + k] = end[k];
    behind *= last;
    for (i -= w; i >= 0; i -= w) {
      *reinterpret_cast<U*>(y + i) = load_as<T>(static_cast<const T*>(y + i)) * behind;
      behind *= load_as<T>(x + i);
    }
  }
}

}  // namespace

ProductRows product_rows() { return {others<float>, others<double>}; }

}  // namespace rutile::kernels::RUTILE_ISA
