// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/ctc.h"

#include "rutile/kernels/cpu/isa/fast_math.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

void step(const float* last, const float* skip, const float* e, float* next, int64_t n) {
  constexpr float kNone = -__builtin_inff();
#pragma GCC ivdep
  for (int64_t s = 0; s < n; ++s) {
    const float a = last[s], b = last[s - 1], c = skip[s] == 0.0f ? last[s - 2] : kNone;
    const float all = a + b + c;  // a maximum may drop a NaN
    const float ab = a > b ? a : b, top = ab > c ? ab : c;
    const float base = top == kNone ? 0.0f : top;
    const float sum = FastMath::exp(a - base) + FastMath::exp(b - base) + FastMath::exp(c - base);
    const float joined = top == kNone ? kNone : base + FastMath::log(sum);
    next[s] = (all != all ? all : joined) + e[s];
  }
}

void shares(const float* a, const float* e, float shift, float* b, int64_t n) {
  constexpr float kNone = -__builtin_inff();
#pragma GCC ivdep
  for (int64_t s = 0; s < n; ++s) {
    const float share = FastMath::exp(a[s] + b[s] - e[s] + shift);
    b[s] = a[s] == kNone || b[s] == kNone ? 0.0f : share;
  }
}

}  // namespace

CtcLoops ctc_loops() { return {step, shares}; }

}  // namespace rutile::kernels::RUTILE_ISA
