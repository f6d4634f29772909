// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/control.h"

#if defined(RUTILE_CUDA_EMULATED)
// There a handle is where its value is to go.
inline void cudaGraphSetConditional(unsigned long long handle, unsigned value) {
  *reinterpret_cast<unsigned*>(static_cast<uintptr_t>(handle)) = value;
}
#endif

namespace rutile::cuda {
namespace {

constexpr int64_t kNoLimit = 0x7fffffffffffffff;

__global__ void set_branch(ConditionalHandle handle, const unsigned char* holds) {
  cudaGraphSetConditional(handle, *holds != 0 ? 1u : 0u);
}

RUTILE_DEVICE void set_loop(const LoopArgs& a) {
  const bool more = a.done[0] < a.done[1] && (a.holds == nullptr || *a.holds);
  cudaGraphSetConditional(a.handle, more ? 1u : 0u);
}

__global__ void start_loop(RUTILE_PARAM LoopArgs a) {
  int64_t count = a.most < 0 ? kNoLimit : a.most;
  if (a.wanted != nullptr) {
    const int64_t wanted = *a.wanted < 0 ? 0 : *a.wanted;
    count = wanted < count ? wanted : count;
  }
  a.done[0] = 0;
  a.done[1] = count;
  set_loop(a);
}

__global__ void next_iteration(RUTILE_PARAM LoopArgs a) {
  a.done[0] += 1;
  set_loop(a);
}

struct alignas(16) Unit16 {
  uint64_t words[2];
};

template <class Unit>
__global__ void move_slice(RUTILE_PARAM SliceArgs a) {
  const int64_t units = a.bytes / static_cast<int64_t>(sizeof(Unit));
  const int64_t i = a.reverse ? a.done[1] - 1 - a.done[0] : a.done[0];
  Unit* const in_slices = reinterpret_cast<Unit*>(a.slices + i * a.bytes);
  Unit* const one = reinterpret_cast<Unit*>(a.one);
  const Unit* const from = a.stores ? one : in_slices;
  Unit* const to = a.stores ? in_slices : one;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kCoverThreads;
  for (int64_t k = thread_number(); k < units; k += step) to[k] = from[k];
}

// Enough blocks to fill a large GPU; each thread moves several units of a large slice.
constexpr int64_t kMostBlocks = 2048;

}  // namespace

int launch_branch(ConditionalHandle handle, const void* holds, Stream stream) {
  return launch(set_branch, {.threads = 1}, stream, handle,
                static_cast<const unsigned char*>(holds));
}

int launch_loop_start(const LoopArgs& a, Stream stream) {
  return launch(start_loop, {.threads = 1}, stream, a);
}
int launch_loop_next(const LoopArgs& a, Stream stream) {
  return launch(next_iteration, {.threads = 1}, stream, a);
}

int launch_slice(const SliceArgs& a, Stream stream) {
  const auto all = reinterpret_cast<uintptr_t>(a.slices) | reinterpret_cast<uintptr_t>(a.one) |
                   static_cast<uintptr_t>(a.bytes);
  const auto grid = [&](int64_t unit) {
    Grid g = cover(a.bytes / unit);
    if (g.x > kMostBlocks) g.x = kMostBlocks;
    return g;
  };
  if (all % 16 == 0) return launch(move_slice<Unit16>, grid(16), stream, a);
  if (all % 4 == 0) return launch(move_slice<uint32_t>, grid(4), stream, a);
  return launch(move_slice<unsigned char>, grid(1), stream, a);
}

}  // namespace rutile::cuda
