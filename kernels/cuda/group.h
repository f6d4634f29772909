// SPDX-License-Identifier: Apache-2.0
// Blocks of 256 threads as groups of lanes that share a row: 32 lanes for short rows, 256 for long
// ones. Where neighbours in memory are different rows, neighbouring threads take different rows.
#pragma once

#include "rutile/kernels/cuda/device.h"

namespace rutile::cuda {

inline constexpr int kGroupThreads = 256;

struct GroupShape {
  int lanes = 32, rows = 8;
  bool columns = false;
};
RUTILE_FN GroupShape whole_block() { return {kGroupThreads, 1, false}; }
inline GroupShape group_shape(int64_t length, bool columns) {
  if (columns) return {8, 32, true};
  return length <= 1024 ? GroupShape{32, 8, false} : whole_block();
}
inline Grid group_grid(const GroupShape& g, int64_t rows, int64_t parts = 1) {
  return {.x = (rows + g.rows - 1) / g.rows, .y = parts, .threads = kGroupThreads};
}

#if RUTILE_KERNEL_CODE
struct Group {
  int lane, lanes, member;  // member: which row of the block
  int64_t row;
  RUTILE_DEVICE explicit Group(const GroupShape& g) {
    const int t = static_cast<int>(threadIdx.x);
    lanes = g.lanes;
    lane = g.columns ? t / g.rows : t % g.lanes;
    member = g.columns ? t % g.rows : t / g.lanes;
    row = static_cast<int64_t>(blockIdx.x) * g.rows + member;
  }
  // The values of all lanes joined in a tree, for all of them. Every thread of the block must come.
  template <class T, class Join>
  RUTILE_DEVICE T all(T mine, T* shared, Join&& join) const {
    T* s = shared + member * lanes;
    s[lane] = mine;
    __syncthreads();
    for (int half = lanes / 2; half > 0; half /= 2) {
      if (lane < half) s[lane] = join(s[lane], s[lane + half]);
      __syncthreads();
    }
    const T result = s[0];
    __syncthreads();
    return result;
  }
  template <class T>
  RUTILE_DEVICE T sum(T mine, T* shared) const {
    return all(mine, shared, [](T a, T b) { return a + b; });
  }
};
#endif

}  // namespace rutile::cuda
