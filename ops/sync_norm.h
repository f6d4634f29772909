// SPDX-License-Identifier: Apache-2.0
// Batch normalisation over the batches of all ranks of a group.
//
//   auto [out, mean, rstd] = ops::sync_batch_norm(x, weight, bias, {.group = "world"});
#pragma once

#include <string>

#include "rutile/ops/call.h"
#include "rutile/ops/norm.h"

namespace rutile::ops {

struct SyncBatchNormAttrs {
  double eps = 1e-5;
  std::string group = "world";
  RUTILE_REFLECT(eps, group)
};
extern RUTILE_API const OpDef kSyncBatchNorm;
// x [n, c, ...], weight and bias [c] or empty: y = (x - mean) * rstd * weight + bias, where mean
// and rstd = 1 / sqrt(var + eps) are those of all ranks' x together; their n may differ. Two
// all_reduce in forward, four in backward. In a group of one the same as batch_norm within
// rounding.
RUTILE_API BatchNormResult sync_batch_norm(Arg x, const Tensor& weight = {},
                                           const Tensor& bias = {}, SyncBatchNormAttrs attrs = {});

}  // namespace rutile::ops
