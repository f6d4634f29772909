// SPDX-License-Identifier: Apache-2.0
// Batch normalisation (Ioffe and Szegedy, "Batch normalization", 2015). x [n, c, ...] of rank 2 to
// 5, statistics over all dimensions but the second; y = (x - mean) * rstd * weight + bias with rstd
// = 1 / sqrt(var + eps) and the biased variance. x may be f16, bf16, f32 or f64; statistics, weight
// and bias are f32 (f64 for f64 x).
//
//   auto [y, mean, rstd] = ops::batch_norm(x, weight, bias);
//   ops::batch_norm_update_stats(running_mean, running_var, mean, rstd,
//                                {.momentum = 0.1, .count = n * h * w});
#pragma once

#include "rutile/ops/call.h"
#include "rutile/ops/state.h"

namespace rutile::ops {

struct BatchNormAttrs {
  double eps = 1e-5;
  RUTILE_REFLECT(eps)
};
struct BatchNormResult {
  Tensor y;     // as x
  Tensor mean;  // [c]
  Tensor rstd;  // [c]
};

extern RUTILE_API const OpDef kBatchNorm, kBatchNormRelu, kBatchNormAddRelu;
// weight and bias [c] may be empty: ones and zeros. Pure: running statistics are a separate op.
RUTILE_API BatchNormResult batch_norm(Arg x, const Tensor& weight = {}, const Tensor& bias = {},
                                      BatchNormAttrs attrs = {});
// relu(batch_norm(x)) in one kernel.
RUTILE_API BatchNormResult batch_norm_relu(Arg x, const Tensor& weight = {},
                                           const Tensor& bias = {}, BatchNormAttrs attrs = {});
// relu(batch_norm(x) + residual) in one kernel; residual as x.
RUTILE_API BatchNormResult batch_norm_add_relu(Arg x, const Tensor& residual,
                                               const Tensor& weight = {}, const Tensor& bias = {},
                                               BatchNormAttrs attrs = {});

// Gradients: dx as x, dweight and dbias [c].
// - batch_norm_grad(dy, x, mean, rstd, weight?)
// - batch_norm_relu_grad(dy, x, mean, rstd, weight?, bias?): the ReLU's mask is computed again
// - batch_norm_add_relu_grad(dy, x, y, mean, rstd, weight?, dy2?): also the residual's gradient;
//   y's own is dy, or dy + dy2
extern RUTILE_API const OpDef kBatchNormGrad, kBatchNormReluGrad, kBatchNormAddReluGrad;

// y = (x - mean) / sqrt(var + eps) * weight + bias with given statistics [c].
extern RUTILE_API const OpDef kBatchNormInference;
RUTILE_API Tensor batch_norm_inference(Arg x, const Tensor& mean, const Tensor& var,
                                       const Tensor& weight = {}, const Tensor& bias = {},
                                       BatchNormAttrs attrs = {});

struct BatchNormApplyAttrs {
  bool relu = false;
  RUTILE_REFLECT(relu)
};
// y = (x - mean) * rstd * weight + bias (+ residual), behind a ReLU if asked, from the statistics
// that batch_norm gave: the same bits as its y. The remat pass rebuilds y with it.
extern RUTILE_API const OpDef kBatchNormApply;

struct BatchNormStatsAttrs {
  double momentum = 0.1;  // weight of the new value
  double eps = 1e-5;      // that rstd was made with
  int64_t count = 0;      // elements that each statistic is over: n * h * w
  RUTILE_REFLECT(momentum, eps, count)
};
extern RUTILE_API const OpDef kBatchNormUpdateStats;
// running = (1 - momentum) * running + momentum * batch, in place; the variance goes in unbiased
// (times count / (count - 1)), as PyTorch does it.
RUTILE_API void batch_norm_update_stats(State& running_mean, State& running_var, const Tensor& mean,
                                        const Tensor& rstd, BatchNormStatsAttrs attrs);

}  // namespace rutile::ops
