// SPDX-License-Identifier: Apache-2.0
// Which pixels of an image a position of a grid reads, and with which weights.
#pragma once

#include "rutile/ops/grid_sample.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {

// Images as [n, c, d, h, w]; two-dimensional ones have a depth of 1.
struct GridShape {
  int64_t n = 0, c = 0;
  int64_t in[3] = {1, 1, 1}, out[3] = {1, 1, 1};
  int spatial = 2;
  GridSampleMode mode = GridSampleMode::kBilinear;
  GridPadding padding = GridPadding::kZeros;
  bool align_corners = false;
  // Of the images that are read (or dx), of those that are made (or dy), of the grid: [n, d, h, w,
  // coordinate]; image strides are [n, c, d, h, w].
  int64_t image[5] = {}, made[5] = {}, grid[5] = {};

  static GridShape of(const CallMeta& call);
  // Of positions, in all images.
  int64_t rows() const { return n * out[0] * out[1]; }
};

// Along one dimension: up to four pixels, their weights and the weights' derivatives by the
// coordinate of the grid.
struct GridTaps {
  int count = 0;
  int64_t pixel[4];
  double weight[4], slope[4];
};
// Of dimension `axis` (depth, height, width) at `coordinate`.
GridTaps grid_taps(const GridShape& s, int axis, double coordinate);

// A pixel that a position reads: where it lies in image 0, channel 0; its weight; the weight's
// derivative by each coordinate (column, row, depth).
struct GridPixel {
  int64_t offset;
  double weight, slope[3];
};
inline constexpr int kMostGridPixels = 16;
// All pixels of a position; `coordinates` are (column, row, depth). A position that is not a number
// has one pixel, with weights that are none either.
int grid_pixels(const GridShape& s, const double* coordinates, GridPixel* pixels);
// Whether the gradient of the position goes to `count` pixels: to none where it is not a number.
inline bool spreads(const GridPixel* pixels, int count) {
  return count > 0 && pixels[0].weight == pixels[0].weight;
}

}  // namespace rutile::kernels
