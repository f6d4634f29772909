// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/isa/tile_loops.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

// The attribute chooses between two loops, not between two values in one.
template <class T>
void gelu_loop(const void* const* in, void* out, int64_t n, const double* params) {
  const T* a = static_cast<const T*>(in[0]);
  T* y = static_cast<T*>(out);
  if (params[0] != 0) {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) y[i] = FastGelu::tanh(a[i]);
  } else {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) y[i] = FastGelu::erf(a[i]);
  }
}

}  // namespace

void fill_unary(TileTable* t) {
#define RUTILE_UNARY(op, functor)                               \
  {                                                             \
    TileFn(*row)[8] = t->fn[static_cast<int>(Fn::k##functor)];  \
    add_unary<functor<FastMath>, float>(row, TileType::kF32);   \
    add_unary<functor<FastMath>, double>(row, TileType::kF64);  \
    add_unary<functor<FastMath>, int32_t>(row, TileType::kI32); \
    add_unary<functor<FastMath>, int64_t>(row, TileType::kI64); \
    add_unary<functor<FastMath>, bool>(row, TileType::kBool);   \
  }
#define RUTILE_BINARY(op, functor)
#define RUTILE_TERNARY(op, functor)
#include "rutile/ops/elementwise_list.inc"
#undef RUTILE_UNARY
#undef RUTILE_BINARY
#undef RUTILE_TERNARY
  TileFn(*gelu)[8] = t->fn[static_cast<int>(Fn::kGelu)];
  gelu[static_cast<int>(TileType::kF32)][0] = gelu_loop<float>;
  gelu[static_cast<int>(TileType::kF64)][0] = gelu_loop<double>;
}

}  // namespace rutile::kernels::RUTILE_ISA
