// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/ctc.h"

#include "rutile/kernels/cpu/isa/fast_math.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

void step(const float* last, const float* skip, const float* e, float* next, int64_t n) {
  constexpr float kNone = -__builtin_inff();
#pragma GCC ivdep
  for (int64_t s = 0; s < n; ++s) {
    const float a = last[s], b = last[s - 1], c = last[s - 2] + skip[s];
    const float ab = a > b ? a : b, top = ab > c ? ab : c;
    const float base = top == kNone ? 0.0f : top;
    const float sum = FastMath::exp(a - base) + FastMath::exp(b - base) + FastMath::exp(c - base);
    next[s] = (top == kNone ? kNone : base + FastMath::log(sum)) + e[s];
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
