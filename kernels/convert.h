// SPDX-License-Identifier: Apache-2.0
// Conversion between element types: truncation towards zero, saturation, NaN to 0, nonzero to true.
// Nothing here is undefined behaviour for any value.
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

#include "rutile/core/half.h"
#include "rutile/kernels/functors.h"

namespace rutile::kernels {

template <class To, class From>
RUTILE_FN To convert(From x) {
  if constexpr (std::is_same_v<From, BFloat16> || std::is_same_v<From, Half>) {
    return convert<To>(static_cast<float>(x));
  } else if constexpr (std::is_same_v<To, bool>) {
    return x != From(0);
  } else if constexpr (std::is_same_v<To, BFloat16> || std::is_same_v<To, Half>) {
    return To(static_cast<float>(x));
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    constexpr To kMin = std::numeric_limits<To>::min(), kMax = std::numeric_limits<To>::max();
    // 2^digits is exact, and nothing lies between it and the largest integer in `From`.
    constexpr From kEnd = static_cast<From>(static_cast<uint64_t>(kMax) / 2 + 1) * From(2);
    if (!(x > static_cast<From>(kMin))) return x <= static_cast<From>(kMin) ? kMin : To(0);
    return x >= kEnd ? kMax : static_cast<To>(x);
  } else {
    return static_cast<To>(x);
  }
}

}  // namespace rutile::kernels
