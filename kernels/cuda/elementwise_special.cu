// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/elementwise_kernel.h"

namespace rutile::cuda {

ElementwiseLaunch special_kernel(ElementwiseOp op, Compute c) {
  switch (op) {
#define RUTILE_UNARY(constant, functor)                                              \
  case ElementwiseOp::functor:                                                       \
    if constexpr (kHeavy<kernels::functor>) return instance<kernels::functor, 1>(c); \
    break;
#define RUTILE_BINARY(constant, functor)                                             \
  case ElementwiseOp::functor:                                                       \
    if constexpr (kHeavy<kernels::functor>) return instance<kernels::functor, 2>(c); \
    break;
#define RUTILE_TERNARY(constant, functor)
#include "rutile/ops/elementwise_list.inc"
    default:
      break;
  }
  return nullptr;
}

}  // namespace rutile::cuda
