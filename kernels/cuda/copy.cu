// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/copy.h"

#include "rutile/kernels/cuda/values.h"

namespace rutile::cuda {
namespace {

constexpr int kThreads = 256, kEach = 4, kTile = 32;

template <class T>
RUTILE_FN T value_of(const uint64_t (&words)[2]) {
  if constexpr (sizeof(T) == 16) {
    return {{words[0], words[1]}};
  } else {
    return static_cast<T>(words[0]);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) copy(RUTILE_PARAM CopyArgs a) {
  const int64_t block = static_cast<int64_t>(blockIdx.x) * kThreads * kEach;
#pragma unroll
  for (int e = 0; e < kEach; ++e) {
    const int64_t i = block + e * kThreads + threadIdx.x;
    if (i >= a.n) return;
    int64_t to[2] = {i, i};
    if (!a.linear) a.index.find(i, to);
    static_cast<T*>(a.out)[to[0]] = static_cast<const T*>(a.in)[to[1]];
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) copy_tiles(RUTILE_PARAM CopyArgs a) {
  __shared__ T tile[kTile][kTile + 1];
  const int64_t across = (a.rows + kTile - 1) / kTile, down = (a.columns + kTile - 1) / kTile;
  int64_t b = blockIdx.x;
  const int64_t row = b % across * kTile;
  b /= across;
  const int64_t column = b % down * kTile;
  int64_t rest[2];
  a.index.find(b / down, rest);
  const int x = threadIdx.x % kTile, y = threadIdx.x / kTile;
  const T* in = static_cast<const T*>(a.in) + rest[1];
  T* out = static_cast<T*>(a.out) + rest[0];
#pragma unroll
  for (int j = y; j < kTile; j += kThreads / kTile) {
    const int64_t r = row + j, c = column + x;
    if (r < a.rows && c < a.columns) tile[j][x] = in[r * a.in_row + c * a.in_column];
  }
  __syncthreads();
#pragma unroll
  for (int j = y; j < kTile; j += kThreads / kTile) {
    const int64_t r = row + x, c = column + j;
    if (r < a.rows && c < a.columns) out[r * a.out_row + c * a.out_column] = tile[x][j];
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) fill(RUTILE_PARAM FillArgs a) {
  const int64_t block = static_cast<int64_t>(blockIdx.x) * kThreads * kEach;
#pragma unroll
  for (int e = 0; e < kEach; ++e) {
    const int64_t i = block + e * kThreads + threadIdx.x;
    if (i >= a.n) return;
    static_cast<T*>(a.out)[a.linear ? i : a.index.find_one(i)] = value_of<T>(a.value);
  }
}

template <class T>
__global__ void __launch_bounds__(kCoverThreads) pad(RUTILE_PARAM PadArgs a) {
  const int64_t i = thread_number();
  if (i >= a.n) return;
  int64_t left = i, to = 0, from = 0;
  bool inside = true;
  for (int d = a.rank - 1; d >= 0; --d) {
    const int64_t q = left / a.out_shape[d], r = left - q * a.out_shape[d];
    const int64_t source = pad_source(r - a.before[d], a.in_shape[d], a.mode);
    inside = inside && source >= 0;
    to += r * a.out_stride[d];
    from += source * a.in_stride[d];
    left = q;
  }
  static_cast<T*>(a.out)[to] = inside ? static_cast<const T*>(a.in)[from] : value_of<T>(a.value);
}

template <class T>
__global__ void __launch_bounds__(kCoverThreads) triangle(RUTILE_PARAM TriangleArgs a) {
  const int64_t i = thread_number();
  if (i >= a.n) return;
  const int64_t column = i % a.columns, row = i / a.columns % a.rows;
  const bool keep = a.lower ? column - row <= a.diagonal : column - row >= a.diagonal;
  int64_t to[2];
  a.index.find(i, to);
  static_cast<T*>(a.out)[to[0]] = keep ? static_cast<const T*>(a.in)[to[1]] : T{};
}

__global__ void __launch_bounds__(kCoverThreads) steps(RUTILE_PARAM StepsArgs a) {
  const int64_t i = thread_number();
  if (i >= a.n) return;
  if (a.whole) {
    store<int64_t>(a.type, a.out, i, a.first + i * a.stride);
  } else {
    store<double>(a.type, a.out, i, a.start + static_cast<double>(i) * a.step);
  }
}

__global__ void __launch_bounds__(kCoverThreads) truths(uint8_t* bytes, int64_t n) {
  const int64_t i = thread_number();
  if (i < n) bytes[i] = bytes[i] != 0 ? 1 : 0;
}

}  // namespace

int launch_truths(void* bytes, int64_t n, Stream stream) {
  return launch(truths, cover(n), stream, static_cast<uint8_t*>(bytes), n);
}
int launch_copy(const CopyArgs& a, Stream stream) {
  if (a.n == 0) return 0;
  return by_size(a.size, [&](auto type) {
    using T = decltype(type);
    if (a.tiled) {
      const int64_t across = (a.rows + kTile - 1) / kTile, down = (a.columns + kTile - 1) / kTile;
      const int64_t planes = a.n / (a.rows * a.columns);
      return launch_blocks(copy_tiles<T>, {.x = across * down * planes, .threads = kThreads},
                           stream, a);
    }
    return launch(copy<T>, {.x = blocks_for(a.n, kThreads, kEach), .threads = kThreads}, stream, a);
  });
}

int launch_fill(const FillArgs& a, Stream stream) {
  return by_size(a.size, [&](auto type) {
    return launch(fill<decltype(type)>,
                  {.x = blocks_for(a.n, kThreads, kEach), .threads = kThreads}, stream, a);
  });
}

int launch_pad(const PadArgs& a, Stream stream) {
  return by_size(a.size,
                 [&](auto type) { return launch(pad<decltype(type)>, cover(a.n), stream, a); });
}

int launch_triangle(const TriangleArgs& a, Stream stream) {
  return by_size(
      a.size, [&](auto type) { return launch(triangle<decltype(type)>, cover(a.n), stream, a); });
}

int launch_steps(const StepsArgs& a, Stream stream) { return launch(steps, cover(a.n), stream, a); }

}  // namespace rutile::cuda
