// SPDX-License-Identifier: Apache-2.0
// Products of einsum.h beside einsum itself.
#include <cmath>
#include <numeric>

#include "rutile/core/complex.h"
#include "rutile/ops/cost.h"
#include "rutile/ops/einsum.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/elementwise_infer.h"
#include "rutile/ops/grad_util.h"
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
    const DType t = c.in(i).dtype;
    if (t != c.in(0).dtype) {
      return type_error(cat("expects inputs of one dtype, got ", c.in(0).dtype, " and ", t));
    }
    if (t == DType::kBool) return type_error(cat("expects numbers, got ", t));
  }
  return Status();
}
Status made(const CallMeta& c, const Shape& shape, TensorMeta* out) {
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, c.in(0).dtype, c.in(0).device);
  return Status();
}

// ---- tensordot, inner ---------------------------------------------------------------------------

// The axes as a mask and in order.
Status resolve(const Dims& axes, int rank, uint32_t* mask, Dims* order) {
  *mask = 0;
  for (const int64_t axis : axes) {
    int d = 0;
    RUTILE_RETURN_IF_ERROR(normalize_axis(axis, rank, &d));
    if (*mask >> d & 1u) return value_error(cat("axis ", axis, " is named twice"));
    *mask |= 1u << d;
    order->push_back(d);
  }
  return Status();
}

Status infer_tensordot(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<TensordotAttrs>();
  const TensorMeta &x = c.in(0), &y = c.in(1);
  RUTILE_RETURN_IF_ERROR(check_numbers(c));
  uint32_t mx = 0, my = 0;
  Dims ox, oy;
  RUTILE_RETURN_IF_ERROR(resolve(a.axes_x, x.rank(), &mx, &ox));
  RUTILE_RETURN_IF_ERROR(resolve(a.axes_y, y.rank(), &my, &oy));
  if (ox.rank() != oy.rank()) {
    return value_error(cat("axes ", a.axes_x, " and ", a.axes_y, " do not go in pairs"));
  }
  for (int i = 0; i < ox.rank(); ++i) {
    const int64_t n = x.dim(static_cast<int>(ox[i])), m = y.dim(static_cast<int>(oy[i]));
    if (n != m) return value_error(cat("sizes to sum over differ: ", n, " and ", m));
  }
  if (x.rank() + y.rank() - 2 * ox.rank() > kMaxRank) {
    return value_error("the result would have more than 8 dimensions");
  }
  Shape shape;
  for (int i = 0; i < x.rank(); ++i) {
    if (!(mx >> i & 1u)) shape.push_back(x.dim(i));
  }
  for (int i = 0; i < y.rank(); ++i) {
    if (!(my >> i & 1u)) shape.push_back(y.dim(i));
  }
  return made(c, shape, out);
}

// A matrix of the remaining dimensions and those summed over, or the other way round.
Tensor matrix_of(const Tensor& t, const Dims& axes, bool summed_first, Shape* rest) {
  uint32_t mask = 0;
  Dims order, kept, perm;
  throw_if_error(resolve(axes, t.rank(), &mask, &order));
  int64_t n = 1, k = 1;
  for (int i = 0; i < t.rank(); ++i) {
    if (mask >> i & 1u) {
      k *= t.dim(i);
    } else {
      n *= t.dim(i);
      kept.push_back(i);
      rest->push_back(t.dim(i));
    }
  }
  for (const int64_t d : summed_first ? order : kept) perm.push_back(d);
  for (const int64_t d : summed_first ? kept : order) perm.push_back(d);
  const Tensor turned = perm.empty() ? t : permute(t, perm);
  return reshape(turned, summed_first ? Shape{k, n} : Shape{n, k});
}
TensorList compose_tensordot(const void* attrs, In in) {
  const auto& a = *static_cast<const TensordotAttrs*>(attrs);
  Shape shape;
  const Tensor x = matrix_of(in[0], a.axes_x, false, &shape);
  const Tensor y = matrix_of(in[1], a.axes_y, true, &shape);
  return {reshape(matmul(x, y), shape)};
}

