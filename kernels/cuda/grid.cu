// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/grid.h"

#include "rutile/kernels/cuda/index.h"
#include "rutile/kernels/cuda/values.h"

namespace rutile::cuda {
namespace {

using kernels::GridPixel;
using kernels::kMostGridPixels;

// A position of the grid: image, depth, row, column.
struct Position {
  int64_t at[4];
  RUTILE_FN Position(const GridArgs& a, int64_t i) {
    for (int d = 2; d >= 0; --d) {
      at[d + 1] = i % a.out[d];
      i /= a.out[d];
    }
    at[0] = i;
  }
  RUTILE_FN int64_t offset(const int64_t* strides) const {
    int64_t o = 0;
    for (int d = 0; d < 4; ++d) o += at[d] * strides[d];
    return o;
  }
  RUTILE_FN int64_t made(const GridArgs& a, int64_t c) const {
    return at[0] * a.made[0] + c * a.made[1] + at[1] * a.made[2] + at[2] * a.made[3] +
           at[3] * a.made[4];
  }
  RUTILE_FN int find(const GridArgs& a, GridPixel* pixels) const {
    double coordinates[3] = {0, 0, 0};
    for (int k = 0; k < a.image.spatial; ++k) {
      coordinates[k] = load_any<double>(a.grid_type, a.at, offset(a.grid) + k * a.grid[4]);
    }
    return kernels::grid_math::pixels(a.image, coordinates, pixels);
  }
};

// A thread a position.
template <class C>
__global__ void __launch_bounds__(kCoverThreads) grid_sample(RUTILE_PARAM GridArgs a) {
  const int64_t i = thread_number();
  if (i >= a.n * a.out[0] * a.out[1] * a.out[2]) return;
  const Position p(a, i);
  GridPixel pixels[kMostGridPixels];
  const int count = p.find(a, pixels);
  for (int64_t c = 0; c < a.c; ++c) {
    const int64_t plane = p.at[0] * a.image.image[0] + c * a.image.image[1];
    C sum = 0;
    for (int k = 0; k < count; ++k) {
      sum += static_cast<C>(pixels[k].weight) * load<C>(a.type, a.x, plane + pixels[k].offset);
    }
    store<C>(a.type, a.y, p.made(a, c), sum);
  }
}

template <class C>
__global__ void __launch_bounds__(kCoverThreads) grid_slopes(RUTILE_PARAM GridArgs a) {
  const int64_t i = thread_number();
  if (i >= a.n * a.out[0] * a.out[1] * a.out[2]) return;
  const Position p(a, i);
  GridPixel pixels[kMostGridPixels];
  const int count = p.find(a, pixels);
  C sums[3] = {0, 0, 0};
  for (int64_t c = 0; c < a.c; ++c) {
    const int64_t plane = p.at[0] * a.image.image[0] + c * a.image.image[1];
    const C g = load<C>(a.type, a.dy, p.made(a, c));
    for (int k = 0; k < count; ++k) {
      const C v = g * load<C>(a.type, a.x, plane + pixels[k].offset);
      for (int d = 0; d < a.image.spatial; ++d) sums[d] += v * static_cast<C>(pixels[k].slope[d]);
    }
  }
  for (int d = 0; d < a.image.spatial; ++d) {
    store<C>(a.grid_type, a.y, p.offset(a.dgrid) + d * a.dgrid[4], sums[d]);
  }
}

// Where each pixel that a position reads lies in channel 0, and its weight.
__global__ void __launch_bounds__(kCoverThreads) grid_keys(RUTILE_PARAM GridKeysArgs k) {
  const GridArgs& a = k.grid;
  const int64_t i = thread_number();
  if (i >= a.n * a.out[0] * a.out[1] * a.out[2]) return;
  const Position p(a, i);
  GridPixel pixels[kMostGridPixels];
  int count = p.find(a, pixels);
  if (count > 0 && pixels[0].weight != pixels[0].weight) count = 0;  // not a number: nowhere
  for (int j = 0; j < k.each; ++j) {
    const int64_t to = i * k.each + j;
    k.values[to] = to;
    k.keys[to] = kNowhere;
    if (j >= count) continue;
    k.keys[to] = static_cast<uint64_t>(p.at[0] * a.image.image[0] + pixels[j].offset);
    k.weights[to] = pixels[j].weight;
  }
}

// A block a run of equal keys, a thread a channel; blocks that begin no run have nothing to do.
template <class C>
__global__ void __launch_bounds__(kCoverThreads) grid_spread(RUTILE_PARAM GridKeysArgs k) {
  const GridArgs& a = k.grid;
  const int64_t begin = blockIdx.x;
  const uint64_t key = k.keys[begin];
  if (key == kNowhere || (begin > 0 && k.keys[begin - 1] == key)) return;
  for (int64_t c = threadIdx.x; c < a.c; c += kCoverThreads) {
    C sum = 0;
    for (int64_t s = begin; s < k.n && k.keys[s] == key; ++s) {
      const int64_t v = k.values[s];
      const Position p(a, v / k.each);
      sum += static_cast<C>(k.weights[v]) * load<C>(a.type, a.dy, p.made(a, c));
    }
    store<C>(a.type, a.y, static_cast<int64_t>(key) + c * a.image.image[1], sum);
  }
}

template <class C>
int launch_type(const GridArgs& a, Stream stream) {
  const Grid grid = cover(a.n * a.out[0] * a.out[1] * a.out[2]);
  return a.kind == GridKind::kSample ? launch(grid_sample<C>, grid, stream, a)
                                     : launch(grid_slopes<C>, grid, stream, a);
}

}  // namespace

int launch_grid(const GridArgs& a, Stream stream) {
  return a.type == DType::kF64 ? launch_type<double>(a, stream) : launch_type<float>(a, stream);
}
int launch_grid_keys(const GridKeysArgs& k, Stream stream) {
  const GridArgs& a = k.grid;
  return launch(grid_keys, cover(a.n * a.out[0] * a.out[1] * a.out[2]), stream, k);
}
int launch_grid_spread(const GridKeysArgs& k, Stream stream) {
  const Grid grid{.x = k.n, .threads = kCoverThreads};
  return k.grid.type == DType::kF64 ? launch(grid_spread<double>, grid, stream, k)
                                    : launch(grid_spread<float>, grid, stream, k);
}

}  // namespace rutile::cuda
