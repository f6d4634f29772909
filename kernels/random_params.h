// SPDX-License-Identifier: Apache-2.0
// The numbers that kernels of random ops work with, from the attributes; shared by all kernels,
// since equal bits begin with equal constants.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "rutile/core/half.h"
#include "rutile/ops/random.h"

namespace rutile::kernels {

// Random bits that a uniform number of the type has.
inline int unit_bits(DType t) { return t == DType::kBF16 ? 8 : t == DType::kF16 ? 11 : 24; }

// The largest value of type T below `v`, so that rounding never yields `high` itself.
template <class T, class Bits>
double largest_below(double v) {
  T x = static_cast<T>(static_cast<float>(v));
  constexpr Bits kSign = Bits(Bits(1) << (sizeof(Bits) * 8 - 1));
  while (static_cast<double>(static_cast<float>(x)) >= v) {
    const Bits b = std::bit_cast<Bits>(x);
    const Bits down = (b & kSign) ? Bits(b + 1) : b == 0 ? Bits(kSign | 1) : Bits(b - 1);
    x = std::bit_cast<T>(down);
  }
  return static_cast<double>(static_cast<float>(x));
}
inline double largest_below(double v, DType t) {
  switch (t) {
    case DType::kF64:
      return std::nextafter(v, -std::numeric_limits<double>::infinity());
    case DType::kBF16:
      return largest_below<BFloat16, uint16_t>(v);
    case DType::kF16:
      return largest_below<Half, uint16_t>(v);
    default:
      return largest_below<float, uint32_t>(v);
  }
}

// A word below this is a hit of probability p; 2^32 for p = 1.
inline uint64_t hit_threshold(double p) {
  return static_cast<uint64_t>(std::nearbyint(p * 0x1p32));
}

// Cdf of the normal distribution.
inline double normal_cdf(double x) { return 0.5 * std::erfc(-x * 0.70710678118654752440); }

}  // namespace rutile::kernels
