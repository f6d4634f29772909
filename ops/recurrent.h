// SPDX-License-Identifier: Apache-2.0
// Recurrent layers over whole sequences, one direction of one layer: what remains when the inputs
// of all steps went through one product, gx = x w_ih^T + b_ih. Gates stand in PyTorch's order:
//
// - rnn: h' = tanh(gx + w h + b), or relu
// - lstm: i, f, g, o = gx + w h + b; c' = sigmoid(f) c + sigmoid(i) tanh(g); h' = sigmoid(o)
// tanh(c')
//   with a projection w_p (Sak et al., 2014) h' is w_p times that
// - gru: r, z = sigmoid(gx + w h + b); n = tanh(gx_n + r (w_n h + b_n)); h' = (1 - z) n + z h
// (Hochreiter and Schmidhuber, 1997; Cho et al., 2014, as cuDNN has it.)
//
//   Tensor w_ih = ops::zeros({16, 3}), w_hh = ops::zeros({16, 4}), h0 = ops::zeros({2, 4});
//   Tensor gx = ops::linear(ops::zeros({5, 2, 3}), w_ih);   // [t, n, 4 h]
//   auto r = ops::lstm(gx, h0, h0, w_hh);                   // r.y [5, 2, 4], r.h, r.c [2, 4]
#pragma once

#include "rutile/ops/attrs.h"
#include "rutile/ops/call.h"

namespace rutile {

enum class RecurrentKind : uint8_t { kTanh, kRelu, kLstm, kGru };
template <>
struct EnumNames<RecurrentKind> {
  static constexpr const char* value[] = {"rnn_tanh", "rnn_relu", "lstm", "gru"};
};

}  // namespace rutile

namespace rutile::ops {

struct RecurrentAttrs {
  RecurrentKind kind = RecurrentKind::kTanh;
  bool reverse = false;  // from the last step to the first
  RUTILE_REFLECT(kind, reverse)
};

struct RecurrentResult {
  Tensor y;  // h of each step, [t, n, h] or [t, n, p]
  Tensor h;  // of the last step
  Tensor c;  // lstm: of the last step
};

// gx [t, n, gates * h], h0 [n, h], weight [gates * h, h], c0 [n, h] for lstm, bias [gates * h] or
// none; with a projection [p, h] (lstm alone) h0 [n, p] and weight [gates * h, p]. All f32 or f64
// (mixed precision runs it in f32). lengths [n], i64: sequence i has that many steps; at later ones
// its state stands still (in reverse: it starts there). Gives y, h, c, and what backward reads: the
// activated gates and c of each step (gru: w_n h + b_n). What a kind has not has no elements.
extern RUTILE_API const OpDef kRecurrent;
// dgx, dgh (gru: the gradient of w h + b where it is not dgx), dh0, dc0.
extern RUTILE_API const OpDef kRecurrentGrad;

RUTILE_API RecurrentResult recurrent(Arg gx, const Tensor& h0, const Tensor& c0,
                                     const Tensor& weight, const Tensor& bias,
                                     const Tensor& lengths, RecurrentAttrs a,
                                     const Tensor& projection = {});
inline RecurrentResult lstm(Arg gx, const Tensor& h0, const Tensor& c0, const Tensor& weight,
                            const Tensor& bias = {}, const Tensor& lengths = {},
                            bool reverse = false) {
  return recurrent(gx, h0, c0, weight, bias, lengths, {RecurrentKind::kLstm, reverse});
}
inline RecurrentResult gru(Arg gx, const Tensor& h0, const Tensor& weight, const Tensor& bias = {},
                           const Tensor& lengths = {}, bool reverse = false) {
  return recurrent(gx, h0, {}, weight, bias, lengths, {RecurrentKind::kGru, reverse});
}

// Of a kind: 4 for lstm, 3 for gru, else 1.
constexpr int64_t gates_of(RecurrentKind k) {
  return k == RecurrentKind::kLstm ? 4 : k == RecurrentKind::kGru ? 3 : 1;
}

}  // namespace rutile::ops
