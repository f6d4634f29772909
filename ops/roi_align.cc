// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/roi_align.h"

#include <cmath>

#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/grad_util.h"

namespace rutile::ops {
namespace {

Status check_regions(const CallMeta& c, double scale, int64_t ratio) {
  const TensorMeta &boxes = c.in(1), &images = c.in(2);
  if (boxes.dtype != DType::kF32 && boxes.dtype != DType::kF64) {
    return type_error(cat("boxes expects f32 or f64, got ", boxes.dtype));
  }
  if (images.dtype != DType::kI32 && images.dtype != DType::kI64) {
    return type_error(cat("images expects i32 or i64, got ", images.dtype));
  }
  if (boxes.rank() != 2 || boxes.dim(1) != 4) {
    return value_error(cat("boxes expects shape [k,4], got ", boxes.shape));
  }
  if (!(images.shape == Shape{boxes.dim(0)})) {
    return value_error(cat("images expects shape [", boxes.dim(0), "], got ", images.shape));
  }
  if (!(scale > 0) || std::isinf(scale)) return value_error(cat("expects scale > 0, got ", scale));
  if (ratio < 0 || ratio > (1 << 20)) {
    return value_error(cat("expects sampling_ratio >= 0, got ", ratio));
  }
  return Status();
}

Status infer_roi_align(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<RoiAlignAttrs>();
  const TensorMeta& x = c.in(0);
  if (!is_floating(x.dtype)) return type_error(cat("x expects floats, got ", x.dtype));
  if (x.rank() != 4) return value_error(cat("x expects shape [n,c,h,w], got ", x.shape));
  RUTILE_RETURN_IF_ERROR(check_regions(c, a.scale, a.sampling_ratio));
  if (a.output_size.h < 1 || a.output_size.w < 1) {
    return value_error(cat("expects output_size >= 1, got ", a.output_size));
  }
  if (x.dim(2) < 1 || x.dim(3) < 1) {
    return value_error(cat("expects images with pixels, got shape ", x.shape));
  }
  const Shape shape{c.in(1).dim(0), x.dim(1), a.output_size.h, a.output_size.w};
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, x.dtype, x.device);
  return Status();
}

Status infer_grad(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<RoiAlignGradAttrs>();
  const TensorMeta& dy = c.in(0);
  if (dy.dtype != DType::kF32 && dy.dtype != DType::kF64) {
    return type_error(cat("dy expects f32 or f64, got ", dy.dtype));
  }
  RUTILE_RETURN_IF_ERROR(check_regions(c, a.scale, a.sampling_ratio));
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(a.input_size, &numel));
  if (a.input_size.rank() != 4 || a.input_size[2] < 1 || a.input_size[3] < 1) {
    return value_error(cat("input_size expects [n,c,h,w], got ", a.input_size));
  }
  if (dy.rank() != 4 || dy.dim(0) != c.in(1).dim(0) || dy.dim(1) != a.input_size[1] ||
      dy.dim(2) < 1 || dy.dim(3) < 1) {
    return value_error(
        cat("dy expects shape [", c.in(1).dim(0), ",", a.input_size[1], ",h,w], got ", dy.shape));
  }
  *out = TensorMeta(a.input_size, dy.dtype, dy.device);
  return Status();
}

GradResult grad_roi_align(GradCtx& c) {
  const auto& a = c.attrs<RoiAlignAttrs>();
  const TensorMeta& x = c.in_meta(0);
  const RoiAlignGradAttrs g{x.shape, a.scale, a.sampling_ratio, a.aligned};
  const Tensor dx = call1(kRoiAlignGrad, &g, {wide(c.grad()), c.in(1), c.in(2)});
  return {cast(dx, x.dtype), Tensor(), Tensor()};
}
// The op is linear.
GradResult grad_grad(GradCtx& c) {
  const auto& a = c.attrs<RoiAlignGradAttrs>();
  const TensorMeta& dy = c.in_meta(0);
  const RoiAlignAttrs f{{dy.dim(2), dy.dim(3)}, a.scale, a.sampling_ratio, a.aligned};
  return {roi_align(c.grad(), c.in(1), c.in(2), f), Tensor(), Tensor()};
}

// Four pixels for each of some four samples.
double align_flops(const CallMeta& c) {
  const double side = std::max(2.0, static_cast<double>(c.as<RoiAlignAttrs>().sampling_ratio));
  return 8 * side * side * elements(c.out());
}
double grad_flops(const CallMeta& c) {
  const double side = std::max(2.0, static_cast<double>(c.as<RoiAlignGradAttrs>().sampling_ratio));
  return 8 * side * side * elements(c.in(0));
}

}  // namespace

constinit const OpDef kRoiAlign = define({.name = "roi_align",
                                          .inputs = {"x", "boxes", "images"},
                                          .attrs = attrs_of<RoiAlignAttrs>(),
                                          .infer = infer_roi_align,
                                          .flops = align_flops,
                                          .grad = grad_roi_align,
                                          .saves = {"boxes", "images"},
                                          .checks_values = true,
                                          .doc = "Regions of images, as means between pixels."});
Tensor roi_align(Arg x, Arg boxes, Arg images, RoiAlignAttrs attrs) {
  return call1(kRoiAlign, &attrs, {x.tensor, boxes.tensor, images.tensor}, x.where);
}

constinit const OpDef kRoiAlignGrad = define({.name = "roi_align_grad",
                                              .inputs = {"dy", "boxes", "images"},
                                              .outputs = {"dx"},
                                              .attrs = attrs_of<RoiAlignGradAttrs>(),
                                              .infer = infer_grad,
                                              .flops = grad_flops,
                                              .grad = grad_grad,
                                              .saves = {"boxes", "images"},
                                              .checks_values = true,
                                              .doc = "Gradient of roi_align by x."});

}  // namespace rutile::ops
