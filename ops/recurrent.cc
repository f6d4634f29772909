// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/recurrent.h"

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

enum Input { kGx, kH0, kWeight, kC0, kBias, kLengths, kProjection };
enum Output { kY, kH, kC, kGates, kCells };
// Of the gradient op.
enum GradInput { kInY, kInGates, kInCells, kInH0, kInWeight, kInC0, kInLengths, kDy, kDh, kDc };

Status expect(const CallMeta& call, int i, const Shape& shape, DType dtype) {
  if (!call.has(i)) return Status();
  const TensorMeta& m = call.in(i);
  if (m.shape == shape && m.dtype == dtype) return Status();
  return value_error(
      cat(call.op->input_name(i), " expects ", TensorMeta(shape, dtype), ", got ", m));
}

Status check_kind(const CallMeta& call, int c0) {
  const RecurrentKind kind = call.as<RecurrentAttrs>().kind;
  if (call.has(c0) == (kind == RecurrentKind::kLstm)) return Status();
  return value_error(kind == RecurrentKind::kLstm ? "lstm needs c0" : "only lstm takes c0");
}

Status check_dtype(DType t) {
  if (t == DType::kF32 || t == DType::kF64) return Status();
  return type_error(cat("takes f32 and f64, not ", t));
}

Status infer_recurrent(const CallMeta& call, TensorMeta* out) {
  const TensorMeta &gx = call.in(kGx), &h0 = call.in(kH0);
  RUTILE_RETURN_IF_ERROR(check_dtype(gx.dtype));
  if (gx.rank() != 3 || h0.rank() != 2) {
    return value_error(
        cat("expects gx [t, n, gates * h] and h0 [n, h], got ", gx.shape, " and ", h0.shape));
  }
  RUTILE_RETURN_IF_ERROR(check_kind(call, kC0));
  const RecurrentKind kind = call.as<RecurrentAttrs>().kind;
  const bool lstm = kind == RecurrentKind::kLstm, gated = lstm || kind == RecurrentKind::kGru;
  const bool projects = call.has(kProjection);
  if (projects && !lstm) return value_error("only lstm takes a projection");
  if (projects && call.in(kProjection).rank() != 2) {
    return value_error(cat("projection expects shape [p, h], got ", call.in(kProjection).shape));
  }
  const int64_t n = h0.dim(0), width = h0.dim(1), t = gx.dim(0);
  const int64_t h = projects ? call.in(kProjection).dim(1) : width, all = gates_of(kind) * h;
  if (gx.dim(1) != n || gx.dim(2) != all) {
    return value_error(cat("gx expects [t, ", n, ", ", all, "], got ", gx.shape));
  }
  RUTILE_RETURN_IF_ERROR(expect(call, kH0, h0.shape, gx.dtype));
  RUTILE_RETURN_IF_ERROR(expect(call, kWeight, {all, width}, gx.dtype));
  RUTILE_RETURN_IF_ERROR(expect(call, kC0, {n, h}, gx.dtype));
  RUTILE_RETURN_IF_ERROR(expect(call, kBias, {all}, gx.dtype));
  RUTILE_RETURN_IF_ERROR(expect(call, kLengths, {n}, DType::kI64));
  RUTILE_RETURN_IF_ERROR(expect(call, kProjection, {width, h}, gx.dtype));
  auto meta = [&](bool there, const Shape& shape) {
    return TensorMeta(there ? shape : Shape{0}, gx.dtype, gx.device);
  };
  out[kY] = meta(true, {t, n, width});
  out[kH] = meta(true, {n, width});
  out[kC] = meta(lstm, {n, h});
  out[kGates] = meta(gated, {t, n, all});
  out[kCells] = meta(gated, {t, n, h});
  return Status();
}

