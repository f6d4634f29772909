// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/reduce.h"

#include <algorithm>

#include "rutile/core/complex.h"
#include "rutile/ops/complex.h"
#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/lines.h"
#include "rutile/ops/statistics.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {

Status axis_mask(const Dims& axes, int rank, uint32_t* mask) {
  *mask = axes.empty() ? (1u << rank) - 1 : 0;
  // As in NumPy and PyTorch, a number has axis 0, over which there is nothing to reduce.
  if (rank == 0 && axes.rank() == 1 && (axes[0] == 0 || axes[0] == -1)) return Status();
  for (const int64_t axis : axes) {
    int d = 0;
    RUTILE_RETURN_IF_ERROR(normalize_axis(axis, rank, &d));
    if (*mask >> d & 1u) return value_error(cat("axis ", axis, " is named twice"));
    *mask |= 1u << d;
  }
  return Status();
}

Status sum_dtype(DType in, OptionalDType wanted, DType* out) {
  if (is_complex(in) || (wanted.set && is_complex(wanted.value))) {
    return type_error("takes no complex numbers");
  }
  if (wanted.set && !is_floating(wanted.value) && is_floating(in)) {
    return type_error(cat("cannot sum ", in, " as ", wanted.value));
  }
  *out = wanted.set          ? wanted.value
         : is_floating(in)   ? in
         : in == DType::kU64 ? DType::kU64
                             : DType::kI64;
  return Status();
}

Status linear_sum_dtype(const TensorMeta& x, OptionalDType wanted, DType* out) {
  if (!is_complex(x.dtype)) return sum_dtype(x.dtype, wanted, out);
  if (wanted.set && !is_complex(wanted.value)) {
    return type_error(cat("cannot sum ", x.dtype, " as ", wanted.value));
  }
  if (x.rank() == kMaxRank) return value_error("takes complex numbers in up to 7 dimensions");
  *out = wanted.set ? wanted.value : x.dtype;
  return Status();
}

uint32_t reduced_mask(const CallMeta& c) {
  const TensorMeta& x = c.in(0);
  uint32_t mask = 0;
  if (c.op == &kSumToShape) {
    const int lead = x.rank() - c.out().rank();
    for (int i = 0; i < x.rank(); ++i) {
      if (i < lead || c.out().shape[i - lead] != x.shape[i]) mask |= 1u << i;
    }
    return mask;
  }
  const int field = field_index(*c.op->attrs, "axes");
  throw_if_error(axis_mask(std::get<Dims>(c.op->attrs->get(c.attrs, field)), x.rank(), &mask));
  return mask;
}

