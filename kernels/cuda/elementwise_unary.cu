// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/elementwise_kernel.h"

namespace rutile::cuda {

namespace {

template <class M>
struct Cast {
  static constexpr kernels::Domain kDomain = kernels::Domain::kReal;
  const double* p = nullptr;
  template <class T>
  RUTILE_FN T operator()(T x) const {
    return x;
  }
};

}  // namespace

ElementwiseLaunch unary_kernel(ElementwiseOp op, Compute c) {
  switch (op) {
#define RUTILE_UNARY(constant, functor)                                               \
  case ElementwiseOp::functor:                                                        \
    if constexpr (!kHeavy<kernels::functor>) return instance<kernels::functor, 1>(c); \
    break;
#define RUTILE_BINARY(constant, functor)
#define RUTILE_TERNARY(constant, functor)
#include "rutile/ops/elementwise_list.inc"
    case ElementwiseOp::Cast:
      return instance<Cast, 1>(c);
    default:
      break;
  }
  return nullptr;
}

}  // namespace rutile::cuda
