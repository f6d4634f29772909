// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/unfold.h"

#include "rutile/ops/cost.h"
#include "rutile/ops/image_meta.h"

namespace rutile::ops {

namespace {

// How many windows there are along each dimension.
template <class A>
Status windows(const A& a, const Dims& size, Dims* count) {
  RUTILE_RETURN_IF_ERROR(check_sizes(size, "the image"));
  RUTILE_RETURN_IF_ERROR(check_sizes(entries(a.kernel), "kernel"));
  RUTILE_RETURN_IF_ERROR(check_sizes(entries(a.dilation), "dilation"));
  RUTILE_RETURN_IF_ERROR(check_sizes(entries(a.stride), "stride"));
  const Dims kernel = entries(a.kernel), dilation = entries(a.dilation), pad = entries(a.pad),
             stride = entries(a.stride);
  *count = {};
  for (int i = 0; i < 2; ++i) {
    RUTILE_RETURN_IF_ERROR(check_size(pad[i], "pad", 0));
    const int64_t room = size[i] + 2 * pad[i] - dilation[i] * (kernel[i] - 1) - 1;
    if (room < 0) {
      return value_error(cat("the window is larger than the padded image: ", spatial_name(i, 2),
                             " ", size[i] + 2 * pad[i], ", window ",
                             dilation[i] * (kernel[i] - 1) + 1));
    }
    count->push_back(room / stride[i] + 1);
  }
  return Status();
}

Status infer_unfold(const CallMeta& call, TensorMeta* out) {
  const TensorMeta& x = call.in(0);
  const auto& a = call.as<UnfoldAttrs>();
  RUTILE_RETURN_IF_ERROR(check_image_rank(x, 2, true, "x"));
  RUTILE_RETURN_IF_ERROR(check_floating(x, "x"));
  Dims count;
  RUTILE_RETURN_IF_ERROR(windows(a, spatial_size(x, 2), &count));
  // Checked one by one, so that no product overflows.
  int64_t rows = 0, columns = 0, numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel({x.dim(x.rank() - 3), a.kernel.h, a.kernel.w}, &rows));
  RUTILE_RETURN_IF_ERROR(checked_numel(count, &columns));
  Shape shape{rows, columns};
  if (x.rank() == 4) shape = {x.dim(0), rows, columns};
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, x.dtype, x.device);
  return Status();
}

Status infer_fold(const CallMeta& call, TensorMeta* out) {
  const TensorMeta& x = call.in(0);
  const auto& a = call.as<FoldAttrs>();
  if (x.rank() != 2 && x.rank() != 3) {
    return value_error(
        cat("x must have shape [n, c kh kw, windows] or [c kh kw, windows], got ", x.shape));
  }
  RUTILE_RETURN_IF_ERROR(check_floating(x, "x"));
  Dims count;
  RUTILE_RETURN_IF_ERROR(windows(a, entries(a.output_size), &count));
  const int64_t rows = x.dim(x.rank() - 2), taps = a.kernel.h * a.kernel.w;
  int64_t columns = 0, numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(count, &columns));
  if (rows % taps != 0) {
    return value_error(cat("x expects a multiple of ", taps, " rows, got ", rows));
  }
  if (x.dim(x.rank() - 1) != columns) {
    return value_error(
        cat("x expects ", columns, " windows for this image, got ", x.dim(x.rank() - 1)));
  }
  Shape shape{rows / taps, a.output_size.h, a.output_size.w};
  if (x.rank() == 3) shape = {x.dim(0), rows / taps, a.output_size.h, a.output_size.w};
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, x.dtype, x.device);
  return Status();
}

GradResult grad_unfold(GradCtx& ctx) {
  const auto& a = ctx.attrs<UnfoldAttrs>();
  const Dims size = spatial_size(ctx.in_meta(0), 2);
  return {fold(ctx.grad(), {{size[0], size[1]}, a.kernel, a.dilation, a.pad, a.stride})};
}

GradResult grad_fold(GradCtx& ctx) {
  const auto& a = ctx.attrs<FoldAttrs>();
  return {unfold(ctx.grad(), {a.kernel, a.dilation, a.pad, a.stride})};
}

}  // namespace

constinit const OpDef kUnfold = define({
    .name = "unfold",
    .inputs = {"x"},
    .attrs = attrs_of<UnfoldAttrs>(),
    .infer = infer_unfold,
    .grad = grad_unfold,
    .doc = "Windows of an image as columns (im2col).",
});

constinit const OpDef kFold = define({
    .name = "fold",
    .inputs = {"x"},
    .attrs = attrs_of<FoldAttrs>(),
    .infer = infer_fold,
    .flops = flops_per_input<1>,
    .grad = grad_fold,
    .doc = "Columns added into an image where unfold took them from (col2im).",
});

Tensor unfold(Arg x, UnfoldAttrs attrs) { return call1(kUnfold, &attrs, {x.tensor}, x.where); }

Tensor fold(Arg x, FoldAttrs attrs) { return call1(kFold, &attrs, {x.tensor}, x.where); }

}  // namespace rutile::ops
