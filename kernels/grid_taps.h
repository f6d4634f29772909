// SPDX-License-Identifier: Apache-2.0
// Which pixels of an image a position of a grid reads, and with which weights.
#pragma once

#include "rutile/kernels/grid_math.h"
#include "rutile/ops/grid_sample.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {

struct GridShape : GridGeometry {
  int64_t n = 0, c = 0;
  int64_t out[3] = {1, 1, 1};
  // Strides of the images that are made (or dy), and of the grid: [n, d, h, w, coordinate]. `image`
  // are those that are read (or dx).
  int64_t made[5] = {}, grid[5] = {};

  static GridShape of(const CallMeta& call);
  // Of positions, in all images.
  int64_t rows() const { return n * out[0] * out[1]; }
};

// Of dimension `axis` (depth, height, width) at `coordinate`.
GridTaps grid_taps(const GridShape& s, int axis, double coordinate);

// All pixels of a position; `coordinates` are (column, row, depth). A position that is not a number
// has one pixel, with weights that are none either.
int grid_pixels(const GridShape& s, const double* coordinates, GridPixel* pixels);
// Whether the gradient of the position goes to `count` pixels: to none where it is not a number.
inline bool spreads(const GridPixel* pixels, int count) {
  return count > 0 && pixels[0].weight == pixels[0].weight;
}

}  // namespace rutile::kernels