TensordotAttrs last_axes(int rx, int ry) {
  if (rx == 0 || ry == 0) return {};
  return {{-1}, {-1}};
}
Status infer_inner(const CallMeta& c, TensorMeta* out) {
  const TensordotAttrs a = last_axes(c.in(0).rank(), c.in(1).rank());
  return infer_tensordot(CallMeta{&kTensordot, &a, c.inputs, {}}, out);
}
TensorList compose_inner(const void*, In in) {
  const TensordotAttrs a = last_axes(in[0].rank(), in[1].rank());
  return compose_tensordot(&a, in);
}
double product_flops(const CallMeta& c) {
  const double out = elements(c.out()), x = elements(c.in(0)), y = elements(c.in(1));
  return out > 0 ? 2 * out * std::sqrt(x * y / out) : 0;
}

// ---- kron, cross --------------------------------------------------------------------------------

Shape raised(const Shape& s, int rank) {
  Shape r;
  for (int i = s.rank(); i < rank; ++i) r.push_back(1);
  for (const int64_t n : s) r.push_back(n);
  return r;
}
Status infer_kron(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_same_dtype(c));  // bool is multiplied, too
  const int rank = std::max(c.in(0).rank(), c.in(1).rank());
  if (2 * rank > kMaxRank) return value_error(cat("expects at most rank 4, got ", rank));
  const Shape a = raised(c.in(0).shape, rank), b = raised(c.in(1).shape, rank);
  Shape shape;
  for (int i = 0; i < rank; ++i) {
    int64_t n = 0;
    RUTILE_RETURN_IF_ERROR(checked_numel({a[i], b[i]}, &n));
    shape.push_back(n);
  }
  return made(c, shape, out);
}
// With rows written out first where y's are short: then whole rows of the result are multiplied.
Tensor kron_of_short_rows(const Tensor& x, const Tensor& y, const Shape& a, const Shape& b) {
  const int last = a.rank() - 1;
  const int64_t n = a[last] * b[last];
  Shape one = a, each = a, wide_a, wide_b, again = b, times = b, shape;
  one.push_back(1);
  each.push_back(b[last]);
  again[last] = 1;
  again.push_back(b[last]);
  times[last] = a[last];
  times.push_back(b[last]);
  for (int i = 0; i < last; ++i) {
    wide_a.push_back(a[i]);
    wide_a.push_back(1);
    wide_b.push_back(1);
    wide_b.push_back(b[i]);
    shape.push_back(a[i] * b[i]);
  }
  for (Shape* s : {&wide_a, &wide_b, &shape}) s->push_back(n);
  const Tensor rows_x = reshape(contiguous(broadcast_to(reshape(x, one), each)), wide_a);
  const Tensor rows_y = reshape(contiguous(broadcast_to(reshape(y, again), times)), wide_b);
  return reshape(rows_x * rows_y, shape);
}
TensorList compose_kron(const void*, In in) {
  constexpr int64_t kShortRow = 64, kManyRows = 4, kFewProducts = 4096;
  const int rank = std::max(in[0].rank(), in[1].rank());
  const Shape a = raised(in[0].shape(), rank), b = raised(in[1].shape(), rank);
  if (rank >= 2 && b[rank - 1] < kShortRow && a[rank - 1] > 1 && a[rank - 2] >= kManyRows &&
      b[rank - 2] >= kManyRows && in[0].numel() * b[rank - 2] > kFewProducts) {
    return {kron_of_short_rows(in[0], in[1], a, b)};
  }
  Shape wide_a, wide_b, shape;
  for (int i = 0; i < rank; ++i) {
    wide_a.push_back(a[i]);
    wide_a.push_back(1);
    wide_b.push_back(1);
    wide_b.push_back(b[i]);
    shape.push_back(a[i] * b[i]);
  }
  return {reshape(reshape(in[0], wide_a) * reshape(in[1], wide_b), shape)};
}

