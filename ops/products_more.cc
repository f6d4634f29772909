// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/products_more.h"

#include <cmath>
#include <vector>

#include "rutile/core/complex.h"
#include "rutile/ops/arrange.h"
#include "rutile/ops/complex.h"
#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/index.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"
#include "rutile/ops/weighted_sum.h"

namespace rutile::ops {
namespace {

using In = std::span<const Tensor>;

Status check_numbers(const CallMeta& c) {
  for (int i = 0; i < c.num_inputs(); ++i) {
    if (!c.has(i)) continue;
    const DType t = c.in(i).dtype;
    if (t == DType::kBool) return type_error(cat("expects numbers, got ", t));
    if (t != c.in(0).dtype) {
      return type_error(cat("expects inputs of one dtype, got ", c.in(0).dtype, " and ", t));
    }
  }
  return Status();
}
Status check_floats(const CallMeta& c) {
  const DType t = c.in(0).dtype;
  if (!is_differentiable(t)) return type_error(cat("expects floats, got ", t));
  return check_numbers(c);
}
Status made(const CallMeta& c, const Shape& shape, TensorMeta* out) {
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, c.in(0).dtype, c.in(0).device);
  return Status();
}
Status check_p(double p) { return p >= 0 ? Status() : value_error(cat("expects p >= 0, got ", p)); }

// ---- Sums with a product ------------------------------------------------------------------------

// Ranks of the factors; the product's shape is [m, n] of what they leave.
template <int kA, int kB>
Status infer_add(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &x = c.in(0), &a = c.in(1), &b = c.in(2);
  RUTILE_RETURN_IF_ERROR(check_numbers(c));
  RUTILE_RETURN_IF_ERROR(check_weights(c.as<AddmmAttrs>(), x.dtype));
  if (a.rank() != kA || b.rank() != kB) {
    return value_error(
        cat("expects factors of rank ", kA, " and ", kB, ", got ", a.shape, " and ", b.shape));
  }
  Shape shape, wider;
  if (kA == 1) shape = {a.dim(0), b.dim(0)};
  if (kA == 2) shape = {a.dim(0)};
  if (kA == 3) shape = {a.dim(1), b.dim(2)};
  const bool inner = kA == 1 || (kA == 2 ? a.dim(1) == b.dim(0)
                                         : a.dim(0) == b.dim(0) && a.dim(kA - 1) == b.dim(kB - 2));
  if (!inner) return value_error(cat("cannot multiply ", a.shape, " by ", b.shape));
  const Status fits = broadcast_shapes(shape, x.shape, &wider);
  if (!fits.ok() || !(wider == shape)) {
    return value_error(cat("x of shape ", x.shape, " does not fit ", shape));
  }
  return made(c, shape, out);
}
TensorList add_product(const void* attrs, const Tensor& x, const Tensor& y) {
  return {weighted_sum(*static_cast<const AddmmAttrs*>(attrs), x, y)};
}
TensorList compose_addmv(const void* attrs, In in) {
  return add_product(attrs, in[0], mv(in[1], in[2]));
}
TensorList compose_addr(const void* attrs, In in) {
  return add_product(attrs, in[0], outer(in[1], in[2]));
}
// One product of [m, b k] by [b k, n].
TensorList compose_addbmm(const void* attrs, In in) {
  const Tensor &a = in[1], &b = in[2];
  const int64_t k = a.dim(0) * a.dim(2);
  const Tensor left = reshape(transpose(a, {1, 0, 2}), {a.dim(1), k});
  return add_product(attrs, in[0], matmul(left, reshape(b, {k, b.dim(2)})));
}
double add_flops(const CallMeta& c) {
  const double a = elements(c.in(1)), out = elements(c.out());
  const double columns = c.out().rank() > 0 ? static_cast<double>(c.out().shape.back()) : 1;
  return c.in(1).rank() == 1 ? 2 * out : 2 * a * (c.out().rank() > 1 ? columns : 1) + out;
}

// ---- bilinear -----------------------------------------------------------------------------------

Status infer_bilinear(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &x = c.in(0), &y = c.in(1), &w = c.in(2);
  RUTILE_RETURN_IF_ERROR(check_numbers(c));
  if (w.rank() != 3) return value_error(cat("weight expects shape [k,m,n], got ", w.shape));
  if (x.rank() < 1 || x.rank() != y.rank() || x.shape.back() != w.dim(1) ||
      y.shape.back() != w.dim(2)) {
    return value_error(cat("expects inputs [..,", w.dim(1), "] and [..,", w.dim(2), "], got ",
                           x.shape, " and ", y.shape));
  }
  Shape shape = x.shape;
  for (int i = 0; i + 1 < x.rank(); ++i) {
    if (x.dim(i) != y.dim(i)) {
      return value_error(cat("inputs ", x.shape, " and ", y.shape, " differ"));
    }
  }
  shape[x.rank() - 1] = w.dim(0);
  if (c.has(3) && !(c.in(3).shape == Shape{w.dim(0)})) {
    return value_error(cat("bias expects shape [", w.dim(0), "], got ", c.in(3).shape));
  }
  return made(c, shape, out);
}
// x1 with all matrices at once, then a sum over the last dimension of x2.
TensorList compose_bilinear(const void*, In in) {
  const Tensor &x1 = in[0], &x2 = in[1], &w = in[2];
  const int64_t k = w.dim(0), m = w.dim(1), n = w.dim(2);
  int64_t rows = 1;
  Shape shape = x1.shape();
  for (int i = 0; i + 1 < shape.rank(); ++i) rows *= shape[i];
  const Tensor flat = reshape(transpose(w, {1, 0, 2}), {m, k * n});
  const Tensor left = reshape(matmul(reshape(x1, {rows, m}), flat), {rows, k, n});
  const Tensor y = reshape(matmul(left, reshape(x2, {rows, n, 1})), {rows, k});
  shape[shape.rank() - 1] = k;
  const Tensor bias = operand(in, 3);
  return {reshape(bias.defined() ? y + bias : y, shape)};
}
double bilinear_flops(const CallMeta& c) {
  const TensorMeta& w = c.in(2);
  return w.rank() == 3 ? 2 * elements(c.out()) * static_cast<double>(w.dim(1) + 1) *
                             static_cast<double>(w.dim(2))
                       : 0;
}

// ---- pdist, renorm ------------------------------------------------------------------------------

// The p-norm over axes, with the slope 0 at 0.
Tensor norm_over(const Tensor& d, double p, const Dims& axes, bool keepdims) {
  const SumAttrs over{.axes = axes, .keepdims = keepdims};
  if (p == 2) return norm(d, {.axes = axes, .keepdims = keepdims});
  if (p == 1 || d.numel() == 0) return sum(abs(d), over);
  if (p == 0) return sum(cast(not_equal(d, 0), d.dtype()), over);
  if (std::isinf(p)) return max(abs(d), {.axes = axes, .keepdims = keepdims});
  return flat_power(sum(flat_power(abs(d), p), over), 1 / p);
}

Status infer_pdist(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  RUTILE_RETURN_IF_ERROR(check_floats(c));
  if (is_complex(x.dtype)) return type_error(cat("expects floats, got ", x.dtype));
  RUTILE_RETURN_IF_ERROR(check_p(c.as<CdistAttrs>().p));
  if (x.rank() != 2) return value_error(cat("expects shape [n,k], got ", x.shape));
  int64_t pairs = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel({x.dim(0), x.dim(0), x.dim(1)}, &pairs));
  const int64_t n = x.dim(0);
  return made(c, {n < 2 ? 0 : n * (n - 1) / 2}, out);
}
TensorList compose_pdist(const void* attrs, In in) {
  const double p = static_cast<const CdistAttrs*>(attrs)->p;
  const Tensor x = wide(in[0]);
  const int64_t n = x.dim(0);
  if (n < 2) return {cast(sum(slice_axis(x, 0, 0, 0), {.axes = {1}}), in[0].dtype())};
  const Tensor pairs = triu_indices(n, n, 1);
  const Tensor d = gather(x, select(pairs, 0, 0)) - gather(x, select(pairs, 0, 1));
  return {cast(norm_over(d, p, {1}, false), in[0].dtype())};
}
double pdist_flops(const CallMeta& c) {
  return c.in(0).rank() == 2 ? 3 * elements(c.out()) * static_cast<double>(c.in(0).dim(1)) : 0;
}

