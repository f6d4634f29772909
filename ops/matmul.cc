// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/matmul.h"

#include "rutile/ops/complex.h"
#include "rutile/ops/cost.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {

namespace {

Status check_dtype(const TensorMeta& x, const TensorMeta& y) {
  if (x.dtype != y.dtype) {
    return type_error(cat("expects one dtype, got ", x.dtype, " and ", y.dtype));
  }
  if (x.dtype == DType::kBool) {
    return type_error(cat("expects numbers, got ", x.dtype));
  }
  return Status();
}

Status infer_matmul(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &x = c.in(0), &y = c.in(1);
  const auto& a = c.as<MatmulAttrs>();
  RUTILE_RETURN_IF_ERROR(check_dtype(x, y));
  if (x.rank() == 0 || y.rank() == 0)
    return value_error("expects at least 1 dimension, got a scalar");
  if ((a.transpose_a && x.rank() == 1) || (a.transpose_b && y.rank() == 1)) {
    return value_error("cannot transpose a 1-D input");
  }
  DType dtype = x.dtype;
  if (a.out_dtype.set) {
    dtype = a.out_dtype.value;
    if (dtype != x.dtype && !(is_floating(dtype) && is_floating(x.dtype))) {
      return type_error(cat("cannot give ", dtype, " from ", x.dtype));
    }
  }
  const int rx = x.rank(), ry = y.rank();
  const int64_t kx = rx == 1 ? x.dim(0) : x.dim(a.transpose_a ? rx - 2 : rx - 1);
  const int64_t ky = ry == 1 ? y.dim(0) : y.dim(a.transpose_b ? ry - 1 : ry - 2);
  if (kx != ky) {
    return value_error(cat("inner sizes differ: ", kx, " and ", ky));
  }
  Shape bx, by, shape;
  for (int i = 0; i < rx - 2; ++i) bx.push_back(x.dim(i));
  for (int i = 0; i < ry - 2; ++i) by.push_back(y.dim(i));
  RUTILE_RETURN_IF_ERROR(broadcast_shapes(bx, by, &shape));
  if (rx > 1) shape.push_back(x.dim(a.transpose_a ? rx - 1 : rx - 2));
  if (ry > 1) shape.push_back(y.dim(a.transpose_b ? ry - 2 : ry - 1));
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, dtype, x.device);
  return Status();
}

// Both operands and the gradient with at least two dimensions.
struct Operands {
  Tensor x, y, g;
};

Tensor with_dim(const Tensor& t, int axis) {
  Shape s;
  for (int i = 0; i < axis; ++i) s.push_back(t.dim(i));
  s.push_back(1);
  for (int i = axis; i < t.rank(); ++i) s.push_back(t.dim(i));
  return reshape(t, s);
}

Operands as_matrices(GradCtx& ctx, bool need_x, bool need_y) {
  const int rx = ctx.in_meta(0).rank(), ry = ctx.in_meta(1).rank();
  Operands o;
  o.g = ctx.grad();
  if (need_x) o.x = conj(rx == 1 ? with_dim(ctx.in(0), 0) : ctx.in(0));
  if (need_y) o.y = conj(ry == 1 ? with_dim(ctx.in(1), 1) : ctx.in(1));
  if (rx == 1) o.g = with_dim(o.g, ry == 1 ? o.g.rank() : o.g.rank() - 1);
  if (ry == 1) o.g = with_dim(o.g, o.g.rank());
  return o;
}

// A matrix meta for unbroadcast: the input's shape with the dimension that 1-D operands lack.
TensorMeta matrix_meta(const TensorMeta& m, bool row) {
  if (m.rank() > 1) return m;
  return TensorMeta(row ? Shape{1, m.dim(0)} : Shape{m.dim(0), 1}, m.dtype, m.device);
}

Tensor fold_rows(const Tensor& t) {
  return reshape(t, {t.numel() / t.shape().back(), t.shape().back()});
}

// The sum over the batch of x^T g when y was one matrix for all: a single product.
bool one_matrix_for_all(const TensorMeta& x, const TensorMeta& y, const MatmulAttrs& a) {
  return y.rank() == 2 && x.rank() > 2 && !a.transpose_a && x.numel() > 0 && y.numel() > 0;
}

GradResult grad_matmul(GradCtx& ctx) {
  const auto& a = ctx.attrs<MatmulAttrs>();
  const TensorMeta &mx = ctx.in_meta(0), &my = ctx.in_meta(1);
  GradResult r;
  r.resize(2);
  const Operands o = as_matrices(ctx, ctx.needs(1), ctx.needs(0));
  if (ctx.needs(0)) {
    const Tensor dx = a.transpose_a
                          ? matmul(o.y, o.g, {.transpose_a = a.transpose_b, .transpose_b = true})
                          : matmul(o.g, o.y, {.transpose_b = !a.transpose_b});
    r[0] = reshape(unbroadcast(dx, matrix_meta(mx, true)), mx.shape);
  }
  if (ctx.needs(1)) {
    if (one_matrix_for_all(mx, my, a)) {
      const Tensor x2 = fold_rows(o.x), g2 = fold_rows(o.g);
      r[1] = a.transpose_b ? matmul(g2, x2, {.transpose_a = true})
                           : matmul(x2, g2, {.transpose_a = true});
      r[1] = unbroadcast(r[1], my);
    } else {
      const Tensor dy = a.transpose_b
                            ? matmul(o.g, o.x, {.transpose_a = true, .transpose_b = a.transpose_a})
                            : matmul(o.x, o.g, {.transpose_a = !a.transpose_a});
      r[1] = reshape(unbroadcast(dy, matrix_meta(my, false)), my.shape);
    }
  }
  return r;
}

