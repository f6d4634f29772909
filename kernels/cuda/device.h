// SPDX-License-Identifier: Apache-2.0
// What a .cu file sees: launching, and the CUDA keywords. The same files compile as plain C++ for
// tests (RUTILE_CUDA_EMULATED): there a launch runs every thread of every block on the host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>

#include "rutile/kernels/inline.h"

#if defined(RUTILE_CUDA_EMULATED)
#include "rutile/kernels/cuda/emulator.h"
#define RUTILE_NOINLINE [[gnu::noinline]]
#define RUTILE_DEVICE [[gnu::always_inline]] inline
#else
#include <cuda_runtime.h>
#define RUTILE_NOINLINE __host__ __device__ __noinline__
#define RUTILE_DEVICE __device__ __forceinline__
#endif

// Where code for threads compiles: in .cu files and in the emulator.
#if defined(__CUDACC__) || defined(RUTILE_CUDA_EMULATED)
#define RUTILE_KERNEL_CODE 1
#else
#define RUTILE_KERNEL_CODE 0
#endif

// The parameter of a kernel that is read where it lies, in constant memory.
#define RUTILE_PARAM const __grid_constant__

namespace rutile {
using Stream = struct StreamTag*;
}

namespace rutile::cuda {

inline constexpr int kWarp = 32;

struct Grid {
  int64_t x = 1;
  int64_t y = 1;
  int threads = 256;
  int shared = 0;  // bytes of dynamic shared memory
};

// What a launch has at most.
inline constexpr int64_t kMostBlocksX = 0x7fffffff, kMostBlocksY = 65535;
inline constexpr int kTooManyBlocks = -1;  // a code for launch_status()

// Queues the kernel; 0, or a code for launch_status() (kernels/cuda/host.h). A grid without blocks
// is no launch. kSyncs: its threads wait for each other.
int launch_raw(const void* kernel, const Grid& grid, Stream stream, void** args);

template <bool kSyncs, class... P, class... A>
int launch_as(void (*kernel)(P...), const Grid& grid, Stream stream, const A&... args) {
  if (grid.x <= 0 || grid.y <= 0) return 0;
  if (grid.x > kMostBlocksX || grid.y > kMostBlocksY) return kTooManyBlocks;
  std::tuple<std::remove_const_t<P>...> values(args...);
#if defined(RUTILE_CUDA_EMULATED)
  (void)stream;
  emulator::run(grid.x, grid.y, grid.threads, kSyncs, [&] { std::apply(kernel, values); });
  return 0;
#else
  return std::apply(
      [&](auto&... v) {
        void* pointers[] = {static_cast<void*>(&v)...};
        return launch_raw(reinterpret_cast<const void*>(kernel), grid, stream, pointers);
      },
      values);
#endif
}

// Threads work alone.
template <class... P, class... A>
int launch(void (*kernel)(P...), const Grid& grid, Stream stream, const A&... args) {
  return launch_as<false>(kernel, grid, stream, args...);
}
// Threads of a block wait for each other (__syncthreads, shuffles).
template <class... P, class... A>
int launch_blocks(void (*kernel)(P...), const Grid& grid, Stream stream, const A&... args) {
  return launch_as<true>(kernel, grid, stream, args...);
}

// Blocks of `threads` that cover n items, `each` per thread.
RUTILE_FN int64_t blocks_for(int64_t n, int threads, int each = 1) {
  const int64_t per = static_cast<int64_t>(threads) * each;
  return (n + per - 1) / per;
}

// One thread an item: the grid, and in the kernel the item.
inline constexpr int kCoverThreads = 256;
inline Grid cover(int64_t n) {
  return {.x = blocks_for(n, kCoverThreads), .threads = kCoverThreads};
}
#if RUTILE_KERNEL_CODE
RUTILE_DEVICE int64_t thread_number() {
  return static_cast<int64_t>(blockIdx.x) * kCoverThreads + threadIdx.x;
}
#endif

}  // namespace rutile::cuda