namespace {

Shape reduced_shape(const Shape& shape, uint32_t mask, bool keepdims) {
  Shape out;
  for (int i = 0; i < shape.rank(); ++i) {
    if (!(mask >> i & 1u)) {
      out.push_back(shape[i]);
    } else if (keepdims) {
      out.push_back(1);
    }
  }
  return out;
}

Status reduce_to(const CallMeta& c, const Dims& axes, bool keepdims, DType dtype, TensorMeta* out,
                 uint32_t* mask) {
  RUTILE_RETURN_IF_ERROR(axis_mask(axes, c.in(0).rank(), mask));
  *out = TensorMeta(reduced_shape(c.in(0).shape, *mask, keepdims), dtype, c.in(0).device);
  return Status();
}

Status infer_sum(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<SumAttrs>();
  DType dtype{};
  RUTILE_RETURN_IF_ERROR(linear_sum_dtype(c.in(0), a.dtype, &dtype));
  uint32_t mask = 0;
  return reduce_to(c, a.axes, a.keepdims, dtype, out, &mask);
}

Status infer_mean(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<SumAttrs>();
  const DType in = c.in(0).dtype;
  if (is_complex(in)) return infer_sum(c, out);
  const DType dtype = a.dtype.set ? a.dtype.value : is_floating(in) ? in : DType::kF32;
  if (!is_floating(dtype)) return type_error(cat("gives floats, dtype is ", dtype));
  uint32_t mask = 0;
  return reduce_to(c, a.axes, a.keepdims, dtype, out, &mask);
}

// A result of no elements has no largest one.
Status check_not_empty(const CallMeta& c, uint32_t mask, const TensorMeta& out) {
  if (out.numel() == 0) return Status();
  for (int i = 0; i < c.in(0).rank(); ++i) {
    if ((mask >> i & 1u) && c.in(0).shape[i] == 0) {
      return value_error("has no value over no elements");
    }
  }
  return Status();
}

Status infer_extremum(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<ReduceAttrs>();
  if (is_complex(c.in(0).dtype)) return type_error("takes no complex numbers");
  uint32_t mask = 0;
  RUTILE_RETURN_IF_ERROR(reduce_to(c, a.axes, a.keepdims, c.in(0).dtype, out, &mask));
  return check_not_empty(c, mask, *out);
}

Status infer_prod(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<ReduceAttrs>();
  DType dtype{};
  RUTILE_RETURN_IF_ERROR(linear_sum_dtype(c.in(0), {}, &dtype));
  uint32_t mask = 0;
  return reduce_to(c, a.axes, a.keepdims, dtype, out, &mask);
}

Status infer_logical(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<ReduceAttrs>();
  uint32_t mask = 0;
  return reduce_to(c, a.axes, a.keepdims, DType::kBool, out, &mask);
}

template <class A>
Status infer_floats(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<A>();
  const DType t = c.in(0).dtype;
  if (!is_floating(t)) return type_error(cat("expects floats, got ", t));
  uint32_t mask = 0;
  return reduce_to(c, a.axes, a.keepdims, t, out, &mask);
}

// Sizes and spreads: of complex numbers they are real.
template <class A>
Status infer_size(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<A>();
  const DType t = c.in(0).dtype;
  if (!is_differentiable(t)) return type_error(cat("expects floats, got ", t));
  uint32_t mask = 0;
  return reduce_to(c, a.axes, a.keepdims, real_dtype(t), out, &mask);
}

Status infer_arg(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<ArgAttrs>();
  if (is_complex(c.in(0).dtype)) return type_error("takes no complex numbers");
  if (a.axes.rank() > 1) return value_error(cat("takes one axis or none, got ", a.axes));
  uint32_t mask = 0;
  RUTILE_RETURN_IF_ERROR(reduce_to(c, a.axes, a.keepdims, DType::kI64, out, &mask));
  return check_not_empty(c, mask, *out);
}

Status infer_cumsum(const CallMeta& c, TensorMeta* out) {
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(normalize_axis(c.as<CumsumAttrs>().axis, c.in(0).rank(), &axis));
  DType dtype{};
  RUTILE_RETURN_IF_ERROR(linear_sum_dtype(c.in(0), {}, &dtype));
  *out = TensorMeta(c.in(0).shape, dtype, c.in(0).device);
  return Status();
}

// What was reduced over `axes`, spread over x's shape again.
Tensor spread(const Tensor& g, const Dims& axes, bool keepdims, const TensorMeta& x) {
  Dims lacking;
  if (!keepdims) {
    uint32_t mask = 0;
    throw_if_error(axis_mask(axes, x.rank(), &mask));
    for (int i = 0; i < x.rank(); ++i) {
      if (mask >> i & 1u) lacking.push_back(i);
    }
  }
  return broadcast_to(g, x.shape, lacking);
}

int64_t count(const TensorMeta& x, const Dims& axes) {
  uint32_t mask = 0;
  throw_if_error(axis_mask(axes, x.rank(), &mask));
  int64_t n = 1;
  for (int i = 0; i < x.rank(); ++i) n *= mask >> i & 1u ? x.shape[i] : 1;
  return n;
}

GradResult grad_sum(GradCtx& c) {
  const auto& a = c.attrs<SumAttrs>();
  return {spread(cast(c.grad(), c.in_meta(0).dtype), a.axes, a.keepdims, c.in_meta(0))};
}

GradResult grad_mean(GradCtx& c) {
  const auto& a = c.attrs<SumAttrs>();
  const TensorMeta& x = c.in_meta(0);
  const Tensor g = cast(c.grad() * (1.0 / static_cast<double>(count(x, a.axes))), x.dtype);
  return {spread(g, a.axes, a.keepdims, x)};
}

GradResult grad_extremum(GradCtx& c) {
  const auto& a = c.attrs<ReduceAttrs>();
  const TensorMeta& m = c.in_meta(0);
  const Tensor hit = cast(equal(c.in(0), spread(c.out(), a.axes, a.keepdims, m)), m.dtype);
  const Tensor ties = sum(hit, {.axes = a.axes, .keepdims = a.keepdims});
  return {spread(c.grad() / ties, a.axes, a.keepdims, m) * hit};
}

// Without dividing, so that the gradient's own gradient is right at zeros too.
GradResult grad_prod(GradCtx& c) {
  const auto& a = c.attrs<ReduceAttrs>();
  const TensorMeta& m = c.in_meta(0);
  const Tensor g = spread(c.grad(), a.axes, a.keepdims, m);
  uint32_t mask = 0;
  throw_if_error(axis_mask(a.axes, m.rank(), &mask));
  const int64_t n = count(m, a.axes);
  if (m.numel() == 0 || n == 1) return {g};
  Dims order, inverse = Dims::filled(m.rank(), 0);
  Shape turned;
  for (const bool reduced : {false, true}) {
    for (int i = 0; i < m.rank(); ++i) {
      if ((mask >> i & 1u) != reduced) continue;
      inverse[i] = order.rank();
      order.push_back(i);
      turned.push_back(m.shape[i]);
    }
  }
  const Tensor x = reshape(permute(wide(c.in(0)), order), {m.numel() / n, n});
  const Tensor others = product_of_others(x);
  return {g * cast(permute(reshape(others, turned), inverse), m.dtype)};
}

GradResult grad_norm(GradCtx& c) {
  const auto& a = c.attrs<ReduceAttrs>();
  return {spread(over_root(c.grad(), c.out()), a.axes, a.keepdims, c.in_meta(0)) * c.in(0)};
}

Status infer_logsumexp(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<ReduceAttrs>();
  const DType t = c.in(0).dtype;
  uint32_t mask = 0;
  return reduce_to(c, a.axes, a.keepdims, float_dtype(t), out, &mask);
}
GradResult grad_logsumexp(GradCtx& c) {
  const auto& a = c.attrs<ReduceAttrs>();
  const TensorMeta& m = c.in_meta(0);
  return {spread(c.grad(), a.axes, a.keepdims, m) *
          conj(exp(c.in(0) - spread(c.out(), a.axes, a.keepdims, m)))};
}

// `scale` times the deviations from the mean.
Tensor deviations(GradCtx& c, const Tensor& scale) {
  const auto& a = c.attrs<VarAttrs>();
  const Tensor centre = mean(c.in(0), {.axes = a.axes, .keepdims = true});
  return spread(scale, a.axes, a.keepdims, c.in_meta(0)) * (c.in(0) - centre);
}
double inverse_divisor(const TensorMeta& x, const VarAttrs& a) {
  const double n = static_cast<double>(count(x, a.axes)) - static_cast<double>(a.correction);
  return 1.0 / std::max(n, 0.0);
}
GradResult grad_var(GradCtx& c) {
  return {deviations(c, c.grad() * (2 * inverse_divisor(c.in_meta(0), c.attrs<VarAttrs>())))};
}
GradResult grad_std(GradCtx& c) {
  const Tensor g = c.grad() * inverse_divisor(c.in_meta(0), c.attrs<VarAttrs>());
  return {deviations(c, over_root(g, c.out()))};
}

GradResult grad_cumsum(GradCtx& c) {
  CumsumAttrs a = c.attrs<CumsumAttrs>();
  a.reverse = !a.reverse;
  return {cumsum(c.grad(), a)};
}

using In = std::span<const Tensor>;

// Of complex numbers; of others there are kernels.
template <Tensor (*kOver)(Arg, ReduceAttrs)>
TensorList compose_logical(const void* attrs, In in) {
  return {kOver(not_equal(in[0], 0), *static_cast<const ReduceAttrs*>(attrs))};
}

TensorList compose_norm(const void* attrs, In in) {
  const auto& a = *static_cast<const ReduceAttrs*>(attrs);
  const Tensor& x = in[0];
  const Tensor squares =
      is_complex(x.dtype()) ? square(real(x)) + square(imag(x)) : square(wide(x));
  const Tensor s = sum(squares, {.axes = a.axes, .keepdims = a.keepdims});
  return {cast(sqrt(s), real_dtype(x.dtype()))};
}

TensorList compose_logsumexp(const void* attrs, In in) {
  const auto& a = *static_cast<const ReduceAttrs*>(attrs);
  const DType t = float_dtype(in[0].dtype());
  const Tensor x = wide(cast(in[0], t));
  if (count(x.meta(), a.axes) == 0) {
    return {cast(log(sum(x, {.axes = a.axes, .keepdims = a.keepdims})), t)};
  }
  const Tensor top = max(real(x), {.axes = a.axes, .keepdims = true});
  const Tensor shift = where(isfinite(top), top, 0.0);
  const Tensor s = log(sum(exp(x - shift), {.axes = a.axes, .keepdims = true})) + shift;
  // The sum over the axes of size 1 only drops them.
  return {cast(sum(s, {.axes = a.axes, .keepdims = a.keepdims}), t)};
}

Tensor variance(const Tensor& x, const VarAttrs& a) {
  if (is_complex(x.dtype())) return variance(real(x), a) + variance(imag(x), a);
  const Tensor centre = mean(x, {.axes = a.axes, .keepdims = true});
  const Tensor d = x - centre;
  const SumAttrs over{.axes = a.axes, .keepdims = a.keepdims};
  // A mean far larger than the deviations is rounded: what that left in them is taken out again.
  const double n = std::max(1.0, static_cast<double>(count(x.meta(), a.axes)));
  const Tensor squares = sum(square(d), over) - square(sum(d, over)) / n;
  return maximum(squares, 0.0) * inverse_divisor(x.meta(), a);
}
TensorList compose_var(const void* attrs, In in) {
  const Tensor y = variance(wide(in[0]), *static_cast<const VarAttrs*>(attrs));
  return {cast(y, real_dtype(in[0].dtype()))};
}
TensorList compose_std(const void* attrs, In in) {
  const Tensor y = sqrt(variance(wide(in[0]), *static_cast<const VarAttrs*>(attrs)));
  return {cast(y, real_dtype(in[0].dtype()))};
}

}  // namespace