Status infer_renorm(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<RenormAttrs>();
  const TensorMeta& x = c.in(0);
  RUTILE_RETURN_IF_ERROR(check_floats(c));
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(normalize_axis(a.axis, x.rank(), &axis));
  if (!(a.p > 0)) return value_error(cat("expects p > 0, got ", a.p));
  if (!(a.maxnorm >= 0)) return value_error(cat("expects maxnorm >= 0, got ", a.maxnorm));
  if (x.rank() < 2) return value_error(cat("expects rank 2 or more, got ", x.shape));
  return made(c, x.shape, out);
}
TensorList compose_renorm(const void* attrs, In in) {
  const auto& a = *static_cast<const RenormAttrs*>(attrs);
  const Tensor x = wide(in[0]);
  if (x.numel() == 0) return {in[0] + in[0]};
  Dims rest;
  const auto axis = static_cast<int>(a.axis < 0 ? a.axis + x.rank() : a.axis);
  for (int i = 0; i < x.rank(); ++i) {
    if (i != axis) rest.push_back(i);
  }
  const Tensor length = norm_over(is_complex(x.dtype()) ? abs(x) : x, a.p, rest, true);
  // 1e-7 keeps what was scaled from being above maxnorm again, as in PyTorch.
  const Tensor scale = where(greater(length, a.maxnorm), a.maxnorm / (length + 1e-7), 1.0);
  return {cast(x * scale, in[0].dtype())};
}

}  // namespace

