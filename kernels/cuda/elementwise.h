// SPDX-License-Identifier: Apache-2.0
// Elementwise kernels: one per functor and compute type, for all dtypes, strides and broadcasts.
#pragma once

#include "rutile/core/dtype.h"
#include "rutile/kernels/cuda/fault.h"
#include "rutile/kernels/cuda/indexer.h"

namespace rutile::cuda {

// What a functor computes in.
enum class Compute : uint8_t { kFloat, kDouble, kInt, kUnsigned, kBool };
inline constexpr int kComputes = 5;

struct ElementwiseArgs {
  int64_t n = 0;
  int inputs = 1;
  void* out = nullptr;
  const void* in[3] = {};
  DType out_type = DType::kF32;
  DType in_type[3] = {};
  bool linear = false;       // all operands lie in one order without gaps: element i is at i
  bool vectors = false;      // and 16-byte accesses are allowed
  bool single[3] = {};       // (of linear operands) one element for all
  bool checks_zero = false;  // (of integers) report a divisor of zero
  double params[3] = {};
  Indexer<4> index;  // output, inputs
  FaultSlot fault;
};

// By functor, in the order of ops/elementwise_list.inc; then what casts.
enum class ElementwiseOp : int {
#define RUTILE_UNARY(constant, functor) functor,
#define RUTILE_BINARY(constant, functor) functor,
#define RUTILE_TERNARY(constant, functor) functor,
#include "rutile/ops/elementwise_list.inc"
#undef RUTILE_UNARY
#undef RUTILE_BINARY
#undef RUTILE_TERNARY
  Cast,
};

using ElementwiseLaunch = int (*)(const ElementwiseArgs&, Stream);
// Null if the functor is not of that part or does not compute in that type.
ElementwiseLaunch unary_kernel(ElementwiseOp op, Compute c);
ElementwiseLaunch binary_kernel(ElementwiseOp op, Compute c);
ElementwiseLaunch special_kernel(ElementwiseOp op, Compute c);

}  // namespace rutile::cuda
