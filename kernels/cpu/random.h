// SPDX-License-Identifier: Apache-2.0
// Between the rows of the random ops and their vector loops, which exist once per instruction set.
// Work comes in tiles, so that every loop begins with a whole vector of counters.
#pragma once

#include <cstdint>

#include "rutile/core/dtype.h"

namespace rutile::kernels {

inline constexpr int64_t kRandomTile = 1024;  // elements

// What the kernels of random_params.h work with; each op uses its part.
struct RandomArgs {
  uint64_t key = 0;
  int bits = 24;  // of a uniform number
  float offset = 0, scale = 1;
  float top = 0;            // the largest uniform number
  float lo = 0, range = 0;  // truncated: 2 cdf - 1 of the lower bound, and up to the upper one
  float from = 0, to = 0;   // truncated: the bounds
  uint64_t threshold = 0;   // up to 2^32: a word below it is a hit
  int64_t low = 0;
  uint64_t span = 0;  // randint: high - low
};

// Elements [kRandomTile * tile, ... + n), the first of them at y; n <= kRandomTile.
using RandomFn = void (*)(const RandomArgs&, int64_t tile, int64_t n, void* y);
struct RandomKernels {
  RandomFn uniform = nullptr, normal = nullptr, truncated = nullptr;  // null: not such a type
  RandomFn bernoulli = nullptr;
  RandomFn integers = nullptr;
};
// Dropout of n elements: y = mask ? x * scale : 0.
struct DropoutKernels {
  // Draws the mask of a tile.
  void (*draw)(const RandomArgs&, int64_t tile, int64_t n, const void* x, void* y,
               bool* mask) = nullptr;
  // Takes it as it is.
  void (*apply)(float scale, int64_t n, const void* x, const bool* mask, void* y) = nullptr;
};

#define RUTILE_RANDOM_KERNELS              \
  RandomKernels random_kernels(DType out); \
  DropoutKernels dropout_kernels(DType t);
namespace avx2 {
RUTILE_RANDOM_KERNELS
}
namespace avx512 {
RUTILE_RANDOM_KERNELS
}
#undef RUTILE_RANDOM_KERNELS

}  // namespace rutile::kernels
