// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/fused.h"

#include "rutile/kernels/cuda/elementwise_kernel.h"

namespace rutile::cuda {
namespace {

// All but the special functions, and those of integers.
template <template <class> class F>
inline constexpr bool kInterpreted =
    !kHeavy<F> && F<kernels::StdMath>::kDomain != kernels::Domain::kInteger;

template <class R>
RUTILE_FN float as_float(R v) {
  return static_cast<float>(v);
}
template <class Fn, int kInputs>
RUTILE_FN float apply_one(const double* params, float x, float y, float z) {
  const Fn f{params};
  if constexpr (Fn::kDomain == kernels::Domain::kLogical) {
    if constexpr (kInputs == 1) {
      return as_float(f(x != 0));
    } else {
      return as_float(f(x != 0, y != 0));
    }
  } else if constexpr (kInputs == 1) {
    return as_float(f(x));
  } else if constexpr (kInputs == 2) {
    return as_float(f(x, y));
  } else {
    return as_float(f(x, y, z));
  }
}

RUTILE_FN float rounded(float v, uint8_t how) {
  if (how == 1) return from_bf16(to_bf16(v));
  if (how == 2) return from_half(to_half(v));
  return how == 3 ? static_cast<float>(v != 0) : v;
}

// One instruction on one element.
RUTILE_FN float interpret(const FusedArgs& a, const FusedStep& s, float x, float y, float z) {
  const double* params = a.params[s.params];
  switch (static_cast<ElementwiseOp>(s.op)) {
#define RUTILE_FUSED(functor, inputs)                                                \
  case ElementwiseOp::functor:                                                       \
    if constexpr (kInterpreted<kernels::functor>) {                                  \
      return apply_one<kernels::functor<kernels::StdMath>, inputs>(params, x, y, z); \
    }                                                                                \
    break;
#define RUTILE_UNARY(constant, functor) RUTILE_FUSED(functor, 1)
#define RUTILE_BINARY(constant, functor) RUTILE_FUSED(functor, 2)
#define RUTILE_TERNARY(constant, functor) RUTILE_FUSED(functor, 3)
#include "rutile/ops/elementwise_list.inc"
#undef RUTILE_UNARY
#undef RUTILE_BINARY
#undef RUTILE_TERNARY
#undef RUTILE_FUSED
    default:
      break;
  }
  return x;  // a cast
}

__global__ void __launch_bounds__(kFusedThreads) fused(RUTILE_PARAM FusedArgs a) {
  __shared__ float slots[kMostFusedSlots][kFusedThreads];
  const int t = static_cast<int>(threadIdx.x);
  const int64_t block = static_cast<int64_t>(blockIdx.x) * kFusedThreads * kFusedEach;
#pragma unroll 1
  for (int e = 0; e < kFusedEach; ++e) {
    const int64_t i = block + e * kFusedThreads + t;
    if (i >= a.n) return;
    int64_t in_at[kMostFusedInputs], out_at[kMostFusedOutputs];
    if (a.in_at.rank > 0) a.in_at.find(i, in_at);
    if (a.out_at.rank > 0) a.out_at.find(i, out_at);
#pragma unroll 1
    for (int k = 0; k < a.steps; ++k) {
      const FusedStep s = a.step[k];
      if (s.op == kFusedLoad) {
        const int n = s.in[0];
        slots[s.to][t] = load<float>(a.in_type[n], a.in[n], a.in_linear[n] ? i : in_at[n]);
      } else if (s.op == kFusedStore) {
        const int n = s.to;
        store<float>(a.out_type[n], a.out[n], a.out_linear[n] ? i : out_at[n], slots[s.in[0]][t]);
      } else {
        const float v = interpret(a, s, slots[s.in[0]][t], slots[s.in[1]][t], slots[s.in[2]][t]);
        slots[s.to][t] = rounded(v, s.rounding);
      }
    }
  }
}

}  // namespace

bool fused_has(ElementwiseOp op) {
  switch (op) {
#define RUTILE_UNARY(constant, functor) \
  case ElementwiseOp::functor:          \
    return kInterpreted<kernels::functor>;
#define RUTILE_BINARY(constant, functor) RUTILE_UNARY(constant, functor)
#define RUTILE_TERNARY(constant, functor) RUTILE_UNARY(constant, functor)
#include "rutile/ops/elementwise_list.inc"
#undef RUTILE_UNARY
#undef RUTILE_BINARY
#undef RUTILE_TERNARY
    default:
      return op == ElementwiseOp::Cast;
  }
}

int launch_fused(const FusedArgs& a, Stream stream) {
  return launch(fused, {.x = blocks_for(a.n, kFusedThreads, kFusedEach), .threads = kFusedThreads},
                stream, a);
}

}  // namespace rutile::cuda
