// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/resample.h"

#include <numbers>

#include "rutile/ops/cost.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/image_meta.h"
#include "rutile/ops/index.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {

namespace {

Status check_images(const TensorMeta& x, const char* name, const Dims& size, const char* what) {
  if (x.rank() != 4) return value_error(cat(name, " must have shape [n,c,h,w], got ", x.shape));
  RUTILE_RETURN_IF_ERROR(check_floating(x, name));
  RUTILE_RETURN_IF_ERROR(check_sizes(spatial_size(x, 2), name));
  if (size.rank() != 2) return value_error(cat(what, " expects [rows,columns], got ", size));
  return check_sizes(size, what);
}

Status infer_resampled(const CallMeta& call, const Dims& size, const char* name, const char* what,
                       TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_images(call.in(0), name, size, what));
  RUTILE_RETURN_IF_ERROR(check_same_shape(call.in(1), Shape{2}, "scale"));
  RUTILE_RETURN_IF_ERROR(check_same_shape(call.in(2), Shape{2}, "translation"));
  RUTILE_RETURN_IF_ERROR(check_floating(call.in(1), "scale"));
  RUTILE_RETURN_IF_ERROR(check_floating(call.in(2), "translation"));
  return with_spatial_size(call.in(0), size, out);
}

Status infer_scale(const CallMeta& call, TensorMeta* out) {
  return infer_resampled(call, call.as<ScaleAndTranslateAttrs>().size, "x", "size", out);
}

Status infer_scale_grad(const CallMeta& call, TensorMeta* out) {
  return infer_resampled(call, call.as<ScaleAndTranslateGradAttrs>().input_size, "dy", "input_size",
                         out);
}

double radius_of(ResampleKernel kernel) {
  switch (kernel) {
    case ResampleKernel::kLanczos3:
      return 3;
    case ResampleKernel::kLanczos5:
      return 5;
    case ResampleKernel::kGaussian:
      return 1.5;
    case ResampleKernel::kKeysCubic:
    case ResampleKernel::kMitchellCubic:
      return 2;
    default:
      return 1;
  }
}

// The kernel at distances 0 <= d < its radius; from there on it is 0.
Tensor kernel_at(const Tensor& d, ResampleKernel kernel) {
  const double radius = radius_of(kernel);
  switch (kernel) {
    case ResampleKernel::kLanczos1:
    case ResampleKernel::kLanczos3:
    case ResampleKernel::kLanczos5: {
      const Tensor middle = less_equal(d, 1e-3);
      const Tensor a = where(middle, 1.0, d) * std::numbers::pi;
      return where(middle, 1.0, sin(a) * sin(a * (1 / radius)) * radius / square(a));
    }
    case ResampleKernel::kGaussian: {
      const double sigma = radius / 3;
      return exp(square(d) * (-0.5 / (sigma * sigma)));
    }
    case ResampleKernel::kBox:
      return where(less(d, 0.5), full(Shape(), 1.0, d.dtype()),
                   where(equal(d, 0.5), full(Shape(), 0.5, d.dtype()), 0.0));
    case ResampleKernel::kTriangle:
      return 1.0 - d;
    case ResampleKernel::kKeysCubic:
      return where(greater_equal(d, 1.0), ((d * -0.5 + 2.5) * d - 4.0) * d + 2.0,
                   (d * 1.5 - 2.5) * d * d + 1.0);
    case ResampleKernel::kMitchellCubic:
      return where(greater_equal(d, 1.0), ((d * (-7.0 / 18) + 2.0) * d - 10.0 / 3) * d + 16.0 / 9,
                   (d * (7.0 / 6) - 2.0) * d * d + 8.0 / 9);
  }
  return d;
}

