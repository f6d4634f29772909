// SPDX-License-Identifier: Apache-2.0
// Images read at the positions of a grid, and the gradients.
#pragma once

#include "rutile/core/dtype.h"
#include "rutile/kernels/cuda/device.h"
#include "rutile/kernels/grid_math.h"

namespace rutile::cuda {

enum class GridKind : uint8_t { kSample, kGridGrad };

struct GridArgs {
  GridKind kind = GridKind::kSample;
  kernels::GridGeometry image;
  int64_t n = 0, c = 0, out[3] = {1, 1, 1};
  int64_t made[5] = {}, grid[5] = {}, dgrid[5] = {};  // strides, as in kernels/grid_taps.h
  DType type = DType::kF32, grid_type = DType::kF32;
  const void *x = nullptr, *at = nullptr, *dy = nullptr;
  void* y = nullptr;  // the result, dx or the gradient of the grid
};
int launch_grid(const GridArgs& a, Stream stream);

// dx: what each position adds, sorted by where it goes, so that each sum is in one order.
struct GridKeysArgs {
  GridArgs grid;
  int each = 4;   // pixels of a position at most
  int64_t n = 0;  // of all positions
  uint64_t* keys = nullptr;
  int64_t* values = nullptr;
  double* weights = nullptr;
};
int launch_grid_keys(const GridKeysArgs& k, Stream stream);
int launch_grid_spread(const GridKeysArgs& k, Stream stream);

}  // namespace rutile::cuda