constinit const OpDef kSum = define({.name = "sum",
                                     .inputs = {"x"},
                                     .attrs = attrs_of<SumAttrs>(),
                                     .infer = infer_sum,
                                     .flops = flops_per_input<1>,
                                     .grad = grad_sum,
                                     .amp = Amp::kHigh,
                                     .doc = "Sum over axes."});
Tensor sum(Arg x, SumAttrs attrs) { return call1(kSum, &attrs, {x.tensor}, x.where); }

constinit const OpDef kMean = define({.name = "mean",
                                      .inputs = {"x"},
                                      .attrs = attrs_of<SumAttrs>(),
                                      .infer = infer_mean,
                                      .flops = flops_per_input<1>,
                                      .grad = grad_mean,
                                      .amp = Amp::kHigh,
                                      .doc = "Mean over axes."});
Tensor mean(Arg x, SumAttrs attrs) { return call1(kMean, &attrs, {x.tensor}, x.where); }

constinit const OpDef kMax = define({.name = "max",
                                     .inputs = {"x"},
                                     .attrs = attrs_of<ReduceAttrs>(),
                                     .infer = infer_extremum,
                                     .flops = flops_per_input<1>,
                                     .grad = grad_extremum,
                                     .saves = {"x", "y"},
                                     .doc = "Largest element over axes, NaN if there is one."});
