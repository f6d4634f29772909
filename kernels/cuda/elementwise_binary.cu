// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/elementwise_kernel.h"

namespace rutile::cuda {

ElementwiseLaunch binary_kernel(ElementwiseOp op, Compute c) {
  switch (op) {
#define RUTILE_UNARY(constant, functor)
#define RUTILE_BINARY(constant, functor)                                              \
  case ElementwiseOp::functor:                                                        \
    if constexpr (!kHeavy<kernels::functor>) return instance<kernels::functor, 2>(c); \
    break;
#define RUTILE_TERNARY(constant, functor) \
  case ElementwiseOp::functor:            \
    return instance<kernels::functor, 3>(c);
#include "rutile/ops/elementwise_list.inc"
    default:
      break;
  }
  return nullptr;
}

}  // namespace rutile::cuda
