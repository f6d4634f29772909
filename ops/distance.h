// SPDX-License-Identifier: Apache-2.0
// Vectors of length one, angles and distances between vectors along an axis.
//
//   Tensor u = ops::normalize(x, {.axis = -1});               // f32[8,64], each row of length 1
//   Tensor c = ops::cosine_similarity(x, u, {.axis = -1});    // f32[8], all ones
//
// Floating dtypes; two operands broadcast and are promoted. Low precision is computed in f32. A
// wrong axis is kIndex, a negative p kValue.
#pragma once

#include "rutile/ops/call.h"

namespace rutile::ops {

struct NormalizeAttrs {
  double p = 2;  // of the norm: 0 (how many are not 0) to infinity (the largest)
  int64_t axis = 1;
  double eps = 1e-12;
  RUTILE_REFLECT(p, axis, eps)
};
// x / max(norm of x along the axis, eps).
extern RUTILE_API const OpDef kNormalize;
RUTILE_API Tensor normalize(Arg x, NormalizeAttrs attrs = {});

struct CosineSimilarityAttrs {
  int64_t axis = 1;
  double eps = 1e-8;
  RUTILE_REFLECT(axis, eps)
};
// sum(x y) / (max(|x|, eps) max(|y|, eps)) along an axis of the broadcast shape, which disappears.
extern RUTILE_API const OpDef kCosineSimilarity;
RUTILE_API Tensor cosine_similarity(Arg x, Arg y, CosineSimilarityAttrs attrs = {});

struct PairwiseDistanceAttrs {
  double p = 2;
  double eps = 1e-6;  // added to every difference
  bool keepdims = false;
  RUTILE_REFLECT(p, eps, keepdims)
};
// Norm of x - y + eps along the last axis.
extern RUTILE_API const OpDef kPairwiseDistance;
RUTILE_API Tensor pairwise_distance(Arg x, Arg y, PairwiseDistanceAttrs attrs = {});

}  // namespace rutile::ops