Status infer_cross(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_numbers(c));
  if (c.in(0).rank() != c.in(1).rank()) {
    return value_error(
        cat("expects inputs of one rank, got ", c.in(0).shape, " and ", c.in(1).shape));
  }
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(normalize_axis(c.as<CrossAttrs>().axis, c.in(0).rank(), &axis));
  Shape shape;
  RUTILE_RETURN_IF_ERROR(broadcast_shapes(c.in(0).shape, c.in(1).shape, &shape));
  if (c.in(0).dim(axis) != 3 || c.in(1).dim(axis) != 3) {
    return value_error(cat("expects size 3 of axis ", axis));
  }
  return made(c, shape, out);
}
TensorList compose_cross(const void* attrs, In in) {
  const int64_t axis = static_cast<const CrossAttrs*>(attrs)->axis;
  const auto part = [&](int t, int64_t i) { return slice_axis(in[t], axis, i, i + 1); };
  std::vector<Tensor> parts;
  for (int64_t i = 0; i < 3; ++i) {
    const int64_t j = (i + 1) % 3, k = (i + 2) % 3;
    parts.push_back(part(0, j) * part(1, k) - part(0, k) * part(1, j));
  }
  return {concat(parts, axis)};
}
GradResult grad_cross(GradCtx& c) {
  const CrossAttrs& a = c.attrs<CrossAttrs>();
  const auto of = [&](const Tensor& x, const Tensor& y, int i) {
    return unbroadcast(call1(kCross, &a, {x, y}), c.in_meta(i));
  };
  GradResult r{Tensor(), Tensor()};
  if (c.needs(0)) r[0] = of(c.in(1), c.grad(), 0);
  if (c.needs(1)) r[1] = of(c.grad(), c.in(0), 1);
  return r;
}

// ---- cdist --------------------------------------------------------------------------------------

Status infer_cdist(const CallMeta& c, TensorMeta* out) {
  const double p = c.as<CdistAttrs>().p;
  const TensorMeta &x = c.in(0), &y = c.in(1);
  RUTILE_RETURN_IF_ERROR(check_numbers(c));
  if (!is_floating(x.dtype)) return type_error(cat("expects floats, got ", x.dtype));
  if (!(p >= 0)) return value_error(cat("expects p >= 0, got ", p));
  if (x.rank() < 2 || y.rank() < 2 || x.rank() == kMaxRank || y.rank() == kMaxRank) {
    return value_error(cat("expects rank 2 to 7, got ", x.shape, " and ", y.shape));
  }
  if (x.shape.back() != y.shape.back()) {
    return value_error(cat("rows differ in size: ", x.shape.back(), " and ", y.shape.back()));
  }
  Shape bx, by, shape;
  for (int i = 0; i < x.rank() - 2; ++i) bx.push_back(x.dim(i));
  for (int i = 0; i < y.rank() - 2; ++i) by.push_back(y.dim(i));
  RUTILE_RETURN_IF_ERROR(broadcast_shapes(bx, by, &shape));
  shape.push_back(x.dim(x.rank() - 2));
  shape.push_back(y.dim(y.rank() - 2));
  return made(c, shape, out);
}
// |x - y|^2 = |x|^2 + |y|^2 - 2 x y, by a matrix product. Differences that are lost in rounding
// count as 0.
Tensor euclidean_by_product(const Tensor& x, const Tensor& y) {
  const SumAttrs last{.axes = {-1}, .keepdims = true};
  const Tensor squares = sum(square(x), last) + swapaxes(sum(square(y), last), -2, -1);
  const Tensor d = squares - 2.0 * matmul(x, y, {.transpose_b = true});
  const Tensor none = less_equal(d, 0);
  return where(none, 0.0, sqrt(where(none, 1.0, d)));
}

