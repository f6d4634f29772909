// SPDX-License-Identifier: Apache-2.0
// Which pixels of an image a position of a grid reads, for host and device code.
#pragma once

#include <cmath>
#include <cstdint>

#include "rutile/kernels/functor_math.h"

namespace rutile {
enum class GridSampleMode : uint8_t;  // ops/grid_sample.h: bilinear, nearest, bicubic
enum class GridPadding : uint8_t;     // zeros, border, reflection
}  // namespace rutile

namespace rutile::kernels {

// Images as [n, c, d, h, w]; two-dimensional ones have a depth of 1.
struct GridGeometry {
  int64_t in[3] = {1, 1, 1}, image[5] = {};  // sizes; strides of [n, c, d, h, w]
  int spatial = 2;
  GridSampleMode mode{};
  GridPadding padding{};
  bool align_corners = false;
};

// Along one dimension: up to four pixels, their weights and the weights' derivatives by the
// coordinate of the grid.
struct GridTaps {
  int count = 0;
  int64_t pixel[4] = {};
  double weight[4] = {}, slope[4] = {};
};
// A pixel that a position reads: where it lies in image 0, channel 0; its weight; the weight's
// derivative by each coordinate (column, row, depth).
struct GridPixel {
  int64_t offset;
  double weight, slope[3];
};
inline constexpr int kMostGridPixels = 16;

namespace grid_math {

using M = StdMath;

// A coordinate in pixels, and its derivative by that of the grid.
struct Place {
  double at, slope;
};

RUTILE_FN Place clip(Place p, int64_t size) {
  const auto most = static_cast<double>(size - 1);
  if (p.at <= 0) return {0, 0};
  if (p.at >= most) return {most, 0};
  return p;
}

// Back into [low, low + span] by mirrors at both ends.
RUTILE_FN Place reflect(Place p, double low, double span) {
  if (span == 0) return {0, 0};
  double at = p.at - low;
  if (at < 0) {
    at = -at;
    p.slope = -p.slope;
  }
  const double rest = M::fmod(at, span);
  if (M::fmod(M::floor(at / span), 2.0) == 0) return {rest + low, p.slope};
  return {span - rest + low, -p.slope};
}

RUTILE_FN Place padded(const GridGeometry& s, Place p, int64_t size) {
  if (s.padding == GridPadding{0}) return p;
  if (s.padding == GridPadding{2}) {
    const auto n = static_cast<double>(size);
    p = s.align_corners ? reflect(p, 0, n - 1) : reflect(p, -0.5, n);
  }
  return clip(p, size);
}

// From here on places have no part behind the point that matters, and no pixel.
inline constexpr double kFar = 1e9;

// Of numbers that fit an integer.
RUTILE_FN double round_down(double v) {
  const auto whole = static_cast<double>(static_cast<int64_t>(v));
  return whole > v ? whole - 1 : whole;
}

RUTILE_FN void add(GridTaps* t, double pixel, int64_t size, double weight, double slope) {
  if (!(pixel >= 0 && pixel < static_cast<double>(size))) return;
  t->pixel[t->count] = static_cast<int64_t>(pixel);
  t->weight[t->count] = weight;
  t->slope[t->count++] = slope;
}

// A place that is not a number makes the result none.
RUTILE_FN GridTaps nowhere() {
  GridTaps t;
  const double nan = __builtin_nan("");
  add(&t, 0, 1, nan, nan);
  return t;
}

// Keys' kernel with a = -0.75 at x >= 0, and its derivative.
RUTILE_FN double cubic(double x) {
  constexpr double a = -0.75;
  return x <= 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
}
RUTILE_FN double cubic_slope(double x) {
  constexpr double a = -0.75;
  return x <= 1 ? (3 * (a + 2) * x - 2 * (a + 3)) * x : (3 * a * x - 10 * a) * x + 8 * a;
}

RUTILE_FN GridTaps taps(const GridGeometry& s, int axis, double coordinate) {
  const int64_t size = s.in[axis];
  const auto n = static_cast<double>(size);
  Place p;
  if (s.align_corners) {
    p = {(coordinate + 1) / 2 * (n - 1), (n - 1) / 2};
  } else {
    p = {((coordinate + 1) * n - 1) / 2, n / 2};
  }
  GridTaps t;
  if (s.mode == GridSampleMode{2}) {
    const bool far = !(std::fabs(p.at) < kFar);
    const double whole = far ? p.at : round_down(p.at), part = far ? 0 : p.at - whole;
    for (int k = -1; k <= 2; ++k) {
      const double x = part - k, at = padded(s, {whole + k, 0}, size).at;
      if (at != at) return nowhere();
      const double slope = cubic_slope(std::fabs(x)) * (x < 0 ? -1 : 1);
      add(&t, at, size, cubic(std::fabs(x)), slope * p.slope);
    }
    return t;
  }
  p = padded(s, p, size);
  if (p.at != p.at) return nowhere();
  if (!(std::fabs(p.at) < kFar)) return t;
  if (s.mode == GridSampleMode{1}) {
    add(&t, M::round(p.at), size, 1, 0);
    return t;
  }
  const double whole = round_down(p.at), part = p.at - whole;
  add(&t, whole, size, 1 - part, -p.slope);
  add(&t, whole + 1, size, part, p.slope);
  return t;
}

RUTILE_FN int pixels(const GridGeometry& s, const double* coordinates, GridPixel* found) {
  GridTaps depth;
  if (s.spatial == 3) {
    depth = taps(s, 0, coordinates[2]);
  } else {
    add(&depth, 0, 1, 1, 0);
  }
  const GridTaps row = taps(s, 1, coordinates[1]), column = taps(s, 2, coordinates[0]);
  const GridTaps* const all[3] = {&depth, &row, &column};
  for (const GridTaps* t : all) {
    if (t->count == 0 || t->weight[0] == t->weight[0]) continue;
    const double nan = t->weight[0];
    found[0] = {0, nan, {nan, nan, nan}};
    return 1;
  }
  int count = 0;
  for (int i = 0; i < depth.count; ++i) {
    for (int j = 0; j < row.count; ++j) {
      for (int k = 0; k < column.count; ++k) {
        GridPixel& p = found[count++];
        p.offset =
            depth.pixel[i] * s.image[2] + row.pixel[j] * s.image[3] + column.pixel[k] * s.image[4];
        p.weight = depth.weight[i] * row.weight[j] * column.weight[k];
        p.slope[0] = depth.weight[i] * row.weight[j] * column.slope[k];
        p.slope[1] = depth.weight[i] * row.slope[j] * column.weight[k];
        p.slope[2] = depth.slope[i] * row.weight[j] * column.weight[k];
      }
    }
  }
  return count;
}

}  // namespace grid_math
}  // namespace rutile::kernels