// What each of `to` pixels of the result takes of the `from` pixels of an image: [to, from].
Tensor weights(const Tensor& scale, const Tensor& translation, int64_t axis, int64_t from,
               int64_t to, ResampleKernel kernel, bool antialias) {
  const Tensor step = 1.0 / select(scale, 0, axis);
  const Tensor width = antialias ? maximum(step, 1.0) : step * 0.0 + 1.0;
  const DType dtype = step.dtype();
  const Tensor middles = arange(0, to, 1, dtype) + 0.5;
  const Tensor at = reshape((middles - select(translation, 0, axis)) * step, Shape{to, 1});
  const Tensor pixels = reshape(arange(0, from, 1, dtype) + 0.5, Shape{1, from});
  const Tensor distance = abs(pixels - at) / width;
  const Tensor in_image =
      logical_and(greater_equal(at, 0.0), less_equal(at, static_cast<double>(from)));
  const Tensor taken = logical_and(less(distance, radius_of(kernel)), in_image);
  const Tensor w = where(taken, kernel_at(distance, kernel), 0.0);
  const Tensor all = sum(w, {.axes = {1}, .keepdims = true});
  return w / where(less(abs(all), 1e-30), 1.0, all);
}

struct Pair {
  Tensor rows, columns;
};

Pair both(std::span<const Tensor> in, const Dims& from, const Dims& to, ResampleKernel kernel,
          bool antialias) {
  const Tensor scale = wide(in[1]), translation = wide(in[2]);
  return {weights(scale, translation, 0, from[0], to[0], kernel, antialias),
          weights(scale, translation, 1, from[1], to[1], kernel, antialias)};
}

TensorList compose_scale(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const ScaleAndTranslateAttrs*>(attrs);
  const Pair w = both(in, spatial_size(in[0].meta(), 2), a.size, a.kernel, a.antialias);
  const Tensor y = matmul(matmul(w.rows, wide(in[0])), w.columns, {.transpose_b = true});
  return {cast(y, in[0].dtype())};
}

TensorList compose_scale_grad(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const ScaleAndTranslateGradAttrs*>(attrs);
  const Pair w = both(in, a.input_size, spatial_size(in[0].meta(), 2), a.kernel, a.antialias);
  const Tensor dx = matmul(matmul(w.rows, wide(in[0]), {.transpose_a = true}), w.columns);
  return {cast(dx, in[0].dtype())};
}

// Two products with matrices of weights, which are mostly zeros.
double scale_flops(const CallMeta& c) {
  const TensorMeta &x = c.in(0), &y = c.out();
  return 2.0 * static_cast<double>(x.dim(0) * x.dim(1) * y.dim(2)) *
         static_cast<double>(x.dim(2) * x.dim(3) + x.dim(3) * y.dim(3));
}

// ---- extract_glimpse ----

Status infer_glimpse(const CallMeta& call, TensorMeta* out) {
  const TensorMeta &x = call.in(0), &offsets = call.in(1);
  const Dims& size = call.as<ExtractGlimpseAttrs>().size;
  RUTILE_RETURN_IF_ERROR(check_images(x, "x", size, "size"));
  RUTILE_RETURN_IF_ERROR(check_same_shape(offsets, Shape{x.dim(0), 2}, "offsets"));
  RUTILE_RETURN_IF_ERROR(check_floating(offsets, "offsets"));
  RUTILE_RETURN_IF_ERROR(with_spatial_size(x, size, out));
  if (!call.has(2)) return Status();
  RUTILE_RETURN_IF_ERROR(check_same_shape(call.in(2), out->shape, "fill"));
  if (call.in(2).dtype != x.dtype) {
    return type_error(cat("fill expects ", x.dtype, ", got ", call.in(2).dtype));
  }
  return Status();
}

// Rows (columns) of an image that the windows read, [n, count], and whether the image has them.
struct Places {
  Tensor index, inside;
};

