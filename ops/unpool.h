// SPDX-License-Identifier: Apache-2.0
// Back from pooled images by the positions that max pooling gave.
//
//   auto [y, indices] = ops::max_pool2d_with_indices(x, {.kernel = 2});
//   Tensor z = ops::max_unpool2d(y, indices, {.kernel = 2});   // the maxima in place, else zeros
//
// Indices (i32 or i64) are positions in the image, row-major over its last dimensions; one out of
// range is kIndex.
#pragma once

#include "rutile/ops/call.h"

namespace rutile::ops {

struct MaxUnpool1dAttrs {
  int64_t kernel = 1, stride = 0, pad = 0;
  Dims output_size = {};  // of the image; empty: (size - 1) stride - 2 pad + kernel
  RUTILE_REFLECT(kernel, stride, pad, output_size)
};
struct MaxUnpool2dAttrs {
  Int2 kernel{1}, stride{0}, pad{0};
  Dims output_size = {};
  RUTILE_REFLECT(kernel, stride, pad, output_size)
};
struct MaxUnpool3dAttrs {
  Int3 kernel{1}, stride{0}, pad{0};
  Dims output_size = {};
  RUTILE_REFLECT(kernel, stride, pad, output_size)
};
// x and indices [n, c, ...] or [c, ...] of one shape. Zeros with x's elements where the indices
// say; of two for one place the later counts. Floating dtypes.
extern RUTILE_API const OpDef kMaxUnpool1d, kMaxUnpool2d, kMaxUnpool3d;
RUTILE_API Tensor max_unpool1d(Arg x, const Tensor& indices, MaxUnpool1dAttrs attrs);
RUTILE_API Tensor max_unpool2d(Arg x, const Tensor& indices, MaxUnpool2dAttrs attrs);
RUTILE_API Tensor max_unpool3d(Arg x, const Tensor& indices, MaxUnpool3dAttrs attrs);

struct PoolScatterAttrs {
  Dims size;         // of the last dimensions of the result
  bool add = false;  // elements for one place are added up; else the later one counts
  RUTILE_REFLECT(size, add)
};
// Zeros with v's elements where the indices say: the gradient of max pooling. Index -1: nowhere.
extern RUTILE_API const OpDef kPoolScatter;
RUTILE_API Tensor pool_scatter(Arg v, const Tensor& indices, PoolScatterAttrs attrs);

struct PoolGatherAttrs {
  int64_t spatial = 2;  // last dimensions that the indices count
  RUTILE_REFLECT(spatial)
};
// The elements of x that the indices name, in their shape; 0 for index -1.
extern RUTILE_API const OpDef kPoolGather;
RUTILE_API Tensor pool_gather(Arg x, const Tensor& indices, PoolGatherAttrs attrs);

}  // namespace rutile::ops
