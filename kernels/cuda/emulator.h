// SPDX-License-Identifier: Apache-2.0
// CUDA's execution model on the host, as far as the kernels here use it: blocks one after another,
// the threads of a block as fibers that take turns at every barrier. For tests without a GPU; slow.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>

#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __grid_constant__
#define __launch_bounds__(...)
#define __restrict__

namespace rutile::cuda::emulator {

struct Index3 {
  unsigned x = 0, y = 0, z = 0;
};

// Runs `kernel` for every thread. Without syncs a thread runs to its end before the next begins.
void run(int64_t blocks_x, int64_t blocks_y, int threads, bool syncs,
         const std::function<void()>& kernel);
// Waits for the other threads of the block, or of the warp.
void sync_block();
void sync_warp();
// What lane `from` of the warp gives.
void exchange(const void* mine, void* other, size_t bytes, int from);

extern Index3 thread_index, block_index, block_size, grid_size;

}  // namespace rutile::cuda::emulator

#define threadIdx (::rutile::cuda::emulator::thread_index)
#define blockIdx (::rutile::cuda::emulator::block_index)
#define blockDim (::rutile::cuda::emulator::block_size)
#define gridDim (::rutile::cuda::emulator::grid_size)

inline void __syncthreads() { rutile::cuda::emulator::sync_block(); }
inline void __syncwarp() { rutile::cuda::emulator::sync_warp(); }
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  T other{};
  const int lane = static_cast<int>(threadIdx.x % 32);
  rutile::cuda::emulator::exchange(&value, &other, sizeof(T), lane ^ mask);
  return other;
}
template <class T>
T __shfl_sync(unsigned, T value, int from) {
  T other{};
  rutile::cuda::emulator::exchange(&value, &other, sizeof(T), from);
  return other;
}
inline int atomicCAS(int* p, int expected, int desired) {
  const int old = *p;
  if (old == expected) *p = desired;
  return old;
}
inline int atomicOr(int* p, int bits) {
  const int old = *p;
  *p |= bits;
  return old;
}
inline void __threadfence_system() {}
struct alignas(8) uint2 {
  uint32_t x, y;
};
