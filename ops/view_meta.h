// SPDX-License-Identifier: Apache-2.0
// What the views share.
#pragma once

#include "rutile/ops/op_def.h"

namespace rutile::ops {

// x lies so that the view does not exist: call() copies it first.
inline Status no_view(const TensorMeta& x, const char* what) {
  return Status(ErrorCode::kUnsupported,
                cat("x ", x, " has no view ", what, "; make it contiguous first"));
}

inline TensorMeta view_meta(const TensorMeta& x, const Shape& shape, const Strides& strides) {
  TensorMeta m(shape, x.dtype, x.device);
  m.strides = strides;
  return m;
}

}  // namespace rutile::ops