TensorList compose_cdist(const void* attrs, In in) {
  constexpr int64_t kFewRows = 25;  // for them the differences themselves cost little
  const double p = static_cast<const CdistAttrs*>(attrs)->p;
  const auto many = [](const Tensor& t) { return t.dim(t.rank() - 2) > kFewRows; };
  if (p == 2 && (many(in[0]) || many(in[1])) && in[0].shape().back() > 0) {
    return {cast(euclidean_by_product(wide(in[0]), wide(in[1])), in[0].dtype())};
  }
  const Tensor d = expand_dims(wide(in[0]), -2) - expand_dims(wide(in[1]), -3);
  const Dims last{-1};
  Tensor y;
  if (p == 2) {
    y = norm(d, {.axes = last});
  } else if (p == 1 || d.numel() == 0) {
    y = sum(abs(d), {.axes = last});
  } else if (p == 0) {
    y = sum(cast(not_equal(d, 0), d.dtype()), {.axes = last});
  } else if (std::isinf(p)) {
    y = max(abs(d), {.axes = last});
  } else {
    // Roots and powers of zero have no slope.
    const Tensor none = equal(d, 0);
    const Tensor powers = where(none, 0.0, pow(abs(where(none, 1.0, d)), p));
    const Tensor s = sum(powers, {.axes = last});
    const Tensor zero = equal(s, 0);
    y = where(zero, 0.0, pow(where(zero, 1.0, s), 1 / p));
  }
  return {cast(y, in[0].dtype())};
}
double cdist_flops(const CallMeta& c) {
  const double k = c.in(0).rank() > 0 ? static_cast<double>(c.in(0).shape.back()) : 1;
  return 3 * k * elements(c.out());
}

// ---- addmm --------------------------------------------------------------------------------------

template <int kRank>
Status infer_addmm(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &x = c.in(0), &a = c.in(1), &b = c.in(2);
  RUTILE_RETURN_IF_ERROR(check_numbers(c));
  RUTILE_RETURN_IF_ERROR(check_weights(c.as<AddmmAttrs>(), x.dtype));
  if (a.rank() != kRank || b.rank() != kRank) {
    return value_error(cat("expects factors of rank ", kRank, ", got ", a.shape, " and ", b.shape));
  }
  if (kRank == 3 && a.dim(0) != b.dim(0)) {
    return value_error(cat("expects as many matrices, got ", a.dim(0), " and ", b.dim(0)));
  }
  const int64_t k = a.dim(kRank - 1), other = b.dim(kRank - 2);
  if (k != other) return value_error(cat("inner sizes differ: ", k, " and ", other));
  Shape shape = a.shape, wider;
  shape[kRank - 1] = b.dim(kRank - 1);
  const Status fits = broadcast_shapes(shape, x.shape, &wider);
  if (!fits.ok() || !(wider == shape)) {
    return value_error(cat("x of shape ", x.shape, " does not fit ", shape));
  }
  return made(c, shape, out);
}
TensorList compose_addmm(const void* attrs, In in) {
  const auto& a = *static_cast<const AddmmAttrs*>(attrs);
  return {weighted_sum(a, in[0], matmul(in[1], in[2]))};
}
double addmm_flops(const CallMeta& c) {
  const TensorMeta& a = c.in(1);
  return a.rank() > 0 ? 2 * static_cast<double>(a.shape.back() + 1) * elements(c.out()) : 0;
}

}  // namespace

#define RUTILE_PRODUCT(constant, op_name, Attrs, cost, precision, text, ...)        \
  constinit const OpDef constant = define({.name = #op_name,                        \
                                           .inputs = {"x", "y"},                    \
                                           .outputs = {"z"},                        \
                                           .attrs = Attrs,                          \
                                           .infer = infer_##op_name,                \
                                           .flops = cost,                           \
                                           __VA_ARGS__.compose = compose_##op_name, \
                                           .amp = precision,                        \
                                           .promote = true,                         \
                                           .doc = text})
RUTILE_PRODUCT(kTensordot, tensordot, attrs_of<TensordotAttrs>(), product_flops, Amp::kLow,
               "The sum over pairs of axes of x and y.");
RUTILE_PRODUCT(kInner, inner, nullptr, product_flops, Amp::kLow,
               "The sum over the last dimensions of x and y.");
RUTILE_PRODUCT(kKron, kron, nullptr, flops_per_output<1>, Amp::kPromote,
               "Each element of x times all of y.");
RUTILE_PRODUCT(kCross, cross, attrs_of<CrossAttrs>(), flops_per_output<3>, Amp::kPromote,
               "The vector product along an axis of size 3.", .grad = holomorphic<grad_cross>,
               .saves = {"x", "y"}, );
