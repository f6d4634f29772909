// SPDX-License-Identifier: Apache-2.0
// Normalisation over groups of channels (Wu and He, "Group normalization", 2018), over single
// channels (Ulyanov et al., "Instance normalization", 2016), and by neighbouring channels
// (Krizhevsky et al., 2012).
//
//   Tensor y = ops::group_norm(x, weight, bias, {.num_groups = 8});   // x f32[4,64,28,28]
//
// x [n, c, ...] floating; statistics are f32 (f64 for f64). weight and bias [c] may be absent;
// beside x in low precision they may be f32. y has x's dtype, the gradients of weight and bias that
// of the statistics. Channels-last stays so.
#pragma once

#include "rutile/ops/call.h"
#include "rutile/ops/state.h"

namespace rutile::ops {

struct GroupNormAttrs {
  int64_t num_groups = 1;
  double eps = 1e-5;  // added to the variance
  RUTILE_REFLECT(num_groups, eps)
};
struct GroupNormResult {
  Tensor y;
  Tensor mean, rstd;  // [n, groups]
};
// y = (x - mean) * rstd * weight + bias with mean and rstd = 1 / sqrt(var + eps) of each image's
// groups of c / num_groups channels. kValue where num_groups does not divide c.
extern RUTILE_API const OpDef kGroupNorm;
RUTILE_API Tensor group_norm(Arg x, const Tensor& weight = {}, const Tensor& bias = {},
                             GroupNormAttrs attrs = {});
RUTILE_API GroupNormResult group_norm_with_stats(Arg x, const Tensor& weight = {},
                                                 const Tensor& bias = {},
                                                 GroupNormAttrs attrs = {});
// (dx, dweight, dbias) from dy, x, mean, rstd and weight; the last two also without a weight.
extern RUTILE_API const OpDef kGroupNormGrad;

struct InstanceNormAttrs {
  double eps = 1e-5;
  RUTILE_REFLECT(eps)
};
// group_norm of x [n, c, l, ...] with a group per channel; mean and rstd are [n, c].
extern RUTILE_API const OpDef kInstanceNorm;
RUTILE_API Tensor instance_norm(Arg x, const Tensor& weight = {}, const Tensor& bias = {},
                                InstanceNormAttrs attrs = {});
RUTILE_API GroupNormResult instance_norm_with_stats(Arg x, const Tensor& weight = {},
                                                    const Tensor& bias = {},
                                                    InstanceNormAttrs attrs = {});
// Running statistics [c] from those of instance_norm_with_stats: their mean over the batch goes in
// with weight `momentum`, the variance unbiased; `pixels` is how many elements each is over.
RUTILE_API void instance_norm_update_stats(State& running_mean, State& running_var,
                                           const Tensor& mean, const Tensor& rstd, int64_t pixels,
                                           double momentum = 0.1, double eps = 1e-5);

struct LocalResponseNormAttrs {
  int64_t size = 5;  // channels of a window, the channel in its middle
  double alpha = 1e-4;
  double beta = 0.75;
  double k = 1;
  RUTILE_REFLECT(size, alpha, beta, k)
};
// x / (k + alpha * mean of x^2 over the window)^beta; channels that do not exist count as zeros.
// x [n, c, l] and up to three spatial dimensions.
extern RUTILE_API const OpDef kLocalResponseNorm;
RUTILE_API Tensor local_response_norm(Arg x, LocalResponseNormAttrs attrs = {});

}  // namespace rutile::ops
