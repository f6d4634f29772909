// SPDX-License-Identifier: Apache-2.0
// Numbers that sort as the values do.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "rutile/core/half.h"

namespace rutile::kernels {

// An unsigned number in the order of the values; -0 is 0, NaN the largest.
template <class T>
uint64_t sort_key(T v) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
    return sort_key(static_cast<float>(v));
  } else if constexpr (std::is_floating_point_v<T>) {
    using U = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
    constexpr U kSign = U{1} << (sizeof(T) * 8 - 1);
    if (std::isnan(v)) return ~U{0};
    const U bits = std::bit_cast<U>(v == 0 ? T(0) : v);
    return bits & kSign ? static_cast<U>(~bits) : bits | kSign;
  } else if constexpr (std::is_signed_v<T>) {
    return static_cast<uint64_t>(static_cast<int64_t>(v)) ^ (uint64_t{1} << 63);
  } else {
    return v;
  }
}
// The same in 32 bits, for types of no more.
template <class T>
uint32_t small_key(T v) {
  if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) {
    return static_cast<uint32_t>(static_cast<int32_t>(v)) ^ 0x80000000u;
  } else {
    return static_cast<uint32_t>(sort_key(v));
  }
}

}  // namespace rutile::kernels
