// SPDX-License-Identifier: Apache-2.0
// The bits of a tensor read as another element type.
//
//   Tensor bits = ops::bitcast(x, DType::kI32);     // f32[4] -> i32[4]
//   Tensor bytes = ops::bitcast(x, DType::kU8);     // f32[3,4] -> u8[3,16], as they lie in memory
#pragma once

#include "rutile/ops/attrs.h"
#include "rutile/ops/call.h"

namespace rutile::ops {

struct BitcastAttrs {
  DType dtype = DType::kF32;
  RUTILE_REFLECT(dtype)
};
// A copy, of any dtype as any dtype. Elements of another size make the last dimension longer or
// shorter: kValue if there is none, or if it is no multiple. As bool, what is not 0 is true. No
// gradient.
extern RUTILE_API const OpDef kBitcast;
RUTILE_API Tensor bitcast(Arg x, DType dtype);

}  // namespace rutile::ops