RUTILE_PRODUCT(kCdist, cdist, attrs_of<CdistAttrs>(), cdist_flops, Amp::kHigh,
               "The distances of all rows of x and y.");

Tensor tensordot(Arg x, Arg y, const Dims& axes_x, const Dims& axes_y) {
  const TensordotAttrs a{axes_x, axes_y};
  return call1(kTensordot, &a, {x.tensor, y.tensor}, x.where);
}
Tensor tensordot(Arg x, Arg y, int64_t n) {
  TensordotAttrs a;
  if (n < 0 || n > x.tensor.rank() || n > y.tensor.rank()) {
    throw_error(ErrorCode::kValue, cat("[tensordot] cannot sum over ", n, " axes of ",
                                       x.tensor.shape(), " and ", y.tensor.shape()));
  }
  for (int64_t i = 0; i < n; ++i) {
    a.axes_x.push_back(i - n);
    a.axes_y.push_back(i);
  }
  return call1(kTensordot, &a, {x.tensor, y.tensor}, x.where);
}
Tensor inner(Arg x, Arg y) { return call1(kInner, nullptr, {x.tensor, y.tensor}, x.where); }
Tensor kron(Arg x, Arg y) { return call1(kKron, nullptr, {x.tensor, y.tensor}, x.where); }
Tensor cross(Arg x, Arg y, int64_t axis) {
  const CrossAttrs a{axis};
  return call1(kCross, &a, {x.tensor, y.tensor}, x.where);
}
Tensor cdist(Arg x, Arg y, double p) {
  const CdistAttrs a{p};
  return call1(kCdist, &a, {x.tensor, y.tensor}, x.where);
}

#define RUTILE_ADDMM(constant, function, rank, text)                         \
  constinit const OpDef constant = define({.name = #function,                \
                                           .inputs = {"x", "a", "b"},        \
                                           .attrs = attrs_of<AddmmAttrs>(),  \
                                           .infer = infer_addmm<rank>,       \
                                           .flops = addmm_flops,             \
                                           .compose = compose_addmm,         \
                                           .amp = Amp::kLow,                 \
                                           .promote = true,                  \
                                           .doc = text});                    \
  Tensor function(Arg x, Arg a, Arg b, AddmmAttrs attrs) {                   \
    return call1(constant, &attrs, {x.tensor, a.tensor, b.tensor}, x.where); \
  }
RUTILE_ADDMM(kAddmm, addmm, 2, "beta x + alpha (a b) with matrices a and b.")
RUTILE_ADDMM(kBaddbmm, baddbmm, 3, "beta x + alpha (a b) with stacks of matrices.")

namespace {
Tensor ranked(const char* name, Arg x, Arg y, int rx, int ry) {
  if (x.tensor.rank() != rx || y.tensor.rank() != ry) {
    throw_error(ErrorCode::kValue, cat("[", name, "] expects ranks ", rx, " and ", ry, ", got ",
                                       x.tensor.shape(), " and ", y.tensor.shape()));
  }
  return matmul(x, y);
}
}  // namespace

Tensor dot(Arg x, Arg y) { return ranked("dot", x, y, 1, 1); }
Tensor mv(Arg x, Arg y) { return ranked("mv", x, y, 2, 1); }
Tensor bmm(Arg x, Arg y) {
  if (x.tensor.rank() == 3 && y.tensor.rank() == 3 && x.tensor.dim(0) != y.tensor.dim(0)) {
    throw_error(ErrorCode::kValue, cat("[bmm] expects as many matrices, got ", x.tensor.shape(),
                                       " and ", y.tensor.shape()));
  }
  return ranked("bmm", x, y, 3, 3);
}
Tensor outer(Arg x, Arg y) {
  if (x.tensor.rank() != 1 || y.tensor.rank() != 1) {
    throw_error(ErrorCode::kValue,
                cat("[outer] expects rank 1, got ", x.tensor.shape(), " and ", y.tensor.shape()));
  }
  return mul(reshape(x, {x.tensor.numel(), 1}), y);
}

}  // namespace rutile::ops
