// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/statistics.h"

#include <algorithm>

#include "rutile/core/complex.h"
#include "rutile/ops/arrange.h"
#include "rutile/ops/complex.h"
#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/index.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {
namespace {

using In = std::span<const Tensor>;

// The shape and errors of the plain reduction with the same attributes.
template <const OpDef& kPlain>
Status infer_like(const CallMeta& c, TensorMeta* out) {
  return kPlain.infer(CallMeta{&kPlain, c.attrs, c.inputs, {}}, out);
}
Status infer_nanmean(const CallMeta& c, TensorMeta* out) {
  if (!is_floating(c.in(0).dtype)) return type_error(cat("expects floats, got ", c.in(0).dtype));
  return infer_like<kMean>(c, out);
}
Status infer_count(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(infer_like<kAny>(c, out));
  out->dtype = DType::kI64;
  return Status();
}
Status infer_aminmax(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(infer_like<kMax>(c, out));
  out[1] = out[0];
  return Status();
}

TensorList compose_nansum(const void* attrs, In in) {
  const auto& a = *static_cast<const SumAttrs*>(attrs);
  if (!is_floating(in[0].dtype()) && !is_complex(in[0].dtype())) return {sum(in[0], a)};
  return {sum(where(isnan(in[0]), 0.0, in[0]), a)};
}
TensorList compose_nanmean(const void* attrs, In in) {
  SumAttrs a = *static_cast<const SumAttrs*>(attrs);
  const DType dtype = a.dtype.set ? a.dtype.value : in[0].dtype();
  const Tensor x = cast(in[0], wide(dtype));
  a.dtype = {};
  const Tensor n = cast(sum(logical_not(isnan(x)), a), x.dtype());
  return {cast(nansum(x, a) / n, dtype)};
}
TensorList compose_count_nonzero(const void* attrs, In in) {
  const auto& a = *static_cast<const ReduceAttrs*>(attrs);
  return {sum(cast(in[0], DType::kBool), {.axes = a.axes, .keepdims = a.keepdims})};
}
TensorList compose_aminmax(const void* attrs, In in) {
  const auto& a = *static_cast<const ReduceAttrs*>(attrs);
  return {min(in[0], a), max(in[0], a)};
}

Status infer_cov(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  if (x.dtype == DType::kBool) return type_error("expects numbers, got bool");
  if (x.rank() < 1 || x.rank() > 2) {
    return value_error(cat("expects shape [m, n] or [n], got ", x.shape));
  }
  const bool one = x.rank() == 1 || x.dim(0) == 1;
  const Shape shape = one ? Shape{} : Shape{x.dim(0), x.dim(0)};
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, float_dtype(x.dtype), x.device);
  return Status();
}
Status infer_weighted_cov(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(infer_cov(c, out));
  const Shape line{c.in(0).shape.back()};
  for (int i = 1; i < 3; ++i) {
    if (!c.has(i)) continue;
    const TensorMeta& w = c.in(i);
    if (!(w.shape == line)) {
      return value_error(cat(c.op->input_name(i), " expects shape ", line, ", got ", w.shape));
    }
    if (i == 1 ? !is_integral(w.dtype) : !is_floating(w.dtype)) {
      return type_error(
          cat(c.op->input_name(i), " expects ", i == 1 ? "integers" : "floats", ", got ", w.dtype));
    }
  }
  return Status();
}
// A single variable has a number.
Tensor of_variables(const Tensor& y) { return y.numel() == 1 ? reshape(y, {}) : y; }