Status infer_recurrent_grad(const CallMeta& call, TensorMeta* out) {
  const TensorMeta &y = call.in(kInY), &h0 = call.in(kInH0);
  RUTILE_RETURN_IF_ERROR(check_dtype(y.dtype));
  if (y.rank() != 3 || h0.rank() != 2) {
    return value_error(cat("expects y [t, n, h] and h0 [n, h], got ", y, " and ", h0));
  }
  RUTILE_RETURN_IF_ERROR(check_kind(call, kInC0));
  const RecurrentKind kind = call.as<RecurrentAttrs>().kind;
  const int64_t t = y.dim(0), n = y.dim(1), h = y.dim(2), all = gates_of(kind) * h;
  const bool lstm = kind == RecurrentKind::kLstm, gru = kind == RecurrentKind::kGru;
  const Shape state{n, h}, none{0};
  RUTILE_RETURN_IF_ERROR(expect(call, kInGates, lstm || gru ? Shape{t, n, all} : none, y.dtype));
  RUTILE_RETURN_IF_ERROR(expect(call, kInCells, lstm || gru ? y.shape : none, y.dtype));
  RUTILE_RETURN_IF_ERROR(expect(call, kInH0, state, y.dtype));
  RUTILE_RETURN_IF_ERROR(expect(call, kInWeight, {all, h}, y.dtype));
  RUTILE_RETURN_IF_ERROR(expect(call, kInC0, state, y.dtype));
  RUTILE_RETURN_IF_ERROR(expect(call, kInLengths, {n}, DType::kI64));
  RUTILE_RETURN_IF_ERROR(expect(call, kDy, y.shape, y.dtype));
  RUTILE_RETURN_IF_ERROR(expect(call, kDh, state, y.dtype));
  RUTILE_RETURN_IF_ERROR(expect(call, kDc, lstm ? state : none, y.dtype));
  auto meta = [&](const Shape& shape) { return TensorMeta(shape, y.dtype, y.device); };
  out[0] = meta({t, n, all});
  out[1] = meta(gru ? Shape{t, n, all} : none);
  out[2] = meta(state);
  out[3] = meta(lstm ? state : none);
  return Status();
}

// ---- Definitions in other ops, step by step ----

Tensor step_of(const Tensor& x, int64_t t) { return select(x, 0, t); }
Tensor nothing(const Tensor& like) { return zeros({0}, like.dtype()); }
Tensor stacked(const std::vector<Tensor>& steps, const Shape& empty, DType dtype) {
  return steps.empty() ? zeros(empty, dtype) : stack(steps);
}
// Where sequence i is at step t: [n, 1] bool.
Tensor alive_at(const Tensor& lengths, int64_t t) {
  return expand_dims(greater(lengths, full({}, Scalar(t), DType::kI64)), 1);
}
Tensor one_minus(const Tensor& x) { return sub(full({}, Scalar(1), x.dtype()), x); }

struct State2 {
  Tensor h, c, gates, cells;
};

State2 lstm_step(const Tensor& z, const Tensor& c) {
  const std::vector<Tensor> p = split(z, 4, 1);
  const Tensor i = sigmoid(p[0]), f = sigmoid(p[1]), g = tanh(p[2]), o = sigmoid(p[3]);
  const Tensor next = f * c + i * g;
  const Tensor gates[] = {i, f, g, o};
  return {o * tanh(next), next, concat(gates, 1), next};
}

State2 gru_step(const Tensor& x, const Tensor& m, const Tensor& h) {
  const std::vector<Tensor> px = split(x, 3, 1), pm = split(m, 3, 1);
  const Tensor r = sigmoid(px[0] + pm[0]), z = sigmoid(px[1] + pm[1]);
  const Tensor n = tanh(px[2] + r * pm[2]);
  const Tensor gates[] = {r, z, n};
  return {n + z * (h - n), Tensor(), concat(gates, 1), pm[2]};
}

