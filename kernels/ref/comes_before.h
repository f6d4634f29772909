// SPDX-License-Identifier: Apache-2.0
// The order of numbers that sorts, searches and extremes of reference kernels share.
#pragma once

#include <cmath>
#include <type_traits>

#include "rutile/core/half.h"

namespace rutile::kernels {

// a stands before b in ascending order; NaN is the largest.
template <class T>
bool comes_before(T a, T b) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
    return comes_before(static_cast<float>(a), static_cast<float>(b));
  } else if constexpr (std::is_floating_point_v<T>) {
    return a < b || (std::isnan(b) && !std::isnan(a));
  } else {
    return a < b;
  }
}

}  // namespace rutile::kernels
