// SPDX-License-Identifier: Apache-2.0
// Shape, dtype and placement rules that elementwise ops share.
#pragma once

#include "rutile/ops/op_def.h"

namespace rutile::ops {

// The common broadcast shape of all present inputs, as `dtype`. Placement: the blocked layout or the
// dense strides of the inputs that have the full shape, so that channels-last and blocked tensors
// stay what they are; row-major otherwise. Layouts with padding pass only through zero-preserving ops.
Status infer_broadcast(const CallMeta& c, DType dtype, TensorMeta* out);

// Error kType unless inputs `first` and later have one dtype.
Status check_same_dtype(const CallMeta& c, int first = 0);

}  // namespace rutile::ops