// Of [n] as [1, 1]; not yet divided by anything.
Tensor products_of_deviations(const Tensor& x) {
  const Tensor rows = x.rank() == 2 ? x : reshape(x, {1, x.numel()});
  const Tensor d = rows - mean(rows, {.axes = {1}, .keepdims = true});
  return matmul(d, conj(d), {.transpose_b = true});
}
TensorList compose_cov(const void* attrs, In in) {
  const Tensor x = wide(cast(in[0], float_dtype(in[0].dtype())));
  const auto n = static_cast<double>(x.shape().back());
  const auto correction = static_cast<double>(static_cast<const CovAttrs*>(attrs)->correction);
  const Tensor often = operand(in, 1), weight = operand(in, 2);
  if (!often.defined() && !weight.defined()) {
    const Tensor y = products_of_deviations(x) * (1 / std::max(n - correction, 0.0));
    return {cast(of_variables(y), float_dtype(in[0].dtype()))};
  }
  Tensor w = often.defined() ? cast(often, x.dtype()) : cast(weight, x.dtype());
  if (often.defined() && weight.defined()) w = w * cast(weight, x.dtype());
  const Tensor total = sum(w);
  const Tensor lost = weight.defined() ? sum(w * cast(weight, x.dtype())) / total * correction
                                       : full({}, correction, x.dtype());
  const Tensor rows = x.rank() == 2 ? x : reshape(x, {1, x.numel()});
  const Tensor d = rows - sum(rows * w, {.axes = {1}, .keepdims = true}) / total;
  const Tensor y = matmul(d * w, conj(d), {.transpose_b = true}) / maximum(total - lost, 0.0);
  return {cast(of_variables(y), float_dtype(in[0].dtype()))};
}
TensorList compose_corrcoef(const void*, In in) {
  const Tensor x = wide(cast(in[0], float_dtype(in[0].dtype())));
  const Tensor y = products_of_deviations(x);
  const Tensor scale = rsqrt(real(diagonal(y)));
  const Tensor r = y * reshape(scale, {scale.numel(), 1}) * scale;
  const ClipAttrs size{-1, 1};
  const Tensor limited =
      is_complex(r.dtype()) ? complex(clip(real(r), size), clip(imag(r), size)) : clip(r, size);
  return {cast(of_variables(limited), float_dtype(in[0].dtype()))};
}
// x with dimension 1 of two moved by `by` places towards its end (its beginning, if negative), ones
// behind it.
Tensor shifted(const Tensor& x, int64_t by) {
  const int64_t n = x.dim(1), kept = n - std::abs(by);
  const Tensor rest =
      by > 0 ? slice(x, {0, 0}, {kEnd, kept}) : slice(x, {0, n - kept}, {kEnd, kEnd});
  return by > 0 ? pad(rest, {0, by}, {0, 0}, PadMode::kConstant, 1.0)
                : pad(rest, {0, 0}, {0, -by}, PadMode::kConstant, 1.0);
}

// By element of dimension 1 the product of the elements in front of it (behind it, backwards).
Tensor product_before(const Tensor& x, bool backwards) {
  const int64_t n = x.dim(1), way = backwards ? -1 : 1;
  Tensor p = shifted(x, way);
  for (int64_t d = 1; d < n - 1; d *= 2) p = p * shifted(p, way * d);
  return p;
}

Status infer_others(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  if (!is_floating(x.dtype) && !is_complex(x.dtype)) {
    return type_error(cat("expects floats or complex numbers, got ", x.dtype));
  }
  if (x.rank() < 1) return value_error("expects at least rank 1");
  *out = TensorMeta(x.shape, x.dtype, x.device);
  return Status();
}
// Those in front times those behind.
TensorList compose_others(const void*, In in) {
  const Shape& shape = in[0].shape();
  const int64_t n = shape.back();
  if (shape.numel() == 0 || n == 1) return {full(shape, 1, in[0].dtype())};
  const Tensor x = reshape(wide(in[0]), {shape.numel() / n, n});
  return {cast(reshape(product_before(x, false) * product_before(x, true), shape), in[0].dtype())};
}
double cov_flops(const CallMeta& c) {
  const double n = c.in(0).rank() > 0 ? static_cast<double>(c.in(0).shape.back()) : 1;
  return 2 * n * elements(c.out()) + 3 * elements(c.in(0));
}

}  // namespace

constinit const OpDef kNansum = define({.name = "nansum",
                                        .inputs = {"x"},
                                        .attrs = attrs_of<SumAttrs>(),
                                        .infer = infer_like<kSum>,
                                        .flops = flops_per_input<2>,
                                        .compose = compose_nansum,
                                        .amp = Amp::kHigh,
                                        .doc = "Sum over axes, NaN counting as 0."});
