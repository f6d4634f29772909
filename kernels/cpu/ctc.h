// SPDX-License-Identifier: Apache-2.0
// Between the rows of CTC and the loops of f32, which exist once per instruction set.
#pragma once

#include <cstdint>

namespace rutile::kernels {

struct CtcLoops {
  // next[s] = log(exp(last[s]) + exp(last[s - 1]) + exp(last[s - 2] + skip[s])) + e[s]; two more
  // elements lie in front of `last`.
  void (*step)(const float* last, const float* skip, const float* e, float* next, int64_t n);
  // b[s] = exp(a[s] + b[s] - e[s] + shift), 0 where a or b is -infinity.
  void (*shares)(const float* a, const float* e, float shift, float* b, int64_t n);
};

namespace avx2 {
CtcLoops ctc_loops();
}
namespace avx512 {
CtcLoops ctc_loops();
}

}  // namespace rutile::kernels
