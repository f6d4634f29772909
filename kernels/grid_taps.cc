// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/grid_taps.h"

namespace rutile::kernels {

namespace {

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
  return grid_math::taps(s, axis, coordinate);
}
int grid_pixels(const GridShape& s, const double* coordinates, GridPixel* pixels) {
  return grid_math::pixels(s, coordinates, pixels);
}

}  // namespace rutile::kernels
