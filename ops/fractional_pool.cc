// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/fractional_pool.h"

#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/index.h"
#include "rutile/ops/order.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {
namespace {

using In = std::span<const Tensor>;

struct Windows {
  int n = 0;  // spatial dimensions
  int64_t kernel[3], out[3];
};
Windows windows_of(const FractionalPool2dAttrs& a) {
  return {2, {a.kernel.h, a.kernel.w, 1}, {a.output_size.h, a.output_size.w, 1}};
}
Windows windows_of(const FractionalPool3dAttrs& a) {
  return {
      3, {a.kernel.d, a.kernel.h, a.kernel.w}, {a.output_size.d, a.output_size.h, a.output_size.w}};
}

template <class Attrs>
Status infer_pool(const CallMeta& c, TensorMeta* out) {
  const Windows w = windows_of(c.as<Attrs>());
  const TensorMeta &x = c.in(0), &samples = c.in(1);
  if (!is_floating(x.dtype)) return type_error(cat("x expects floats, got ", x.dtype));
  if (!is_floating(samples.dtype)) {
    return type_error(cat("samples expects floats, got ", samples.dtype));
  }
  if (x.rank() != w.n + 1 && x.rank() != w.n + 2) {
    return value_error(cat("x expects rank ", w.n + 1, " or ", w.n + 2, ", got ", x.shape));
  }
  const int lead = x.rank() - w.n;
  Shape wanted;
  for (int i = 0; i < lead; ++i) wanted.push_back(x.dim(i));
  Shape shape = x.shape;
  int64_t taps = 1;
  for (int i = 0; i < w.n; ++i) {
    const int64_t size = x.dim(lead + i);
    if (w.kernel[i] < 1 || w.out[i] < 1 || w.kernel[i] > size ||
        w.out[i] > size - w.kernel[i] + 1) {
      return value_error(
          cat("cannot place ", w.out[i], " windows of ", w.kernel[i], " over ", size, " pixels"));
    }
    shape[lead + i] = w.out[i];
    taps *= w.kernel[i];
  }
  wanted.push_back(w.n);
  if (!(samples.shape == wanted)) {
    return value_error(cat("samples expects shape ", wanted, ", got ", samples.shape));
  }
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  RUTILE_RETURN_IF_ERROR(checked_numel({numel, taps, 8}, &numel));
  out[0] = TensorMeta(shape, x.dtype, x.device);
  out[1] = TensorMeta(shape, DType::kI64, x.device);
  return Status();
}

// Pixels [lines, out, kernel] of one dimension's windows, from samples [lines, 1].
Tensor window_pixels(const Tensor& u, int64_t size, int64_t kernel, int64_t out) {
  const Tensor i = arange(0, out, 1, u.dtype());
  const Tensor last = equal(i, static_cast<double>(out - 1));
  const double step =
      out > 1 ? static_cast<double>(size - kernel) / static_cast<double>(out - 1) : 0.0;
  const Tensor start = floor((i + u) * step) - floor(u * step);
  const Tensor first = cast(where(last, static_cast<double>(size - kernel), start), DType::kI64);
  return expand_dims(first, -1) + arange(0, kernel);
}

template <class Attrs>
TensorList compose_pool(const void* attrs, In in) {
  const Windows w = windows_of(*static_cast<const Attrs*>(attrs));
  const Tensor &x = in[0], samples = wide(in[1]);
  const int lead = x.rank() - w.n;
  int64_t lines = 1, pixels = 1, outputs = 1, taps = 1;
  Shape shape = x.shape();
  for (int i = 0; i < lead; ++i) lines *= shape[i];
  for (int i = 0; i < w.n; ++i) {
    pixels *= shape[lead + i];
    outputs *= w.out[i];
    taps *= w.kernel[i];
    shape[lead + i] = w.out[i];
  }
  const Tensor u = reshape(samples, {lines, w.n});
  Tensor index;  // [lines, out.., kernel..]
  for (int i = 0; i < w.n; ++i) {
    const int64_t size = x.dim(lead + i);
    const int column = w.n == 2 ? 1 - i : i;  // width first in two dimensions
    const Tensor p =
        window_pixels(slice_axis(u, 1, column, column + 1), size, w.kernel[i], w.out[i]);
    Shape place = Shape::filled(2 * w.n + 1, 1);
    place[0] = lines;
    place[1 + i] = w.out[i];
    place[1 + w.n + i] = w.kernel[i];
    const Tensor at = reshape(p, place);
    index = index.defined() ? index * Scalar(size) + at : at;
  }
  index = reshape(index, {lines, outputs * taps});
  const Tensor values = take_along_axis(reshape(x, {lines, pixels}), index, 1);
  const Tensor rows = reshape(values, {lines * outputs, taps});
  const auto [best, where_best] = max_with_index(rows, 1, true);
  const Tensor at = take_along_axis(reshape(index, {lines * outputs, taps}), where_best, 1);
  return {reshape(best, shape), reshape(at, shape)};
}

template <class Attrs>
double pool_flops(const CallMeta& c) {
  const Windows w = windows_of(c.as<Attrs>());
  double taps = 1;
  for (int i = 0; i < w.n; ++i) taps *= static_cast<double>(w.kernel[i]);
  return taps * elements(c.out());
}

}  // namespace

#define RUTILE_FRACTIONAL(constant, function, Attrs, text)                 \
  constinit const OpDef constant = define({.name = #function,              \
                                           .inputs = {"x", "samples"},     \
                                           .outputs = {"y", "indices"},    \
                                           .attrs = attrs_of<Attrs>(),     \
                                           .infer = infer_pool<Attrs>,     \
                                           .flops = pool_flops<Attrs>,     \
                                           .compose = compose_pool<Attrs>, \
                                           .doc = text});                  \
  FractionalPool function(Arg x, Arg samples, Attrs attrs) {               \
    const Tensor in[] = {x.tensor, samples.tensor};                        \
    const TensorList y = call_n(constant, &attrs, in, x.where);            \
    return {y[0], y[1]};                                                   \
  }
RUTILE_FRACTIONAL(kFractionalMaxPool2d, fractional_max_pool2d, FractionalPool2dAttrs,
                  "Maxima over windows at drawn places of the last two dimensions.")
RUTILE_FRACTIONAL(kFractionalMaxPool3d, fractional_max_pool3d, FractionalPool3dAttrs,
                  "Maxima over windows at drawn places of the last three dimensions.")

}  // namespace rutile::ops