Tensor max(Arg x, ReduceAttrs attrs) { return call1(kMax, &attrs, {x.tensor}, x.where); }

constinit const OpDef kMin = define({.name = "min",
                                     .inputs = {"x"},
                                     .attrs = attrs_of<ReduceAttrs>(),
                                     .infer = infer_extremum,
                                     .flops = flops_per_input<1>,
                                     .grad = grad_extremum,
                                     .saves = {"x", "y"},
                                     .doc = "Smallest element over axes, NaN if there is one."});
Tensor min(Arg x, ReduceAttrs attrs) { return call1(kMin, &attrs, {x.tensor}, x.where); }

constinit const OpDef kProd = define({.name = "prod",
                                      .inputs = {"x"},
                                      .attrs = attrs_of<ReduceAttrs>(),
                                      .infer = infer_prod,
                                      .flops = flops_per_input<1>,
                                      .grad = holomorphic<grad_prod>,
                                      .saves = {"x"},
                                      .amp = Amp::kHigh,
                                      .doc = "Product over axes."});
Tensor prod(Arg x, ReduceAttrs attrs) { return call1(kProd, &attrs, {x.tensor}, x.where); }

constinit const OpDef kAny = define({.name = "any",
                                     .inputs = {"x"},
                                     .attrs = attrs_of<ReduceAttrs>(),
                                     .infer = infer_logical,
                                     .flops = flops_per_input<1>,
                                     .compose = compose_logical<any>,
                                     .no_grad = "gives bool",
                                     .doc = "Is any element over the axes nonzero."});
Tensor any(Arg x, ReduceAttrs attrs) { return call1(kAny, &attrs, {x.tensor}, x.where); }

