// SPDX-License-Identifier: Apache-2.0
// What surrounds the updates of optimizers (update.h): assignments to States, loss scaling, norms.
#pragma once

#include <span>
#include <vector>

#include "rutile/ops/call.h"
#include "rutile/ops/update.h"

namespace rutile::ops {

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
