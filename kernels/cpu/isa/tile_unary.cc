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

// Arguments of more than some million turns, infinities and NaN go to libm, a block at a time.
template <float (*kFast)(float), float (*kAny)(float)>
void turned_loop(const void* const* in, void* out, int64_t n, const double*) {
  constexpr int64_t kBlock = 64;
  const float* a = static_cast<const float*>(in[0]);
  float* y = static_cast<float*>(out);
  for (int64_t i = 0; i < n; i += kBlock) {
    const int64_t end = i + kBlock < n ? i + kBlock : n;
    int far = 0;
    for (int64_t k = i; k < end; ++k) far |= !(__builtin_fabsf(a[k]) <= kMostTurned);
    if (far) {
      for (int64_t k = i; k < end; ++k) y[k] = kAny(a[k]);
    } else {
#pragma GCC ivdep
      for (int64_t k = i; k < end; ++k) y[k] = kFast(a[k]);
    }
  }
}

template <float (*kFast)(float), float (*kAny)(float)>
void add_turned(TileTable* t, Fn fn) {
  t->fn[static_cast<int>(fn)][static_cast<int>(TileType::kF32)][0] = turned_loop<kFast, kAny>;
}

template <float (*kFn)(float)>
void f32_loop(const void* const* in, void* out, int64_t n, const double*) {
  const float* a = static_cast<const float*>(in[0]);
  float* y = static_cast<float*>(out);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) y[i] = kFn(a[i]);
}
template <float (*kFn)(float)>
void add_f32(TileTable* t, Fn fn) {
  t->fn[static_cast<int>(fn)][static_cast<int>(TileType::kF32)][0] = f32_loop<kFn>;
}

// The compiler makes no vectors of !x of bools.
void not_loop(const void* const* in, void* out, int64_t n, const double*) {
  const uint8_t* a = static_cast<const uint8_t*>(in[0]);
  uint8_t* y = static_cast<uint8_t*>(out);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) y[i] = a[i] == 0;
}

void polygamma_loop(const void* const* in, void* out, int64_t n, const double* params) {
  if (params[0] == 0) return f32_loop<digamma_f32>(in, out, n, params);
  if (params[0] == 1) return f32_loop<trigamma_f32>(in, out, n, params);
  unary_loop<Polygamma<FastMath>, float>(in, out, n, params);
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
  add_turned<sin_f32, FastMath::sin>(t, Fn::kSin);
  add_turned<cos_f32, FastMath::cos>(t, Fn::kCos);
  add_turned<tan_f32, FastMath::tan>(t, Fn::kTan);
  add_f32<lgamma_f32>(t, Fn::kLgamma);
  add_f32<digamma_f32>(t, Fn::kDigamma);
  add_f32<erfinv_f32>(t, Fn::kErfinv);
  add_f32<i0_f32>(t, Fn::kI0);
  add_f32<i1_f32>(t, Fn::kI1);
  const int f32 = static_cast<int>(TileType::kF32);
  t->fn[static_cast<int>(Fn::kPolygamma)][f32][0] = polygamma_loop;
  for (const Fn fn : {Fn::kLogicalNot, Fn::kBitwiseNot}) {
    t->fn[static_cast<int>(fn)][static_cast<int>(TileType::kBool)][0] = not_loop;
  }
  TileFn(*gelu)[8] = t->fn[static_cast<int>(Fn::kGelu)];
  gelu[static_cast<int>(TileType::kF32)][0] = gelu_loop<float>;
  gelu[static_cast<int>(TileType::kF64)][0] = gelu_loop<double>;
}

}  // namespace rutile::kernels::RUTILE_ISA
