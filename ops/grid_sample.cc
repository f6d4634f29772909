// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/grid_sample.h"

#include "rutile/ops/cost.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/image_meta.h"
#include "rutile/ops/index.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {

namespace {

// Spatial dimensions of x (or dy) named `name`, whose grid has the same rank.
Status check_ranks(const TensorMeta& x, const TensorMeta& grid, GridSampleMode mode,
                   const char* name) {
  if (x.rank() != 4 && x.rank() != 5) {
    return value_error(cat(name, " must have shape [n,c,h,w] or [n,c,d,h,w], got ", x.shape));
  }
  const int spatial = x.rank() - 2;
  if (grid.rank() != x.rank() || grid.dim(grid.rank() - 1) != spatial) {
    return value_error(cat("grid must have ",
                           spatial == 2 ? "shape [n,h,w,2]" : "shape [n,d,h,w,3]", " beside ", name,
                           " ", x.shape, ", got ", grid.shape));
  }
  if (grid.dim(0) != x.dim(0)) {
    return value_error(cat("grid expects ", x.dim(0), " images, got ", grid.dim(0)));
  }
  if (mode == GridSampleMode::kBicubic && spatial != 2) {
    return value_error(cat("mode bicubic takes ", name, " of rank 4, got ", x.shape));
  }
  return Status();
}

Status check_dtypes(const CallMeta& call) {
  for (int i = 0; i < call.num_inputs(); ++i) {
    RUTILE_RETURN_IF_ERROR(check_floating(call.in(i), "every input"));
    if (call.in(i).dtype != call.in(0).dtype) {
      return type_error(
          cat("expects one dtype, got ", call.in(0).dtype, " and ", call.in(i).dtype));
    }
  }
  return Status();
}

// Spatial size of what the grid reads.
Dims grid_size(const TensorMeta& grid) {
  Dims size;
  for (int i = 1; i < grid.rank() - 1; ++i) size.push_back(grid.dim(i));
  return size;
}

Status infer_sample(const CallMeta& call, TensorMeta* out) {
  const TensorMeta &x = call.in(0), &grid = call.in(1);
  RUTILE_RETURN_IF_ERROR(check_ranks(x, grid, call.as<GridSampleAttrs>().mode, "x"));
  RUTILE_RETURN_IF_ERROR(check_dtypes(call));
  RUTILE_RETURN_IF_ERROR(check_sizes(spatial_size(x, x.rank() - 2), "x"));
  return with_spatial_size(x, grid_size(grid), out);
}

Status infer_input_grad(const CallMeta& call, TensorMeta* out) {
  const TensorMeta &dy = call.in(0), &grid = call.in(1);
  const auto& a = call.as<GridSampleInputGradAttrs>();
  RUTILE_RETURN_IF_ERROR(check_ranks(dy, grid, a.mode, "dy"));
  RUTILE_RETURN_IF_ERROR(check_dtypes(call));
  if (a.input_size.rank() != dy.rank() - 2) {
    return value_error(cat("input_size expects ", dy.rank() - 2, " entries, got ", a.input_size));
  }
  RUTILE_RETURN_IF_ERROR(check_sizes(a.input_size, "input_size"));
  if (!(spatial_size(dy, dy.rank() - 2) == grid_size(grid))) {
    return value_error(cat("dy ", dy.shape, " and grid ", grid.shape, " do not fit together"));
  }
  return with_spatial_size(dy, a.input_size, out);
}

Status infer_grid_grad(const CallMeta& call, TensorMeta* out) {
  const TensorMeta &dy = call.in(0), &x = call.in(1), &grid = call.in(2);
  RUTILE_RETURN_IF_ERROR(check_ranks(x, grid, call.as<GridSampleAttrs>().mode, "x"));
  RUTILE_RETURN_IF_ERROR(check_dtypes(call));
  RUTILE_RETURN_IF_ERROR(check_sizes(spatial_size(x, x.rank() - 2), "x"));
  TensorMeta y;
  RUTILE_RETURN_IF_ERROR(with_spatial_size(x, grid_size(grid), &y));
  RUTILE_RETURN_IF_ERROR(check_same_shape(dy, y.shape, "dy"));
  *out = TensorMeta(grid.shape, grid.dtype, grid.device);
  return Status();
}

GradResult grad_sample(GradCtx& ctx) {
  const auto& a = ctx.attrs<GridSampleAttrs>();
  const TensorMeta& x = ctx.in_meta(0);
  GradResult r;
  r.resize(2);
  if (ctx.needs(0)) {
    r[0] = grid_sample_input_grad(
        ctx.grad(), ctx.in(1),
        {spatial_size(x, x.rank() - 2), a.mode, a.padding_mode, a.align_corners});
  }
  if (ctx.needs(1)) r[1] = grid_sample_grid_grad(ctx.grad(), ctx.in(0), ctx.in(1), a);
  return r;
}

uint32_t saves_of_sample(uint32_t needs) { return needs & 2u ? 3u : 2u; }

// The transposed map: by dy it is the map, and by the grid <g, map^T dy> = <map g, dy>.
GradResult grad_input_grad(GradCtx& ctx) {
  const auto& a = ctx.attrs<GridSampleInputGradAttrs>();
  const GridSampleAttrs to{a.mode, a.padding_mode, a.align_corners};
  GradResult r;
  r.resize(2);
  if (ctx.needs(0)) r[0] = grid_sample(ctx.grad(), ctx.in(1), to);
  if (ctx.needs(1)) r[1] = grid_sample_grid_grad(ctx.in(0), ctx.grad(), ctx.in(1), to);
  return r;
}

uint32_t saves_of_input_grad(uint32_t needs) { return needs & 2u ? 3u : 2u; }

double sample_flops(const CallMeta& c) {
  return elements(c.in(0).numel() > c.out().numel() ? c.in(0) : c.out()) * 8;
}

// ---- affine_grid ----

Status infer_affine(const CallMeta& call, TensorMeta* out) {
  const TensorMeta& theta = call.in(0);
  const Dims& size = call.as<AffineGridAttrs>().size;
  if (size.rank() != 4 && size.rank() != 5) {
    return value_error(cat("size expects [n,c,h,w] or [n,c,d,h,w], got ", size));
  }
  const int spatial = size.rank() - 2;
  const Shape want{size[0], spatial, spatial + 1};
  if (size[0] < 0 || size[1] < 0) return value_error(cat("size must not be negative, got ", size));
  RUTILE_RETURN_IF_ERROR(check_same_shape(theta, want, "theta"));
  RUTILE_RETURN_IF_ERROR(check_floating(theta, "theta"));
  Shape shape{size[0]};
  Dims images;
  for (int i = 2; i < size.rank(); ++i) images.push_back(size[i]);
  RUTILE_RETURN_IF_ERROR(check_sizes(images, "size"));
  for (const int64_t n : images) shape.push_back(n);
  shape.push_back(spatial);
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, theta.dtype, theta.device);
  return Status();
}

