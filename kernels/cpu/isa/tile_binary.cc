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

// fmod of finite numbers with |x / y| < 2^28: the quotient is exact to a unit in double, and so is
// what it leaves.
struct RatioMath : FastMath {
  using FastMath::fmod;
  RUTILE_FN static float fmod(float x, float y) {
    const double a = x, b = y, size = __builtin_fabs(b);
    double rest = __builtin_fma(-__builtin_trunc(a / b), b, a);
    // One quotient too many leaves the other sign, one too few a whole divisor.
    rest += ((rest < 0) != (a < 0)) & (rest != 0) ? (a < 0 ? -size : size) : 0.0;
    rest -= __builtin_fabs(rest) >= size ? (a < 0 ? -size : size) : 0.0;
    return __builtin_copysignf(static_cast<float>(rest), x);
  }
};

// A block at a time; one with other quotients goes to libm.
template <template <class> class F, int kMask>
void ratio_loop(const void* const* in, void* out, int64_t n, const double* params) {
  constexpr int64_t kBlock = 64;
  const F<RatioMath> fast{params};
  const F<FastMath> any{params};
  const float* a = static_cast<const float*>(in[0]);
  const float* b = static_cast<const float*>(in[1]);
  const float a0 = kMask & 1 ? a[0] : 0.0f, b0 = kMask & 2 ? b[0] : 0.0f;
  float* y = static_cast<float*>(out);
  for (int64_t i = 0; i < n; i += kBlock) {
    const int64_t end = i + kBlock < n ? i + kBlock : n;
    int far = 0;
    for (int64_t k = i; k < end; ++k) {
      const float u = kMask & 1 ? a0 : a[k], v = kMask & 2 ? b0 : b[k];
      far |= !(__builtin_fabs(static_cast<double>(u)) <
               0x1p28 * __builtin_fabs(static_cast<double>(v))) |
             !(__builtin_fabsf(v) <= 3.40282347e38f);
    }
    if (far) {
      for (int64_t k = i; k < end; ++k) y[k] = any(kMask & 1 ? a0 : a[k], kMask & 2 ? b0 : b[k]);
    } else {
#pragma GCC ivdep
      for (int64_t k = i; k < end; ++k) y[k] = fast(kMask & 1 ? a0 : a[k], kMask & 2 ? b0 : b[k]);
    }
  }
}

template <template <class> class F>
void add_ratio(TileTable* t, Fn fn) {
  TileFn* row = t->fn[static_cast<int>(fn)][static_cast<int>(TileType::kF32)];
  row[0] = ratio_loop<F, 0>;
  row[1] = ratio_loop<F, 1>;
  row[2] = ratio_loop<F, 2>;
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
  TileFn(*lerp)[8] = t->fn[static_cast<int>(Fn::kLerp)];
  add_ternary<Lerp<FastMath>, float>(lerp, TileType::kF32);
  add_ternary<Lerp<FastMath>, double>(lerp, TileType::kF64);
  TileFn(*gelu)[8] = t->fn[static_cast<int>(Fn::kGeluGrad)];
  gelu[static_cast<int>(TileType::kF32)][0] = gelu_grad_loop<float>;
  gelu[static_cast<int>(TileType::kF64)][0] = gelu_grad_loop<double>;
  add_ratio<FloorDiv>(t, Fn::kFloorDiv);
  add_ratio<Remainder>(t, Fn::kRemainder);
  add_ratio<Fmod>(t, Fn::kFmod);
  drop_integers(t->fn[static_cast<int>(Fn::kFloorDiv)]);
  drop_integers(t->fn[static_cast<int>(Fn::kRemainder)]);
  drop_integers(t->fn[static_cast<int>(Fn::kTruncDiv)]);
  drop_integers(t->fn[static_cast<int>(Fn::kFmod)]);
}

}  // namespace rutile::kernels::RUTILE_ISA