Tensor nansum(Arg x, SumAttrs attrs) { return call1(kNansum, &attrs, {x.tensor}, x.where); }

constinit const OpDef kProductOfOthers = define({.name = "product_of_others",
                                                 .inputs = {"x"},
                                                 .infer = infer_others,
                                                 .flops = flops_per_input<3>,
                                                 .compose = compose_others,
                                                 .amp = Amp::kHigh,
                                                 .doc = "By element of the last axis the product "
                                                        "of the axis' other elements."});
Tensor product_of_others(Arg x) { return call1(kProductOfOthers, nullptr, {x.tensor}, x.where); }

constinit const OpDef kNanmean = define({.name = "nanmean",
                                         .inputs = {"x"},
                                         .attrs = attrs_of<SumAttrs>(),
                                         .infer = infer_nanmean,
                                         .flops = flops_per_input<3>,
                                         .compose = compose_nanmean,
                                         .amp = Amp::kHigh,
                                         .doc = "Mean over axes of the elements that are no NaN."});
Tensor nanmean(Arg x, SumAttrs attrs) { return call1(kNanmean, &attrs, {x.tensor}, x.where); }

constinit const OpDef kCountNonzero = define({.name = "count_nonzero",
                                              .inputs = {"x"},
                                              .attrs = attrs_of<ReduceAttrs>(),
                                              .infer = infer_count,
                                              .flops = flops_per_input<1>,
                                              .compose = compose_count_nonzero,
                                              .no_grad = "gives integers",
                                              .doc = "How many elements are not 0, over axes."});
Tensor count_nonzero(Arg x, ReduceAttrs attrs) {
  return call1(kCountNonzero, &attrs, {x.tensor}, x.where);
}

constinit const OpDef kAminmax = define({.name = "aminmax",
                                         .inputs = {"x"},
                                         .outputs = {"min", "max"},
                                         .attrs = attrs_of<ReduceAttrs>(),
                                         .infer = infer_aminmax,
                                         .flops = flops_per_input<2>,
                                         .compose = compose_aminmax,
                                         .doc = "Smallest and largest element over axes."});
MinMax aminmax(Arg x, ReduceAttrs attrs) {
  const TensorList y = call_n(kAminmax, &attrs, {&x.tensor, 1}, x.where);
  return {y[0], y[1]};
}
Tensor amax(Arg x, ReduceAttrs attrs) { return max(x, attrs); }
Tensor amin(Arg x, ReduceAttrs attrs) { return min(x, attrs); }

constinit const OpDef kCov = define({.name = "cov",
                                     .inputs = {"x", "fweights?", "aweights?"},
                                     .attrs = attrs_of<CovAttrs>(),
                                     .infer = infer_weighted_cov,
                                     .flops = cov_flops,
                                     .compose = compose_cov,
                                     .amp = Amp::kHigh,
                                     .doc = "Covariances of the rows, divisor n - correction."});
Tensor cov(Arg x, CovAttrs attrs, const Tensor& fweights, const Tensor& aweights) {
  return call1(kCov, &attrs, {x.tensor, fweights, aweights}, x.where);
}
constinit const OpDef kCorrcoef = define({.name = "corrcoef",
                                          .inputs = {"x"},
                                          .infer = infer_cov,
                                          .flops = cov_flops,
                                          .compose = compose_corrcoef,
                                          .amp = Amp::kHigh,
                                          .doc = "Correlations of the rows."});
Tensor corrcoef(Arg x) { return call1(kCorrcoef, nullptr, {x.tensor}, x.where); }

Spread var_mean(Arg x, VarAttrs attrs) {
  return {var(x, attrs), mean(x, {.axes = attrs.axes, .keepdims = attrs.keepdims})};
}
Spread std_mean(Arg x, VarAttrs attrs) {
  return {std(x, attrs), mean(x, {.axes = attrs.axes, .keepdims = attrs.keepdims})};
}

}  // namespace rutile::ops
