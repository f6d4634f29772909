// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/index.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double scale_of(const AttentionAttrs& a, int64_t d) {
  return a.scale != 0 ? a.scale : 1.0 / std::sqrt(static_cast<double>(d));
}

// ---- infer ----

// q, k, v from input `first` on.
Status check_qkv(const CallMeta& call, int first) {
  const TensorMeta &q = call.in(first), &k = call.in(first + 1), &v = call.in(first + 2);
  const int r = q.rank();
  if (r != 3 && r != 4) {
    return value_error(cat("q must have shape [b,h,t,d] or [b,t,d], got ", q.shape));
  }
  if (!is_floating(q.dtype)) return type_error(cat("q must be floating point, got ", q.dtype));
  for (const TensorMeta* m : {&k, &v}) {
    const char* name = m == &k ? "k" : "v";
    if (m->dtype != q.dtype) {
      return type_error(cat(name, " expects ", q.dtype, " as q, got ", m->dtype));
    }
    if (m->rank() != r) return value_error(cat(name, " expects rank ", r, " as q, got ", m->shape));
    for (int i = 0; i < r - 2; ++i) {
      if (m->dim(i) == q.dim(i)) continue;
      return value_error(
          cat(name, " expects ", q.dim(i), " in dimension ", i, " as q, got ", m->shape));
    }
  }
  if (k.dim(r - 1) != q.dim(r - 1)) {
    return value_error(cat("k expects head size ", q.dim(r - 1), " as q, got ", k.shape));
  }
  if (v.dim(r - 2) != k.dim(r - 2)) {
    return value_error(cat("v expects ", k.dim(r - 2), " rows as k, got ", v.shape));
  }
  if (q.dim(r - 1) == 0 || v.dim(r - 1) == 0) return value_error("the head size must not be 0");
  const double scale = call.as<AttentionAttrs>().scale;
  if (!std::isfinite(scale)) return value_error(cat("scale must be finite, got ", scale));
  return Status();
}

Shape score_shape(const TensorMeta& q, const TensorMeta& k) {
  Shape s = q.shape;
  s[q.rank() - 1] = k.dim(q.rank() - 2);
  return s;
}

Shape row_shape(const TensorMeta& q) {
  Shape s = q.shape;
  s.pop_back();
  return s;
}

Status check_mask(const CallMeta& call, int i, const TensorMeta& q, const TensorMeta& k) {
  if (!call.has(i)) return Status();
  const TensorMeta& mask = call.in(i);
  if (mask.dtype != DType::kBool && mask.dtype != q.dtype && mask.dtype != DType::kF32) {
    return type_error(cat("mask expects bool, f32 or ", q.dtype, " as q, got ", mask.dtype));
  }
  const Shape scores = score_shape(q, k);
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(scores, &numel));
  Shape s;
  if (broadcast_shapes(mask.shape, scores, &s).ok() && s == scores) return Status();
  return value_error(cat("mask expects a shape that broadcasts to ", scores, ", got ", mask.shape));
}

// Error for a result of that many elements.
Status check_size(const Shape& shape) {
  int64_t numel = 0;
  return checked_numel(shape, &numel);
}

// `shape`, in memory with rows before heads where x has them so.
TensorMeta ordered_like(const TensorMeta& x, const Shape& shape) {
  TensorMeta m(shape, x.dtype, x.device);
  const bool rows_first = x.rank() == 4 && x.layout == kStrided && x.dim(1) > 1 && x.dim(2) > 1 &&
                          x.strides[1] < x.strides[2];
  if (rows_first) m.strides = ordered_strides(shape, {0, 2, 1, 3});
  return m;
}

Status infer_attention(const CallMeta& call, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_qkv(call, 0));
  const TensorMeta &q = call.in(0), &k = call.in(1), &v = call.in(2);
  RUTILE_RETURN_IF_ERROR(check_mask(call, 3, q, k));
  Shape y = q.shape;
  y[q.rank() - 1] = v.dim(q.rank() - 1);
  RUTILE_RETURN_IF_ERROR(check_size(y));
  out[0] = ordered_like(q, y);
  out[1] = TensorMeta(row_shape(q), wide(q.dtype), q.device);
  return Status();
}

Status check_like(const CallMeta& call, int i, const Shape& shape, DType dtype) {
  if (!call.has(i)) return Status();
  const TensorMeta& m = call.in(i);
  if (m.shape == shape && m.dtype == dtype) return Status();
  return value_error(
      cat(call.op->input_name(i), " expects ", dtype, shape, ", got ", m.dtype, m.shape));
}

