// SPDX-License-Identifier: Apache-2.0
// What the definitions of losses share.
#pragma once

#include "rutile/ops/attrs.h"
#include "rutile/ops/call.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/op_def.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/view.h"

namespace rutile::ops {

// Mean or sum of the elements, or row-major as loss_meta() says.
inline Tensor reduce_loss(const Tensor& loss, Reduction reduction) {
  if (reduction == Reduction::kMean) return mean(loss);
  return reduction == Reduction::kSum ? sum(loss) : contiguous(loss);
}

// Meta of a loss that has `shape` before the reduction, from inputs of `dtype`.
inline TensorMeta loss_meta(const Shape& shape, DType dtype, Device device, Reduction reduction) {
  return TensorMeta(reduction == Reduction::kNone ? shape : Shape(), wide(dtype), device);
}

inline Status check_float(const char* name, const TensorMeta& m) {
  if (is_floating(m.dtype)) return Status();
  return type_error(cat(name, " expects a floating dtype, got ", m.dtype));
}

inline Status check_shape(const char* name, const TensorMeta& m, const Shape& wanted) {
  if (m.shape == wanted) return Status();
  return value_error(cat(name, " expects shape ", wanted, ", got ", m.shape));
}

inline Status check_labels(const char* name, const TensorMeta& m) {
  if (m.dtype == DType::kI32 || m.dtype == DType::kI64) return Status();
  return type_error(cat(name, " expects i32 or i64, got ", m.dtype));
}

inline Status check_positive(const char* name, double v) {
  if (v > 0) return Status();
  return value_error(cat(name, " expects a positive number, got ", v));
}

// Optional input i broadcasts to `shape`.
Status check_weight(const CallMeta& c, int i, const Shape& shape);

// The axis of the classes in [n,c,..] or [c], and the shape without it.
constexpr int class_axis(int rank) { return rank == 1 ? 0 : 1; }
Shape without_classes(const Shape& logits);
// [c] as [1,c,1,..]: along the classes of a tensor of this rank.
Tensor along_classes(const Tensor& weight, int rank);

}  // namespace rutile::ops
