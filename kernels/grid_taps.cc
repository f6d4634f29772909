// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/grid_taps.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace rutile::kernels {

namespace {

// A coordinate in pixels, and its derivative by that of the grid.
struct Place {
  double at, slope;
};

Place clip(Place p, int64_t size) {
  const auto most = static_cast<double>(size - 1);
  if (p.at <= 0) return {0, 0};
  if (p.at >= most) return {most, 0};
  return p;
}

// Back into [low, low + span] by mirrors at both ends.
Place reflect(Place p, double low, double span) {
  if (span == 0) return {0, 0};
  double at = p.at - low;
  if (at < 0) {
    at = -at;
    p.slope = -p.slope;
  }
  const double rest = std::fmod(at, span);
  if (std::fmod(std::floor(at / span), 2) == 0) return {rest + low, p.slope};
  return {span - rest + low, -p.slope};
}

Place padded(const GridShape& s, Place p, int64_t size) {
  if (s.padding == GridPadding::kZeros) return p;
  if (s.padding == GridPadding::kReflection) {
    const auto n = static_cast<double>(size);
    p = s.align_corners ? reflect(p, 0, n - 1) : reflect(p, -0.5, n);
  }
  return clip(p, size);
}

// From here on places have no part behind the point that matters, and no pixel.
constexpr double kFar = 1e9;

// Of numbers that fit an integer.
double round_down(double v) {
  const auto whole = static_cast<double>(static_cast<int64_t>(v));
  return whole > v ? whole - 1 : whole;
}

void add(GridTaps* t, double pixel, int64_t size, double weight, double slope) {
  if (!(pixel >= 0 && pixel < static_cast<double>(size))) return;
  t->pixel[t->count] = static_cast<int64_t>(pixel);
  t->weight[t->count] = weight;
  t->slope[t->count++] = slope;
}

// A place that is not a number makes the result none.
GridTaps nowhere() {
  GridTaps t;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  add(&t, 0, 1, nan, nan);
  return t;
}

// Keys' kernel with a = -0.75 at x >= 0, and its derivative.
double cubic(double x) {
  constexpr double a = -0.75;
  return x <= 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
}
double cubic_slope(double x) {
  constexpr double a = -0.75;
  return x <= 1 ? (3 * (a + 2) * x - 2 * (a + 3)) * x : (3 * a * x - 10 * a) * x + 8 * a;
}

template <class M, class A>
void take(const A& a, M* s) {
  s->mode = a.mode;
  s->padding = a.padding_mode;
  s->align_corners = a.align_corners;
}

void image_strides(const TensorMeta& m, int64_t* to) {
  const bool flat = m.rank() == 4;
  to[0] = m.strides[0];
  to[1] = m.strides[1];
  to[2] = flat ? 0 : m.strides[2];
  to[3] = m.strides[flat ? 2 : 3];
  to[4] = m.strides[flat ? 3 : 4];
}

}  // namespace

GridShape GridShape::of(const CallMeta& call) {
  GridShape s;
  const bool spread = call.op == &ops::kGridSampleInputGrad;
  const bool by_grid = call.op == &ops::kGridSampleGridGrad;
  if (spread) {
    take(call.as<ops::GridSampleInputGradAttrs>(), &s);
  } else {
    take(call.as<ops::GridSampleAttrs>(), &s);
  }
  const TensorMeta& image = spread ? call.out() : call.in(by_grid ? 1 : 0);
  const TensorMeta& made = spread || by_grid ? call.in(0) : call.out();
  const TensorMeta& grid = call.in(by_grid ? 2 : 1);
  s.n = image.dim(0);
  s.c = image.dim(1);
  s.spatial = image.rank() - 2;
  for (int i = 0; i < s.spatial; ++i) {
    s.in[3 - s.spatial + i] = image.dim(i + 2);
    s.out[3 - s.spatial + i] = made.dim(i + 2);
  }
  image_strides(image, s.image);
  image_strides(made, s.made);
  s.grid[0] = grid.strides[0];
  for (int i = 0; i < s.spatial; ++i) s.grid[4 - s.spatial + i] = grid.strides[i + 1];
  s.grid[4] = grid.strides[grid.rank() - 1];
  return s;
}

GridTaps grid_taps(const GridShape& s, int axis, double coordinate) {
  const int64_t size = s.in[axis];
  const auto n = static_cast<double>(size);
  Place p;
  if (s.align_corners) {
    p = {(coordinate + 1) / 2 * (n - 1), (n - 1) / 2};
  } else {
    p = {((coordinate + 1) * n - 1) / 2, n / 2};
  }
  GridTaps t;
  if (s.mode == GridSampleMode::kBicubic) {
    const bool far = !(std::abs(p.at) < kFar);
    const double whole = far ? p.at : round_down(p.at), part = far ? 0 : p.at - whole;
    for (int k = -1; k <= 2; ++k) {
      const double x = part - k, at = padded(s, {whole + k, 0}, size).at;
      if (std::isnan(at)) return nowhere();
      const double slope = cubic_slope(std::abs(x)) * (x < 0 ? -1 : 1);
      add(&t, at, size, cubic(std::abs(x)), slope * p.slope);
    }
    return t;
  }
  p = padded(s, p, size);
  if (std::isnan(p.at)) return nowhere();
  if (!(std::abs(p.at) < kFar)) return t;
  if (s.mode == GridSampleMode::kNearest) {
    add(&t, std::nearbyint(p.at), size, 1, 0);
    return t;
  }
  const double whole = round_down(p.at), part = p.at - whole;
  add(&t, whole, size, 1 - part, -p.slope);
  add(&t, whole + 1, size, part, p.slope);
  return t;
}

int grid_pixels(const GridShape& s, const double* coordinates, GridPixel* pixels) {
  GridTaps depth;
  if (s.spatial == 3) {
    depth = grid_taps(s, 0, coordinates[2]);
  } else {
    add(&depth, 0, 1, 1, 0);
  }
  const GridTaps row = grid_taps(s, 1, coordinates[1]), column = grid_taps(s, 2, coordinates[0]);
  for (const GridTaps* t : {static_cast<const GridTaps*>(&depth), &row, &column}) {
    if (t->count == 0 || !std::isnan(t->weight[0])) continue;
    const double nan = t->weight[0];
    pixels[0] = {0, nan, {nan, nan, nan}};
    return 1;
  }
  int count = 0;
  for (int i = 0; i < depth.count; ++i) {
    for (int j = 0; j < row.count; ++j) {
      for (int k = 0; k < column.count; ++k) {
        GridPixel& p = pixels[count++];
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

}  // namespace rutile::kernels