#define RUTILE_ADD_PRODUCT(constant, function, rank_a, rank_b, text)           \
  constinit const OpDef constant = define({.name = #function,                  \
                                           .inputs = {"x", "a", "b"},          \
                                           .attrs = attrs_of<AddmmAttrs>(),    \
                                           .infer = infer_add<rank_a, rank_b>, \
                                           .flops = add_flops,                 \
                                           .compose = compose_##function,      \
                                           .amp = Amp::kLow,                   \
                                           .promote = true,                    \
                                           .doc = text});                      \
  Tensor function(Arg x, Arg a, Arg b, AddmmAttrs attrs) {                     \
    return call1(constant, &attrs, {x.tensor, a.tensor, b.tensor}, x.where);   \
  }
RUTILE_ADD_PRODUCT(kAddmv, addmv, 2, 1, "beta x + alpha (a b) with a matrix a and a vector b.")
RUTILE_ADD_PRODUCT(kAddr, addr, 1, 1, "beta x + alpha times the outer product of a and b.")
RUTILE_ADD_PRODUCT(kAddbmm, addbmm, 3, 3, "beta x + alpha times the sum of the products a_i b_i.")

constinit const OpDef kBilinear = define({.name = "bilinear",
                                          .inputs = {"x1", "x2", "weight", "bias?"},
                                          .infer = infer_bilinear,
                                          .flops = bilinear_flops,
                                          .compose = compose_bilinear,
                                          .amp = Amp::kLow,
                                          .promote = true,
                                          .doc = "x1 weight_k x2 + bias_k for every k."});
Tensor bilinear(Arg x1, Arg x2, Arg weight, const Tensor& bias) {
  return call1(kBilinear, nullptr, {x1.tensor, x2.tensor, weight.tensor, bias}, x1.where);
}

constinit const OpDef kPdist = define({.name = "pdist",
                                       .inputs = {"x"},
                                       .attrs = attrs_of<CdistAttrs>(),
                                       .infer = infer_pdist,
                                       .flops = pdist_flops,
                                       .compose = compose_pdist,
                                       .amp = Amp::kHigh,
                                       .doc = "The distances of all pairs of rows."});
Tensor pdist(Arg x, double p) {
  const CdistAttrs a{p};
  return call1(kPdist, &a, {x.tensor}, x.where);
}
Tensor dist(Arg x, Arg y, double p) {
  const Tensor d = x.tensor - y.tensor;
  return norm_over(reshape(is_complex(d.dtype()) ? abs(d) : d, {d.numel()}), p, {0}, false);
}

constinit const OpDef kRenorm = define({.name = "renorm",
                                        .inputs = {"x"},
                                        .attrs = attrs_of<RenormAttrs>(),
                                        .infer = infer_renorm,
                                        .flops = flops_per_output<4>,
                                        .compose = compose_renorm,
                                        .amp = Amp::kHigh,
                                        .doc = "Slices scaled down to p-norm maxnorm."});
Tensor renorm(Arg x, double p, int64_t axis, double maxnorm) {
  const RenormAttrs a{p, axis, maxnorm};
  return call1(kRenorm, &a, {x.tensor}, x.where);
}

Tensor vdot(Arg x, Arg y) { return dot(conj(x), y); }

}  // namespace rutile::ops