Status infer_attention_grad(const CallMeta& call, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_qkv(call, 1));
  const TensorMeta &q = call.in(1), &k = call.in(2), &v = call.in(3);
  Shape y = q.shape;
  y[q.rank() - 1] = v.dim(q.rank() - 1);
  const Shape rows = row_shape(q);
  RUTILE_RETURN_IF_ERROR(check_like(call, 0, y, q.dtype));
  RUTILE_RETURN_IF_ERROR(check_like(call, 4, y, q.dtype));
  RUTILE_RETURN_IF_ERROR(check_like(call, 5, rows, wide(q.dtype)));
  RUTILE_RETURN_IF_ERROR(check_mask(call, 6, q, k));
  RUTILE_RETURN_IF_ERROR(check_like(call, 7, rows, wide(q.dtype)));
  out[0] = ordered_like(q, q.shape);
  out[1] = ordered_like(k, k.shape);
  out[2] = ordered_like(v, v.shape);
  return Status();
}

// ---- Definitions in other ops ----

Tensor column(const Tensor& rows) { return expand_dims(rows, -1); }

Tensor scores(const Tensor& q, const Tensor& k, const Tensor& mask, const AttentionAttrs& a) {
  const int r = q.rank();
  const DType dtype = wide(q.dtype());
  Tensor s =
      matmul(q, k, {.transpose_b = true, .out_dtype = dtype}) * Scalar(scale_of(a, q.dim(r - 1)));
  if (mask.defined()) {
    s = mask.dtype() == DType::kBool ? where(mask, s, Scalar(-kInfinity)) : s + cast(mask, dtype);
  }
  if (a.causal) {
    const Tensor seen = tril(ones({q.dim(r - 2), k.dim(r - 2)}, DType::kBool));
    s = where(seen, s, Scalar(-kInfinity));
  }
  return s;
}

// exp(scores - lse), 0 in rows without any key.
Tensor probabilities(const Tensor& s, const Tensor& lse) {
  return exp(s - column(where(equal(lse, Scalar(-kInfinity)), zeros_like(lse), lse)));
}

// The result, placed as infer says.
Tensor placed_like(const Tensor& result, const Tensor& x) {
  if (ordered_like(x.meta(), result.shape()).is_contiguous()) return result;
  return permute(contiguous(permute(result, {0, 2, 1, 3})), {0, 2, 1, 3});
}

TensorList compose_attention(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const AttentionAttrs*>(attrs);
  const Tensor &q = in[0], &k = in[1], &v = in[2];
  const DType dtype = wide(q.dtype());
  const int r = q.rank();
  if (k.dim(r - 2) == 0) {
    Shape y = q.shape();
    y[r - 1] = v.dim(r - 1);
    return {placed_like(zeros(y, q.dtype()), q),
            full(row_shape(q.meta()), Scalar(-kInfinity), dtype)};
  }
  const Tensor s = scores(q, k, operand(in, 3), a);
  const Tensor lse = logsumexp(s, {.axes = {-1}});
  const Tensor y = matmul(probabilities(s, lse), cast(v, dtype));
  return {placed_like(cast(y, q.dtype()), q), lse};
}

// The scores' gradient, without the scale.
Tensor score_gradient(const Tensor& p, const Tensor& dy, const Tensor& v, const Tensor& y,
                      const Tensor& dlse) {
  const DType dtype = wide(dy.dtype());
  const Tensor wide_dy = cast(dy, dtype);
  const Tensor dp = matmul(wide_dy, cast(v, dtype), {.transpose_b = true});
  Tensor shift = sum(wide_dy * cast(y, dtype), {.axes = {-1}});
  if (dlse.defined()) shift = shift - dlse;
  return p * (dp - column(shift));
}

TensorList compose_attention_grad(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const AttentionAttrs*>(attrs);
  const Tensor &dy = in[0], &q = in[1], &k = in[2], &v = in[3];
  const DType dtype = wide(q.dtype());
  const Tensor p = probabilities(scores(q, k, operand(in, 6), a), in[5]);
  const Tensor ds =
      score_gradient(p, dy, v, in[4], operand(in, 7)) * Scalar(scale_of(a, q.dim(q.rank() - 1)));
  const Tensor dq = matmul(ds, cast(k, dtype));
  const Tensor dk = matmul(ds, cast(q, dtype), {.transpose_a = true});
  const Tensor dv = matmul(p, cast(dy, dtype), {.transpose_a = true});
  return {placed_like(cast(dq, q.dtype()), q), placed_like(cast(dk, q.dtype()), k),
          placed_like(cast(dv, q.dtype()), v)};
}