// The gradient of one factor reads the other one.
uint32_t saves_other_factor(uint32_t needs) {
  return (needs & 1u ? 2u : 0u) | (needs & 2u ? 1u : 0u);
}

Status infer_linear(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &x = c.in(0), &w = c.in(1);
  RUTILE_RETURN_IF_ERROR(check_dtype(x, w));
  if (x.rank() == 0) return value_error("expects x with at least 1 dimension, got a scalar");
  if (w.rank() != 2) return value_error(cat("weight expects shape [out, in], got ", w.shape));
  if (w.dim(1) != x.shape.back()) {
    return value_error(cat("weight expects ", w.dim(1), " input features, got ", x.shape.back()));
  }
  if (c.has(2)) {
    const TensorMeta& b = c.in(2);
    if (b.rank() != 1 || b.dim(0) != w.dim(0)) {
      return value_error(cat("bias expects shape [", w.dim(0), "], got ", b.shape));
    }
    if (b.dtype != x.dtype) return type_error(cat("bias expects ", x.dtype, ", got ", b.dtype));
  }
  Shape shape = x.shape;
  shape[x.rank() - 1] = w.dim(0);
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, x.dtype, x.device);
  return Status();
}

GradResult grad_linear(GradCtx& ctx) {
  GradResult r;
  r.resize(ctx.num_inputs());
  const Tensor& g = ctx.grad();
  const TensorMeta &mx = ctx.in_meta(0), &mw = ctx.in_meta(1);
  const DType wide = is_low_precision(mx.dtype) ? DType::kF32 : mx.dtype;
  if (ctx.needs(0)) r[0] = matmul(g, conj(ctx.in(1)));
  if (ctx.needs(1)) {
    int64_t rows = 1;  // not numel / in: in may be 0
    for (int i = 0; i < mx.rank() - 1; ++i) rows *= mx.dim(i);
    const Tensor g2 = reshape(g, {rows, mw.dim(0)});
    const Tensor x2 = reshape(conj(ctx.in(0)), {rows, mw.dim(1)});
    r[1] = matmul(g2, x2, {.transpose_a = true, .out_dtype = wide});
  }
  if (ctx.num_inputs() > 2 && ctx.needs(2)) {
    r[2] = sum_to_shape(g, ctx.in_meta(2).shape, wide);
  }
  return r;
}

double matmul_flops(const CallMeta& c) {
  const TensorMeta& x = c.in(0);
  const bool turned = c.as<MatmulAttrs>().transpose_a;
  const int64_t k = x.dim(turned ? x.rank() - 2 : x.rank() - 1);
  return 2 * elements(c.out()) * static_cast<double>(k);
}
double linear_flops(const CallMeta& c) {
  const int64_t k = c.in(1).dim(c.in(1).rank() - 1);
  return elements(c.out()) * (2 * static_cast<double>(k) + (c.has(2) ? 1 : 0));
}

}  // namespace

constinit const OpDef kMatmul = define({
    .name = "matmul",
    .inputs = {"x", "y"},
    .attrs = attrs_of<MatmulAttrs>(),
    .infer = infer_matmul,
    .flops = matmul_flops,
    .grad = grad_matmul,
    .saves = {"x", "y"},
    .saves_if = saves_other_factor,
    .amp = Amp::kLow,
    .promote = true,
    .doc = "Matrix product with NumPy broadcasting of the leading dimensions.",
});

constinit const OpDef kLinear = define({
    .name = "linear",
    .inputs = {"x", "weight", "bias?"},
    .infer = infer_linear,
    .flops = linear_flops,
    .grad = grad_linear,
    .saves = {"x", "weight"},
    .saves_if = saves_other_factor,
    .amp = Amp::kLow,
    .promote = true,
    .doc = "x times weight transposed, plus bias.",
});

Tensor matmul(Arg x, Arg y, MatmulAttrs attrs) {
  return call1(kMatmul, &attrs, {x.tensor, y.tensor}, x.where);
}

Tensor linear(Arg x, Arg weight, const Tensor& bias) {
  if (weight.tensor.rank() == 1) {  // one feature without a dimension of its own
    const Tensor y = matmul(x, weight);
    return bias.defined() ? y + bias : y;
  }
  if (!bias.defined()) return call1(kLinear, nullptr, {x.tensor, weight.tensor}, x.where);
  return call1(kLinear, nullptr, {x.tensor, weight.tensor, bias}, x.where);
}

}  // namespace rutile::ops
