// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/grad_util.h"

#include "rutile/ops/elementwise.h"
#include "rutile/ops/reduce.h"

namespace rutile::ops {

Tensor unbroadcast(const Tensor& g, const TensorMeta& to) {
  if (!g.defined()) return g;
  if (g.shape() == to.shape) return cast(g, to.dtype);
  return sum_to_shape(g, to.shape, to.dtype);
}

Tensor wide(const Tensor& x) { return cast(x, wide(x.dtype())); }

DType weak_dtype(DType like, Scalar value) {
  switch (value.kind) {
    case Scalar::Kind::kFloat:
      return is_floating(like) || is_complex(like) ? like : DType::kF32;
    case Scalar::Kind::kInt:
      return like == DType::kBool ? DType::kI64 : like;
    case Scalar::Kind::kBool:
      break;
  }
  return like;
}

Tensor scalar_like(const Tensor& like, Scalar value) {
  return Tensor::scalar(value, weak_dtype(like.dtype(), value));
}

}  // namespace rutile::ops