TensorList compose_recurrent(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const RecurrentAttrs*>(attrs);
  const Tensor &gx = in[kGx], &weight = in[kWeight], bias = operand(in, kBias);
  const Tensor lengths = operand(in, kLengths), projection = operand(in, kProjection);
  const bool lstm = a.kind == RecurrentKind::kLstm, gru = a.kind == RecurrentKind::kGru;
  Tensor h = in[kH0], c = operand(in, kC0);
  const int64_t steps = gx.dim(0);
  std::vector<Tensor> ys(static_cast<size_t>(steps)), gates = ys, cells = ys;
  for (int64_t k = 0; k < steps; ++k) {
    const int64_t t = a.reverse ? steps - 1 - k : k;
    const Tensor x = step_of(gx, t);
    Tensor m = matmul(h, weight, {.transpose_b = true});
    if (bias.defined()) m = m + bias;
    State2 s = lstm ? lstm_step(x + m, c) : gru ? gru_step(x, m, h) : State2{};
    if (projection.defined()) s.h = matmul(s.h, projection, {.transpose_b = true});
    if (!lstm && !gru) s.h = a.kind == RecurrentKind::kTanh ? tanh(x + m) : relu(x + m);
    if (lengths.defined()) {
      const Tensor alive = alive_at(lengths, t);
      s.h = where(alive, s.h, h);
      if (lstm) s.c = s.cells = where(alive, s.c, c);
      if (gru) s.cells = where(alive, s.cells, zeros_like(s.cells));
      if (lstm || gru) s.gates = where(alive, s.gates, zeros_like(s.gates));
    }
    const auto at = static_cast<size_t>(t);
    ys[at] = h = s.h;
    c = s.c;
    gates[at] = s.gates;
    cells[at] = s.cells;
  }
  const bool gated = lstm || gru;
  const DType dtype = gx.dtype();
  const int64_t n = in[kH0].dim(0);
  const Shape states{0, n, in[kH0].dim(1)}, all{0, gx.dim(1), gx.dim(2)};
  const Shape rows{0, n, lstm ? in[kC0].dim(1) : in[kH0].dim(1)};
  return {stacked(ys, states, dtype), contiguous(h + zeros_like(h)),
          lstm ? contiguous(c + zeros_like(c)) : nothing(gx),
          gated ? stacked(gates, all, dtype) : nothing(gx),
          gated ? stacked(cells, rows, dtype) : nothing(gx)};
}

struct StepGradient {
  Tensor dx, dm, dh, dc;  // of gx, of w h + b, of h and c before the step (dh beside w^T dm)
};

StepGradient lstm_backward(const Tensor& dh, const Tensor& dc, const Tensor& gates,
                           const Tensor& cell, const Tensor& c_before) {
  const std::vector<Tensor> p = split(gates, 4, 1);
  const Tensor &i = p[0], &f = p[1], &g = p[2], &o = p[3];
  const Tensor tc = tanh(cell), d = dc + dh * o * one_minus(tc * tc);
  const Tensor parts[] = {d * g * i * one_minus(i), d * c_before * f * one_minus(f),
                          d * i * one_minus(g * g), dh * tc * o * one_minus(o)};
  const Tensor dx = concat(parts, 1);
  return {dx, dx, zeros_like(dh), d * f};
}

StepGradient gru_backward(const Tensor& dh, const Tensor& gates, const Tensor& hn,
                          const Tensor& h_before) {
  const std::vector<Tensor> p = split(gates, 3, 1);
  const Tensor &r = p[0], &z = p[1], &n = p[2];
  const Tensor dn = dh * one_minus(z) * one_minus(n * n);
  const Tensor dz = dh * (h_before - n) * z * one_minus(z), dr = dn * hn * r * one_minus(r);
  const Tensor to_x[] = {dr, dz, dn}, to_m[] = {dr, dz, dn * r};
  return {concat(to_x, 1), concat(to_m, 1), dh * z, Tensor()};
}

