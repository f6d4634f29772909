// SPDX-License-Identifier: Apache-2.0
// Normalisation over the last dimensions: layer norm (Ba, Kiros, Hinton 2016, arXiv 1607.06450) and
// RMS norm (Zhang, Sennrich 2019, arXiv 1910.07467).
//
//   Tensor y = layer_norm(x, weight, bias);             // x [b,t,d], weight and bias [d]
//   LayerNormResult r = layer_norm_with_stats(x, weight, bias, {.axes = 2});
//
// x floating; statistics are f32 (f64 for f64). weight and bias have the shape of the last `axes`
// dimensions of x; beside x in low precision they may be f32. y has the dtype of x; the gradients
// of weight and bias have the dtype of the statistics.
#pragma once

#include "rutile/ops/call.h"

namespace rutile::ops {

struct LayerNormAttrs {
  int64_t axes = 1;   // how many of the last dimensions form a row
  double eps = 1e-5;  // added to the variance
  RUTILE_REFLECT(axes, eps)
};

struct LayerNormResult {
  Tensor y;
  Tensor mean, rstd;  // per row: the shape of x without the last `axes` dimensions
};

// y = (x - mean) * rstd * weight + bias, rstd = 1 / sqrt(var + eps); weight and bias may be absent.
extern RUTILE_API const OpDef kLayerNorm;
RUTILE_API Tensor layer_norm(Arg x, const Tensor& weight = {}, const Tensor& bias = {},
                             LayerNormAttrs a = {});
RUTILE_API LayerNormResult layer_norm_with_stats(Arg x, const Tensor& weight = {},
                                                 const Tensor& bias = {}, LayerNormAttrs a = {});
// (dx, dweight, dbias) in one pass; the last two also without a weight.
extern RUTILE_API const OpDef kLayerNormGrad;

// y = x * rstd * weight, rstd = 1 / sqrt(mean(x^2) + eps).
extern RUTILE_API const OpDef kRmsNorm;
RUTILE_API Tensor rms_norm(Arg x, const Tensor& weight = {}, LayerNormAttrs a = {});
extern RUTILE_API const OpDef kRmsNormGrad;

}  // namespace rutile::ops