// ---- Gradient ----

GradResult grad_attention(GradCtx& ctx) {
  const auto& a = ctx.attrs<AttentionAttrs>();
  const Tensor &q = ctx.in(0), &k = ctx.in(1), &v = ctx.in(2), &y = ctx.out(0), &lse = ctx.out(1);
  const Tensor mask = ctx.has_in(3) ? ctx.in(3) : Tensor();
  const Tensor dy = ctx.grad(0).defined() ? cast(ctx.grad(0), q.dtype()) : zeros_like(y);
  const Tensor& dlse = ctx.grad(1);
  GradResult result;
  result.resize(ctx.num_inputs());
  if (ctx.needs_mask() & 7u) {
    const Tensor in[] = {dy, q, k, v, y, lse, mask, dlse};
    const TensorList g = call_n(kAttentionGrad, &a, in);
    for (int i = 0; i < 3; ++i) result[i] = g[i];
  }
  if (ctx.has_in(3) && ctx.needs(3)) {
    const Tensor p = probabilities(scores(q, k, mask, a), lse);
    result[3] = unbroadcast(score_gradient(p, dy, v, y, dlse), ctx.in_meta(3));
  }
  return result;
}

// Pairs of a row and a key it sees.
double pairs(const TensorMeta& q, const TensorMeta& k, bool causal) {
  const int r = q.rank();
  double heads = 1;
  for (int i = 0; i < r - 2; ++i) heads *= static_cast<double>(q.dim(i));
  const double t = static_cast<double>(q.dim(r - 2)), s = static_cast<double>(k.dim(r - 2));
  if (!causal) return heads * t * s;
  const double full = std::max(0.0, t - s);  // rows that see every key
  return heads * (full * s + (t - full) * (t - full + 1) / 2);
}
// Each pair takes part in products of length d and e (forward: scores and sums of values;
// backward: scores again, dv, dp, dq, dk) and in the softmax.
double attention_flops(const CallMeta& c) {
  const TensorMeta &q = c.in(0), &v = c.in(2);
  const double d = static_cast<double>(q.dim(q.rank() - 1));
  const double e = static_cast<double>(v.dim(v.rank() - 1));
  return pairs(q, c.in(1), c.as<AttentionAttrs>().causal) * (2 * d + 2 * e + 5);
}
double attention_grad_flops(const CallMeta& c) {
  const TensorMeta &q = c.in(1), &v = c.in(3);
  const double d = static_cast<double>(q.dim(q.rank() - 1));
  const double e = static_cast<double>(v.dim(v.rank() - 1));
  return pairs(q, c.in(2), c.as<AttentionAttrs>().causal) * (6 * d + 4 * e + 6);
}

}  // namespace

constinit const OpDef kAttention = define({
    .name = "scaled_dot_product_attention",
    .inputs = {"q", "k", "v", "mask?"},
    .outputs = {"y", "lse"},
    .attrs = attrs_of<AttentionAttrs>(),
    .infer = infer_attention,
    .flops = attention_flops,
    .grad = grad_attention,
    .saves = {"q", "k", "v", "mask", "y", "lse"},
    .compose = compose_attention,
    .amp = Amp::kLow,
    .doc = "softmax(scale * q k^T + mask) v, without the scores in memory.",
});

constinit const OpDef kAttentionGrad = define({
    .name = "scaled_dot_product_attention_grad",
    .inputs = {"dy", "q", "k", "v", "y", "lse", "mask?", "dlse?"},
    .outputs = {"dq", "dk", "dv"},
    .attrs = attrs_of<AttentionAttrs>(),
    .infer = infer_attention_grad,
    .flops = attention_grad_flops,
    .compose = compose_attention_grad,
    .doc = "Gradient of scaled_dot_product_attention.",
});

Tensor scaled_dot_product_attention(Arg q, const Tensor& k, const Tensor& v, AttentionAttrs attrs) {
  return attention_with_lse(q, k, v, Tensor(), attrs).y;
}

Tensor scaled_dot_product_attention(Arg q, const Tensor& k, const Tensor& v, const Tensor& mask,
                                    AttentionAttrs attrs) {
  return attention_with_lse(q, k, v, mask, attrs).y;
}

AttentionResult attention_with_lse(Arg q, const Tensor& k, const Tensor& v, const Tensor& mask,
                                   AttentionAttrs attrs) {
  const Tensor in[] = {q.tensor, k, v, mask};
  Tensor out[2];
  call(kAttention, &attrs, in, out, q.where);
  return {out[0], out[1]};
}

}  // namespace rutile::ops
