// SPDX-License-Identifier: Apache-2.0
// Softmax and its logarithm along an axis, for floating dtypes; low precision computes in f32.
#pragma once

#include "rutile/ops/call.h"

namespace rutile::ops {

struct SoftmaxAttrs {
  int64_t axis = -1;
  RUTILE_REFLECT(axis)
};

// exp(x - max) / sum(exp(x - max)) along the axis; same shape and dtype. Rows of -inf give NaN.
extern RUTILE_API const OpDef kSoftmax;
RUTILE_API Tensor softmax(Arg x, int64_t axis = -1);
// x - max - log(sum(exp(x - max))).
extern RUTILE_API const OpDef kLogSoftmax;
RUTILE_API Tensor log_softmax(Arg x, int64_t axis = -1);

// Gradients from the result y: y * (grad - sum(grad * y)), and grad - exp(y) * sum(grad).
extern RUTILE_API const OpDef kSoftmaxGrad;
extern RUTILE_API const OpDef kLogSoftmaxGrad;

}  // namespace rutile::ops