Places places(const Tensor& offsets, int64_t axis, int64_t size, const ExtractGlimpseAttrs& a) {
  const auto pixels = static_cast<double>(size), window = static_cast<double>(a.size[axis]);
  Tensor begin = select(offsets, 1, axis);
  if (a.normalized) begin = begin * pixels;
  if (a.centered) begin = begin * 0.5 + pixels / 2;
  // Far outside is outside, also of what an index can count.
  begin = clip(trunc(begin - window / 2), {.min = -window, .max = pixels});
  const Tensor first = reshape(cast(begin, DType::kI64), Shape{offsets.dim(0), 1});
  const Tensor at = first + arange(0, a.size[axis], 1, DType::kI64);
  return {minimum(maximum(at, 0), size - 1), logical_and(greater_equal(at, 0), less(at, size))};
}

TensorList compose_glimpse(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const ExtractGlimpseAttrs*>(attrs);
  const Tensor& x = in[0];
  const int64_t n = x.dim(0), c = x.dim(1), h = x.dim(2), w = x.dim(3);
  const Tensor offsets = wide(in[1]);
  const Places rows = places(offsets, 0, h, a), columns = places(offsets, 1, w, a);
  const Tensor images = reshape(arange(0, n, 1, DType::kI64) * h, Shape{n, 1});
  const Tensor pixel = reshape((images + rows.index) * w, Shape{n, a.size[0], 1}) +
                       reshape(columns.index, Shape{n, 1, a.size[1]});
  const Tensor inside = logical_and(reshape(rows.inside, Shape{n, 1, a.size[0], 1}),
                                    reshape(columns.inside, Shape{n, 1, 1, a.size[1]}));
  const Tensor pixels = reshape(permute(x, {0, 2, 3, 1}), Shape{n * h * w, c});
  const Tensor y = permute(take(pixels, pixel, 0), {0, 3, 1, 2});
  const Tensor fill = operand(in, 2);
  return {fill.defined() ? where(inside, y, fill) : where(inside, y, 0.0)};
}

}  // namespace

constinit const OpDef kScaleAndTranslate = define({
    .name = "scale_and_translate",
    .inputs = {"x", "scale", "translation"},
    .attrs = attrs_of<ScaleAndTranslateAttrs>(),
    .infer = infer_scale,
    .flops = scale_flops,
    .compose = compose_scale,
    .amp = Amp::kHigh,
    .doc = "Images scaled and moved, by a kernel over the pixels around.",
});

constinit const OpDef kScaleAndTranslateGrad = define({
    .name = "scale_and_translate_grad",
    .inputs = {"dy", "scale", "translation"},
    .outputs = {"dx"},
    .attrs = attrs_of<ScaleAndTranslateGradAttrs>(),
    .infer = infer_scale_grad,
    .flops = scale_flops,
    .compose = compose_scale_grad,
    .amp = Amp::kHigh,
    .doc = "Gradient of scale_and_translate by x.",
});

constinit const OpDef kExtractGlimpse = define({
    .name = "extract_glimpse",
    .inputs = {"x", "offsets", "fill?"},
    .attrs = attrs_of<ExtractGlimpseAttrs>(),
    .infer = infer_glimpse,
    .flops = [](const CallMeta&) { return 0.0; },
    .compose = compose_glimpse,
    .doc = "A window of each image, around a position of its own.",
});

Tensor scale_and_translate(Arg x, Arg scale, Arg translation, ScaleAndTranslateAttrs attrs) {
  return call1(kScaleAndTranslate, &attrs, {x.tensor, scale.tensor, translation.tensor}, x.where);
}

Tensor scale_and_translate_grad(Arg dy, Arg scale, Arg translation,
                                ScaleAndTranslateGradAttrs attrs) {
  return call1(kScaleAndTranslateGrad, &attrs, {dy.tensor, scale.tensor, translation.tensor},
               dy.where);
}

Tensor extract_glimpse(Arg x, Arg offsets, ExtractGlimpseAttrs attrs, const Tensor& fill) {
  if (!fill.defined()) return call1(kExtractGlimpse, &attrs, {x.tensor, offsets.tensor}, x.where);
  return call1(kExtractGlimpse, &attrs, {x.tensor, offsets.tensor, fill}, x.where);
}

}  // namespace rutile::ops
