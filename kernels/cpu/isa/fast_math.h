// SPDX-License-Identifier: Apache-2.0
// Transcendental functions for f32 without branches or tables, so that loops over them vectorise.
// Errors are below 2 ulp (tanh, log1p, expm1, asin below 3, tan, sinh, cosh, asinh, acosh, atanh,
// atan2 below 4); infinities, NaN, zeros and subnormal numbers come out as from libm. What is not
// here goes to libm, as does all of f64.
#pragma once

#include "rutile/kernels/cpu/isa/fast_exp.h"
#include "rutile/kernels/cpu/isa/fast_power.h"
#include "rutile/kernels/cpu/isa/fast_special.h"
#include "rutile/kernels/cpu/isa/fast_trig.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

struct FastMath {
#define RUTILE_VECTORISED(name)                                  \
  RUTILE_FN static float name(float x) { return name##_f32(x); } \
  RUTILE_FN static double name(double x) { return __builtin_##name(x); }
#define RUTILE_LIBM(name)                                                 \
  RUTILE_FN static float name(float x) { return __builtin_##name##f(x); } \
  RUTILE_FN static double name(double x) { return __builtin_##name(x); }
  RUTILE_VECTORISED(exp)
  RUTILE_VECTORISED(exp2)
  RUTILE_VECTORISED(expm1)
  RUTILE_VECTORISED(log)
  RUTILE_VECTORISED(log2)
  RUTILE_VECTORISED(log1p)
  RUTILE_VECTORISED(tanh)
  RUTILE_VECTORISED(erf)
  RUTILE_VECTORISED(log10)
  RUTILE_LIBM(cbrt)
  RUTILE_LIBM(sqrt)
  // Of any argument; tile_unary.cc has loops of their own over them.
  RUTILE_LIBM(sin)
  RUTILE_LIBM(cos)
  RUTILE_LIBM(tan)
  RUTILE_VECTORISED(asin)
  RUTILE_VECTORISED(acos)
  RUTILE_VECTORISED(atan)
  RUTILE_VECTORISED(sinh)
  RUTILE_VECTORISED(cosh)
  RUTILE_VECTORISED(asinh)
  RUTILE_VECTORISED(acosh)
  RUTILE_VECTORISED(atanh)
  RUTILE_VECTORISED(erfc)
  RUTILE_LIBM(floor)
  RUTILE_LIBM(ceil)
  RUTILE_LIBM(trunc)
#undef RUTILE_VECTORISED
#undef RUTILE_LIBM
  RUTILE_FN static float round(float x) { return __builtin_rintf(x); }
  RUTILE_FN static double round(double x) { return __builtin_rint(x); }
  RUTILE_FN static float pow(float x, float y) { return pow_f32(x, y); }
  RUTILE_FN static double pow(double x, double y) { return __builtin_pow(x, y); }
  RUTILE_FN static float fmod(float x, float y) { return __builtin_fmodf(x, y); }
  RUTILE_FN static double fmod(double x, double y) { return __builtin_fmod(x, y); }
  RUTILE_FN static float atan2(float y, float x) { return atan2_f32(y, x); }
  RUTILE_FN static double atan2(double y, double x) { return __builtin_atan2(y, x); }
  RUTILE_FN static float hypot(float x, float y) { return hypot_f32(x, y); }
  RUTILE_FN static double hypot(double x, double y) { return __builtin_hypot(x, y); }
  RUTILE_FN static float nextafter(float x, float y) { return nextafter_f32(x, y); }
  RUTILE_FN static double nextafter(double x, double y) { return __builtin_nextafter(x, y); }
};

// The four loops of GELU; f64 as the functors have it.
struct FastGelu {
  RUTILE_FN static float erf(float x) { return gelu_erf_f32(x); }
  RUTILE_FN static float tanh(float x) { return gelu_tanh_f32(x); }
  RUTILE_FN static float erf_grad(float dy, float x) { return gelu_erf_grad_f32(dy, x); }
  RUTILE_FN static float tanh_grad(float dy, float x) { return gelu_tanh_grad_f32(dy, x); }
  RUTILE_FN static double erf(double x) { return fn::gelu_erf<FastMath>(x); }
  RUTILE_FN static double tanh(double x) { return fn::gelu_tanh<FastMath>(x); }
  RUTILE_FN static double erf_grad(double dy, double x) {
    return fn::gelu_erf_grad<FastMath>(dy, x);
  }
  RUTILE_FN static double tanh_grad(double dy, double x) {
    return fn::gelu_tanh_grad<FastMath>(dy, x);
  }
};

}  // namespace
}  // namespace rutile::kernels::RUTILE_ISA
