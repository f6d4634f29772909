// SPDX-License-Identifier: Apache-2.0
// Updates of optimizers, in place on States (State::update). Definitions as PyTorch's.
//
//   AdamAttrs a{.weight_decay = 0.05};
//   State* states[] = {p, m, v};
//   Tensor rest[] = {step, grad, lr};
//   State::update(kAdamW, &a, states, rest);
//
// param, its slots and the arithmetic are f32 or f64; grad has the shape of param and its dtype, or
// is bf16 or f16. lr is a floating 0-d tensor, step a 0-d tensor (f32, f64, i32, i64) that counts
// from 1. Where the optional `skip` (0-d bool) is true nothing changes.
#pragma once

#include <span>
#include <vector>

#include "rutile/ops/call.h"

namespace rutile::ops {

struct SgdAttrs {
  double weight_decay = 0;  // L2: added to the gradient
  double lr_scale = 1;      // times lr
  RUTILE_REFLECT(weight_decay, lr_scale)
};
// (param, grad, lr, skip?) -> param: p -= lr (g + weight_decay p)
extern RUTILE_API const OpDef kSgd;

struct MomentumAttrs {
  double momentum = 0.9, dampening = 0;
  bool nesterov = false;
  double weight_decay = 0;
  double lr_scale = 1;
  RUTILE_REFLECT(momentum, dampening, nesterov, weight_decay, lr_scale)
};
// (param, velocity, grad, lr, step?, skip?) -> (param, velocity): with g += weight_decay p,
// v = momentum v + (1 - dampening) g, p -= lr v, or with nesterov p -= lr (g + momentum v).
// v starts at zero; the first step takes g whole, so dampening needs `step`.
extern RUTILE_API const OpDef kMomentum;

struct AdamAttrs {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0;
  double lr_scale = 1;
  RUTILE_REFLECT(beta1, beta2, eps, weight_decay, lr_scale)
};
// (param, m, v, step, grad, lr, skip?) -> (param, m, v): m = beta1 m + (1 - beta1) g,
// v = beta2 v + (1 - beta2) g^2, p -= lr m' / (sqrt(v') + eps), m' = m / (1 - beta1^step),
// v' = v / (1 - beta2^step). Weight decay: adam adds weight_decay p to g (Kingma and Ba, 2015),
// adamw multiplies p by 1 - lr weight_decay first (Loshchilov and Hutter, 2019).
extern RUTILE_API const OpDef kAdam;
extern RUTILE_API const OpDef kAdamW;

// The same for `count` parameters in one kernel. `tensors` are all params, then each slot of all,
// then all grads: for adamw p0 .. pn, m0 .. mn, v0 .. vn, g0 .. gn. Outputs are the new params and
// slots in this order; those inputs change in place, the grads do not.
struct SgdMultiAttrs {
  int64_t count = 0;
  double weight_decay = 0;
  double lr_scale = 1;
  RUTILE_REFLECT(count, weight_decay, lr_scale)
};
extern RUTILE_API const OpDef kSgdMulti;  // (lr, skip?, tensors*)

struct MomentumMultiAttrs {
  int64_t count = 0;
  double momentum = 0.9, dampening = 0;
  bool nesterov = false;
  double weight_decay = 0;
  double lr_scale = 1;
  RUTILE_REFLECT(count, momentum, dampening, nesterov, weight_decay, lr_scale)
};
extern RUTILE_API const OpDef kMomentumMulti;  // (lr, step?, skip?, tensors*)

struct AdamMultiAttrs {
  int64_t count = 0;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0;
  double lr_scale = 1;
  RUTILE_REFLECT(count, beta1, beta2, eps, weight_decay, lr_scale)
};
extern RUTILE_API const OpDef kAdamMulti;   // (lr, step, skip?, tensors*)
extern RUTILE_API const OpDef kAdamWMulti;  // the same

// (state, value) -> state: the value, or state + value; same shape and dtype.
extern RUTILE_API const OpDef kAssign;
extern RUTILE_API const OpDef kAssignAdd;

// ---- Loss scaling (Micikevicius et al., "Mixed precision training", 2018)
// -------------------------

// (scale, grads*) -> (overflow, outs*): grads / scale (f32 for low precision), and whether any
// element is inf or NaN, as a 0-d bool.
extern RUTILE_API const OpDef kUnscaleAndCheck;
struct Unscaled {
  Tensor overflow;
  std::vector<Tensor> grads;
};
RUTILE_API Unscaled unscale_and_check(std::span<const Tensor> grads, Arg scale);

struct LossScaleAttrs {
  double growth = 2, backoff = 0.5;
  int64_t interval = 2000;  // good steps before the scale grows
  RUTILE_REFLECT(growth, backoff, interval)
};
// (scale, good_steps, overflow) -> (scale, good_steps): scale f32 0-d, good_steps i64 0-d.
extern RUTILE_API const OpDef kUpdateLossScale;

// ---- Norms of gradients
// ---------------------------------------------------------------------------

// 2-norm of all elements of all tensors, 0-d; f32, or f64 if a tensor is f64.
extern RUTILE_API const OpDef kGlobalNorm;
RUTILE_API Tensor global_norm(std::span<const Tensor> xs);
struct Clipped {
  std::vector<Tensor> tensors;
  Tensor norm;  // before
};
// Multiplies all tensors by min(1, max_norm / (norm + 1e-6)).
RUTILE_API Clipped clip_by_global_norm(std::span<const Tensor> xs, double max_norm);

}  // namespace rutile::ops
