// SPDX-License-Identifier: Apache-2.0
// The largest of many numbers and the sum of exp(x - largest), in one pass; for .cu files.
#pragma once

#include "rutile/kernels/functors.h"

namespace rutile::cuda {

// Numbers that are all -inf sum to their count; a NaN makes the sum one.
template <class C>
struct TopSum {
  C top = -static_cast<C>(__builtin_inf()), sum = 0;
  RUTILE_FN static C factor(C from, C to) {
    return from == to ? C(1) : kernels::StdMath::exp(from - to);
  }
  RUTILE_FN void take(C x) {
    if (x > top) {
      sum = sum * factor(top, x) + C(1);
      top = x;
    } else {
      sum += factor(x, top);
    }
  }
  RUTILE_FN TopSum joined(const TopSum& o) const {
    const C t = o.top > top ? o.top : top;
    return {t, sum * factor(top, t) + o.sum * factor(o.top, t)};
  }
};

}  // namespace rutile::cuda