constinit const OpDef kAll = define({.name = "all",
                                     .inputs = {"x"},
                                     .attrs = attrs_of<ReduceAttrs>(),
                                     .infer = infer_logical,
                                     .flops = flops_per_input<1>,
                                     .compose = compose_logical<all>,
                                     .no_grad = "gives bool",
                                     .doc = "Are all elements over the axes nonzero."});
Tensor all(Arg x, ReduceAttrs attrs) { return call1(kAll, &attrs, {x.tensor}, x.where); }

constinit const OpDef kNorm = define({.name = "norm",
                                      .inputs = {"x"},
                                      .attrs = attrs_of<ReduceAttrs>(),
                                      .infer = infer_size<ReduceAttrs>,
                                      .flops = flops_per_input<2>,
                                      .grad = grad_norm,
                                      .saves = {"x", "y"},
                                      .compose = compose_norm,
                                      .amp = Amp::kHigh,
                                      .doc = "Euclidean norm over axes."});
Tensor norm(Arg x, ReduceAttrs attrs) { return call1(kNorm, &attrs, {x.tensor}, x.where); }

constinit const OpDef kLogSumExp = define({.name = "logsumexp",
                                           .inputs = {"x"},
                                           .attrs = attrs_of<ReduceAttrs>(),
                                           .infer = infer_logsumexp,
                                           .flops = flops_per_input<4>,
                                           .grad = grad_logsumexp,
                                           .saves = {"x", "y"},
                                           .compose = compose_logsumexp,
                                           .amp = Amp::kHigh,
                                           .doc = "log(sum(exp(x))) over axes, without overflow."});
Tensor logsumexp(Arg x, ReduceAttrs attrs) {
  return call1(kLogSumExp, &attrs, {x.tensor}, x.where);
}

constinit const OpDef kVar = define({.name = "var",
                                     .inputs = {"x"},
                                     .attrs = attrs_of<VarAttrs>(),
                                     .infer = infer_size<VarAttrs>,
                                     .flops = flops_per_input<4>,
                                     .grad = grad_var,
                                     .saves = {"x"},
                                     .compose = compose_var,
                                     .amp = Amp::kHigh,
                                     .doc = "Variance over axes, divisor n - correction."});
Tensor var(Arg x, VarAttrs attrs) { return call1(kVar, &attrs, {x.tensor}, x.where); }

constinit const OpDef kStd =
    define({.name = "std",
            .inputs = {"x"},
            .attrs = attrs_of<VarAttrs>(),
            .infer = infer_size<VarAttrs>,
            .flops = flops_per_input<4>,
            .grad = grad_std,
            .saves = {"x", "y"},
            .compose = compose_std,
            .amp = Amp::kHigh,
            .doc = "Standard deviation over axes, divisor n - correction."});
Tensor std(Arg x, VarAttrs attrs) { return call1(kStd, &attrs, {x.tensor}, x.where); }

constinit const OpDef kArgmax =
    define({.name = "argmax",
            .inputs = {"x"},
            .attrs = attrs_of<ArgAttrs>(),
            .infer = infer_arg,
            .flops = flops_per_input<1>,
            .no_grad = "gives indices",
            .doc = "i64 index of the first largest element, of the first NaN if there is one."});
Tensor argmax(Arg x, ArgAttrs attrs) { return call1(kArgmax, &attrs, {x.tensor}, x.where); }

constinit const OpDef kArgmin =
    define({.name = "argmin",
            .inputs = {"x"},
            .attrs = attrs_of<ArgAttrs>(),
            .infer = infer_arg,
            .flops = flops_per_input<1>,
            .no_grad = "gives indices",
            .doc = "i64 index of the first smallest element, of the first NaN if there is one."});
Tensor argmin(Arg x, ArgAttrs attrs) { return call1(kArgmin, &attrs, {x.tensor}, x.where); }

constinit const OpDef kCumsum = define({.name = "cumsum",
                                        .inputs = {"x"},
                                        .attrs = attrs_of<CumsumAttrs>(),
                                        .infer = infer_lines<infer_cumsum>,
                                        .flops = flops_per_input<1>,
                                        .grad = grad_cumsum,
                                        .amp = Amp::kHigh,
                                        .doc = "Running sums along an axis."});
Tensor cumsum(Arg x, CumsumAttrs attrs) { return call1(kCumsum, &attrs, {x.tensor}, x.where); }

}  // namespace rutile::ops
