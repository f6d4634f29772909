// SPDX-License-Identifier: Apache-2.0
// Between the rows of the reductions and their vector loops, which exist once per instruction set.
// What a loop has gathered for one result is a slot; slots of parts of a reduction merge.
#pragma once

#include <cstdint>

#include "rutile/core/dtype.h"

namespace rutile::kernels {

enum class ReduceKind : uint8_t {
  kSum,
  kProd,
  kMax,
  kMin,
  kArgmax,
  kArgmin,
  kAny,         // slot: is one element nonzero
  kAll,         // slot: is one element zero
  kSquares,     // sum of squares
  kSumNumbers,  // sum of what is not NaN
  kSumExp,      // sum of exp(x - shift)
};

// Slots: double for sums and products of floats, uint64_t for those of integers, int64_t for any
// and all; the type of the comparison (float, double, int64_t) for max and min; this one for the
// rest:
struct ArgSlot {
  union {
    float f;
    double d;
    int64_t i;
  };
  int64_t at;  // -1: nothing yet
};
inline constexpr int64_t kLargestSlot = 16;

struct ReduceKernels {
  int slot_bytes = 0;
  void (*init)(void* slots, int64_t n) = nullptr;
  // Adds to `count` slots what n neighbouring elements each give; their starts are `step` elements
  // apart. `first`: number of the first element, for argmax. `shift`: for kSumExp, one per slot.
  void (*rows)(const void* x, int64_t step, int64_t count, int64_t n, int64_t first,
               const float* shift, void* slots) = nullptr;
  // Adds to n slots of neighbouring columns what `rows` elements each give, `step` apart.
  void (*columns)(const void* x, int64_t step, int64_t rows, int64_t n, int64_t first,
                  const float* shift, void* slots) = nullptr;
  // Adds n slots to n others.
  void (*merge)(void* into, const void* from, int64_t n) = nullptr;
};

// Null functions for a type that has none. `wide`: sums of f32 and lower precision in f64, of
// integers likewise.
#define RUTILE_REDUCE_KERNELS                                      \
  ReduceKernels sum_kernels(ReduceKind kind, DType in, bool wide); \
  ReduceKernels extremum_kernels(ReduceKind kind, DType in);
namespace avx2 {
RUTILE_REDUCE_KERNELS
}
namespace avx512 {
RUTILE_REDUCE_KERNELS
}
#undef RUTILE_REDUCE_KERNELS

}  // namespace rutile::kernels
