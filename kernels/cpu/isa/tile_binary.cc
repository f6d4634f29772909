// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/isa/tile_loops.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

template <class T>
void gelu_grad_loop(const void* const* in, void* out, int64_t n, const double* params) {
  const T* a = static_cast<const T*>(in[0]);
  const T* b = static_cast<const T*>(in[1]);
  T* y = static_cast<T*>(out);
  if (params[0] != 0) {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) y[i] = FastGelu::tanh_grad(a[i], b[i]);
  } else {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) y[i] = FastGelu::erf_grad(a[i], b[i]);
  }
}

// Division by zero is an error that only the reference kernel looks for.
void drop_integers(TileFn (*row)[8]) {
  for (const TileType t : {TileType::kI32, TileType::kI64}) {
    for (TileFn& f : row[static_cast<int>(t)]) f = nullptr;
  }
}

}  // namespace

void fill_binary(TileTable* t) {
#define RUTILE_UNARY(op, functor)
#define RUTILE_BINARY(op, functor)                               \
  {                                                              \
    TileFn(*row)[8] = t->fn[static_cast<int>(Fn::k##functor)];   \
    add_binary<functor<FastMath>, float>(row, TileType::kF32);   \
    add_binary<functor<FastMath>, double>(row, TileType::kF64);  \
    add_binary<functor<FastMath>, int32_t>(row, TileType::kI32); \
    add_binary<functor<FastMath>, int64_t>(row, TileType::kI64); \
    add_binary<functor<FastMath>, bool>(row, TileType::kBool);   \
  }
#define RUTILE_TERNARY(op, functor)
#include "rutile/ops/elementwise_list.inc"
#undef RUTILE_UNARY
#undef RUTILE_BINARY
#undef RUTILE_TERNARY
  TileFn(*where)[8] = t->fn[static_cast<int>(Fn::kWhere)];
  add_where<float>(where, TileType::kF32);
  add_where<double>(where, TileType::kF64);
  add_where<int32_t>(where, TileType::kI32);
  add_where<int64_t>(where, TileType::kI64);
  add_where<bool>(where, TileType::kBool);
  TileFn(*gelu)[8] = t->fn[static_cast<int>(Fn::kGeluGrad)];
  gelu[static_cast<int>(TileType::kF32)][0] = gelu_grad_loop<float>;
  gelu[static_cast<int>(TileType::kF64)][0] = gelu_grad_loop<double>;
  drop_integers(t->fn[static_cast<int>(Fn::kFloorDiv)]);
  drop_integers(t->fn[static_cast<int>(Fn::kRemainder)]);
  drop_integers(t->fn[static_cast<int>(Fn::kTruncDiv)]);
  drop_integers(t->fn[static_cast<int>(Fn::kFmod)]);
}

}  // namespace rutile::kernels::RUTILE_ISA