TensorList compose_recurrent_grad(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const RecurrentAttrs*>(attrs);
  const Tensor &y = in[kInY], &weight = in[kInWeight], lengths = operand(in, kInLengths);
  const Tensor dy = operand(in, kDy), dh_last = operand(in, kDh), dc_last = operand(in, kDc);
  const bool lstm = a.kind == RecurrentKind::kLstm, gru = a.kind == RecurrentKind::kGru;
  const int64_t steps = y.dim(0);
  Tensor dh = dh_last.defined() ? dh_last : zeros_like(in[kInH0]);
  Tensor dc = !lstm ? Tensor() : dc_last.defined() ? dc_last : zeros_like(in[kInH0]);
  std::vector<Tensor> dxs(static_cast<size_t>(steps)), dms = dxs;
  for (int64_t k = steps - 1; k >= 0; --k) {
    const int64_t t = a.reverse ? steps - 1 - k : k, before = a.reverse ? t + 1 : t - 1;
    const Tensor h_before = k > 0 ? step_of(y, before) : in[kInH0];
    if (dy.defined()) dh = dh + step_of(dy, t);
    StepGradient g;
    if (lstm) {
      const Tensor c_before = k > 0 ? step_of(in[kInCells], before) : in[kInC0];
      g = lstm_backward(dh, dc, step_of(in[kInGates], t), step_of(in[kInCells], t), c_before);
    } else if (gru) {
      g = gru_backward(dh, step_of(in[kInGates], t), step_of(in[kInCells], t), h_before);
    } else {
      const Tensor out = step_of(y, t);
      g.dx = a.kind == RecurrentKind::kTanh
                 ? dh * one_minus(out * out)
                 : where(greater(out, zeros_like(out)), dh, zeros_like(dh));
      g.dm = g.dx;
      g.dh = zeros_like(dh);
    }
    if (lengths.defined()) {
      const Tensor alive = alive_at(lengths, t);
      g.dx = where(alive, g.dx, zeros_like(g.dx));
      g.dm = where(alive, g.dm, zeros_like(g.dm));
      g.dh = where(alive, g.dh, dh);
      if (lstm) g.dc = where(alive, g.dc, dc);
    }
    dh = g.dh + matmul(g.dm, weight);
    dc = g.dc;
    dxs[static_cast<size_t>(t)] = g.dx;
    dms[static_cast<size_t>(t)] = g.dm;
  }
  const Shape all{0, y.dim(1), weight.dim(0)};
  return {stacked(dxs, all, y.dtype()), gru ? stacked(dms, all, y.dtype()) : nothing(y),
          contiguous(dh + zeros_like(dh)), lstm ? contiguous(dc + zeros_like(dc)) : nothing(y)};
}

// ---- Gradient ----

// sum_t dm_t^T h_(t-1): one product over all steps but the first, and one for that.
Tensor weight_gradient(const Tensor& dm, const Tensor& y, const Tensor& h0, bool reverse) {
  const int64_t t = dm.dim(0), rows = dm.dim(1), all = dm.dim(2), h = h0.dim(1);
  const Tensor first = step_of(dm, reverse ? t - 1 : 0);
  Tensor dw = matmul(first, h0, {.transpose_a = true});
  if (t == 1) return dw;
  const Tensor later = slice_axis(dm, 0, reverse ? 0 : 1, reverse ? t - 1 : t);
  const Tensor before = slice_axis(y, 0, reverse ? 1 : 0, reverse ? t : t - 1);
  return dw + matmul(reshape(later, {(t - 1) * rows, all}), reshape(before, {(t - 1) * rows, h}),
                     {.transpose_a = true});
}

// Gradients of what only second derivatives reach, and of projections, through the definition.
GradResult through_definition(GradCtx& ctx) {
  std::vector<Tensor> operands, grads;
  for (int i = 0; i < ctx.num_inputs(); ++i) {
    operands.push_back(ctx.has_in(i) ? ctx.in(i) : Tensor());
  }
  for (int i = 0; i < ctx.num_outputs(); ++i) grads.push_back(ctx.grad(i));
  std::vector<Tensor> given;
  for (const Tensor& t : operands) {
    if (t.defined()) given.push_back(t);
  }
  const std::vector<Tensor> dx = ctx.vjp()(
      [&](const std::vector<Tensor>& xs) {
        std::vector<Tensor> all = operands;
        size_t next = 0;
        for (Tensor& t : all) {
          if (t.defined()) t = xs[next++];
        }
        const TensorList r = compose_recurrent(ctx.raw_attrs(), all);
        return std::vector<Tensor>(r.begin(), r.end());
      },
      given, grads);
  GradResult result;
  size_t next = 0;
  for (const Tensor& t : operands) result.push_back(t.defined() ? dx[next++] : Tensor());
  return result;
}