// The middles of n pixels between -1 and 1.
Tensor positions(int64_t n, bool align_corners, DType dtype) {
  const Tensor i = arange(0, n, 1, dtype);
  const auto size = static_cast<double>(n);
  if (!align_corners) return i * (2 / size) + (1 / size - 1);
  return n > 1 ? i * (2 / (size - 1)) - 1.0 : i;
}

TensorList compose_affine(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const AffineGridAttrs*>(attrs);
  const int spatial = a.size.rank() - 2, rank = spatial + 2;
  const Tensor theta = wide(in[0]);
  // Column k of theta as [n, 1, ..., coordinates].
  const auto column = [&](int64_t k) {
    Shape shape = Shape::filled(rank, 1);
    shape[0] = a.size[0];
    shape[rank - 1] = spatial;
    return reshape(select(theta, 2, k), shape);
  };
  Tensor sum = column(spatial);
  for (int k = 0; k < spatial; ++k) {
    const int dim = spatial - k;  // of the grid: the first coordinate runs along the last one
    Shape shape = Shape::filled(rank, 1);
    shape[dim] = a.size[dim + 1];
    const Tensor at = positions(shape[dim], a.align_corners, theta.dtype());
    sum = sum + column(k) * reshape(at, shape);
  }
  return {cast(sum, in[0].dtype())};
}

}  // namespace

constinit const OpDef kGridSample = define({
    .name = "grid_sample",
    .inputs = {"x", "grid"},
    .attrs = attrs_of<GridSampleAttrs>(),
    .infer = infer_sample,
    .flops = sample_flops,
    .grad = grad_sample,
    .saves = {"x", "grid"},
    .saves_if = saves_of_sample,
    .amp = Amp::kHigh,
    .promote = true,
    .doc = "Images read at the positions of a grid.",
});

constinit const OpDef kGridSampleInputGrad = define({
    .name = "grid_sample_input_grad",
    .inputs = {"dy", "grid"},
    .outputs = {"dx"},
    .attrs = attrs_of<GridSampleInputGradAttrs>(),
    .infer = infer_input_grad,
    .flops = sample_flops,
    .grad = grad_input_grad,
    .saves = {"dy", "grid"},
    .saves_if = saves_of_input_grad,
    .amp = Amp::kHigh,
    .promote = true,
    .doc = "Gradient of grid_sample by the images.",
});

constinit const OpDef kGridSampleGridGrad = define({
    .name = "grid_sample_grid_grad",
    .inputs = {"dy", "x", "grid"},
    .outputs = {"dgrid"},
    .attrs = attrs_of<GridSampleAttrs>(),
    .infer = infer_grid_grad,
    .flops = flops_per_input<12>,
    .amp = Amp::kHigh,
    .promote = true,
    .no_grad = "second derivatives by the positions of a grid do not exist everywhere",
    .doc = "Gradient of grid_sample by the grid.",
});

constinit const OpDef kAffineGrid = define({
    .name = "affine_grid",
    .inputs = {"theta"},
    .attrs = attrs_of<AffineGridAttrs>(),
    .infer = infer_affine,
    .flops = flops_per_output<4>,
    .compose = compose_affine,
    .doc = "The grid of positions that an affine map gives to the pixels of a result.",
});

Tensor grid_sample(Arg x, Arg grid, GridSampleAttrs attrs) {
  return call1(kGridSample, &attrs, {x.tensor, grid.tensor}, x.where);
}

Tensor grid_sample_input_grad(Arg dy, Arg grid, GridSampleInputGradAttrs attrs) {
  return call1(kGridSampleInputGrad, &attrs, {dy.tensor, grid.tensor}, dy.where);
}

Tensor grid_sample_grid_grad(Arg dy, Arg x, Arg grid, GridSampleAttrs attrs) {
  return call1(kGridSampleGridGrad, &attrs, {dy.tensor, x.tensor, grid.tensor}, dy.where);
}

Tensor affine_grid(Arg theta, AffineGridAttrs attrs) {
  return call1(kAffineGrid, &attrs, {theta.tensor}, theta.where);
}

}  // namespace rutile::ops
