// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/interpolate.h"

#include <cmath>

#include "rutile/ops/cost.h"
#include "rutile/ops/image_meta.h"

namespace rutile::ops {

namespace {

using Mode = InterpolateMode;

// Spatial dimensions that the mode is for, 0: any.
int dimensions_of(Mode mode) {
  switch (mode) {
    case Mode::kLinear:
      return 1;
    case Mode::kBilinear:
    case Mode::kBicubic:
      return 2;
    case Mode::kTrilinear:
      return 3;
    default:
      return 0;
  }
}

template <class A>
Status check_mode(const A& a, int rank, const char* name, const Shape& shape) {
  const char* mode = EnumNames<Mode>::value[static_cast<int>(a.mode)];
  const int dims = dimensions_of(a.mode);
  if (rank < 3 || rank > 5) {
    return value_error(cat(name, " must have rank 3 to 5, got ", shape));
  }
  if (dims != 0 && rank != dims + 2) {
    return value_error(cat("mode ", mode, " takes ", name, " of rank ", dims + 2, ", got ", shape));
  }
  if (a.align_corners && dims == 0) {
    return value_error(cat("align_corners has no meaning in mode ", mode));
  }
  if (a.antialias && a.mode != Mode::kBilinear && a.mode != Mode::kBicubic) {
    return value_error(cat("antialias is for modes bilinear and bicubic, got ", mode));
  }
  return Status();
}

// The size that an image of size `in` gets.
template <class A>
Status target_size(const A& a, const Dims& in, Dims* out) {
  const bool scaled = a.scale_factor != 0;
  if (scaled == !a.size.empty()) return value_error("expects one of size and scale_factor");
  if (!scaled) {
    if (a.size.rank() != 1 && a.size.rank() != in.rank()) {
      return value_error(cat("size expects 1 or ", in.rank(), " entries, got ", a.size));
    }
    *out = a.size.rank() == in.rank() ? a.size : Dims::filled(in.rank(), a.size[0]);
    return check_sizes(*out, "size");
  }
  *out = {};
  for (const int64_t n : in) {
    const double size = std::floor(static_cast<double>(n) * a.scale_factor);
    if (!(size >= 1 && size <= static_cast<double>(kLargestSize))) {
      return value_error(cat("scale_factor ", a.scale_factor, " makes ", size, " pixels of ", n));
    }
    out->push_back(static_cast<int64_t>(size));
  }
  return Status();
}

Status infer_interpolate(const CallMeta& call, TensorMeta* out) {
  const TensorMeta& x = call.in(0);
  const auto& a = call.as<InterpolateAttrs>();
  RUTILE_RETURN_IF_ERROR(check_mode(a, x.rank(), "x", x.shape));
  RUTILE_RETURN_IF_ERROR(check_floating(x, "x"));
  const Dims in = spatial_size(x, x.rank() - 2);
  RUTILE_RETURN_IF_ERROR(check_sizes(in, "x"));
  Dims size;
  RUTILE_RETURN_IF_ERROR(target_size(a, in, &size));
  return with_spatial_size(x, size, out);
}

Status infer_interpolate_grad(const CallMeta& call, TensorMeta* out) {
  const TensorMeta& dy = call.in(0);
  const auto& a = call.as<InterpolateGradAttrs>();
  RUTILE_RETURN_IF_ERROR(check_mode(a, dy.rank(), "dy", dy.shape));
  RUTILE_RETURN_IF_ERROR(check_floating(dy, "dy"));
  if (a.input_size.rank() != dy.rank() - 2) {
    return value_error(cat("input_size expects ", dy.rank() - 2, " entries, got ", a.input_size));
  }
  RUTILE_RETURN_IF_ERROR(check_sizes(a.input_size, "input_size"));
  Dims size;
  RUTILE_RETURN_IF_ERROR(target_size(a, a.input_size, &size));
  TensorMeta y;
  RUTILE_RETURN_IF_ERROR(with_spatial_size(dy, size, &y));
  RUTILE_RETURN_IF_ERROR(check_same_shape(dy, y.shape, "dy"));
  return with_spatial_size(dy, a.input_size, out);
}

GradResult grad_interpolate(GradCtx& ctx) {
  const auto& a = ctx.attrs<InterpolateAttrs>();
  const TensorMeta& x = ctx.in_meta(0);
  return {
      interpolate_grad(ctx.grad(), {spatial_size(x, x.rank() - 2), a.size, a.scale_factor, a.mode,
                                    a.align_corners, a.recompute_scale_factor, a.antialias})};
}

GradResult grad_interpolate_grad(GradCtx& ctx) {
  const auto& a = ctx.attrs<InterpolateGradAttrs>();
  return {interpolate(ctx.grad(), {a.size, a.scale_factor, a.mode, a.align_corners,
                                   a.recompute_scale_factor, a.antialias})};
}

}  // namespace

constinit const OpDef kInterpolate = define({
    .name = "interpolate",
    .inputs = {"x"},
    .attrs = attrs_of<InterpolateAttrs>(),
    .infer = infer_interpolate,
    .flops = flops_per_output<4>,
    .grad = grad_interpolate,
    .doc = "Images of another size, by the nearest pixel, linear or cubic functions or means.",
});

constinit const OpDef kInterpolateGrad = define({
    .name = "interpolate_grad",
    .inputs = {"dy"},
    .outputs = {"dx"},
    .attrs = attrs_of<InterpolateGradAttrs>(),
    .infer = infer_interpolate_grad,
    .flops = flops_per_input<4>,
    .grad = grad_interpolate_grad,
    .doc = "Gradient of interpolate: each pixel of dy spread over those it was made of.",
});

Tensor interpolate(Arg x, InterpolateAttrs attrs) {
  return call1(kInterpolate, &attrs, {x.tensor}, x.where);
}

Tensor interpolate_grad(Arg dy, InterpolateGradAttrs attrs) {
  return call1(kInterpolateGrad, &attrs, {dy.tensor}, dy.where);
}

}  // namespace rutile::ops