GradResult grad_recurrent(GradCtx& ctx) {
  if (ctx.grad(kGates).defined() || ctx.grad(kCells).defined() || ctx.has_in(kProjection)) {
    return through_definition(ctx);
  }
  const auto& a = ctx.attrs<RecurrentAttrs>();
  auto optional = [&](int i) { return ctx.has_in(i) ? ctx.in(i) : Tensor(); };
  auto given = [&](int i) {
    return ctx.grad(i).defined() ? cast(ctx.grad(i), ctx.in_meta(kGx).dtype) : Tensor();
  };
  const Tensor in[] = {ctx.out(kY),     ctx.out(kGates), ctx.out(kCells),    ctx.in(kH0),
                       ctx.in(kWeight), optional(kC0),   optional(kLengths), given(kY),
                       given(kH),       given(kC)};
  const TensorList g = call_n(kRecurrentGrad, &a, in);
  const Tensor& dm = a.kind == RecurrentKind::kGru ? g[1] : g[0];
  GradResult result;
  result.resize(ctx.num_inputs());
  result[kGx] = g[0];
  result[kH0] = g[2];
  if (ctx.needs(kWeight)) {
    const bool empty = dm.dim(0) == 0;
    result[kWeight] = empty ? zeros_like(ctx.in(kWeight))
                            : weight_gradient(dm, ctx.out(kY), ctx.in(kH0), a.reverse);
  }
  if (ctx.has_in(kC0)) result[kC0] = g[3];
  if (ctx.has_in(kBias) && ctx.needs(kBias)) result[kBias] = sum(dm, {.axes = {0, 1}});
  return result;
}

double flops(const TensorMeta& y, const TensorMeta& weight, double products) {
  const double steps = static_cast<double>(y.dim(0)) * static_cast<double>(y.dim(1));
  return steps * (2 * products * elements(weight) + 20 * static_cast<double>(weight.dim(0)));
}

}  // namespace

constinit const OpDef kRecurrent = define({
    .name = "recurrent",
    .inputs = {"gx", "h0", "weight", "c0?", "bias?", "lengths?", "projection?"},
    .outputs = {"y", "h", "c", "gates", "cells"},
    .attrs = attrs_of<RecurrentAttrs>(),
    .infer = infer_recurrent,
    .flops = [](const CallMeta& c) { return flops(c.out(kY), c.in(kWeight), 1); },
    .grad = grad_recurrent,
    .saves = {"gx", "h0", "weight", "c0", "bias", "lengths", "projection", "y", "gates", "cells"},
    .compose = compose_recurrent,
    .amp = Amp::kHigh,
    .doc = "A recurrent layer over a sequence of projected inputs: RNN, LSTM or GRU.",
});

constinit const OpDef kRecurrentGrad = define({
    .name = "recurrent_grad",
    .inputs = {"y", "gates", "cells", "h0", "weight", "c0?", "lengths?", "dy?", "dh?", "dc?"},
    .outputs = {"dgx", "dgh", "dh0", "dc0"},
    .attrs = attrs_of<RecurrentAttrs>(),
    .infer = infer_recurrent_grad,
    .flops = [](const CallMeta& c) { return flops(c.in(kInY), c.in(kInWeight), 1); },
    .compose = compose_recurrent_grad,
    .doc = "Gradient of recurrent.",
});

RecurrentResult recurrent(Arg gx, const Tensor& h0, const Tensor& c0, const Tensor& weight,
                          const Tensor& bias, const Tensor& lengths, RecurrentAttrs a,
                          const Tensor& projection) {
  const Tensor in[] = {gx.tensor, h0, weight, c0, bias, lengths, projection};
  Tensor out[5];
  call(kRecurrent, &a, in, out, gx.where);
  return {out[kY], out[kH], a.kind == RecurrentKind::kLstm ? out[kC] : Tensor()};
}

}  // namespace rutile::ops
