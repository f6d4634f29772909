// SPDX-License-Identifier: Apache-2.0
// Comparing elements of any real type.
#pragma once

#include <limits>
#include <type_traits>

#include "rutile/kernels/convert.h"

namespace rutile::kernels {

// What no element is below.
template <class T>
T smallest() {
  if constexpr (std::is_integral_v<T>) {
    return std::numeric_limits<T>::lowest();
  } else {
    return convert<T>(-std::numeric_limits<double>::infinity());
  }
}

template <class T>
bool is_nan(T v) {
  if constexpr (std::is_integral_v<T>) {
    return false;
  } else {
    return v != v;
  }
}

}  // namespace rutile::kernels
