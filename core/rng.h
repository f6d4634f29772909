// SPDX-License-Identifier: Apache-2.0
// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
// 1, 2, 3", SC 2011). The key identifies a call, the counter is the element's index, so the numbers
// do not depend on thread count, device or mode.
#pragma once

#include <array>
#include <cstdint>

#include "rutile/core/api.h"

namespace rutile {

struct PhiloxKey {
  uint64_t value = 0;
  constexpr bool operator==(const PhiloxKey&) const = default;
};

// The generator itself, as published.
constexpr std::array<uint32_t, 4> philox4x32_10(std::array<uint32_t, 4> c,
                                                std::array<uint32_t, 2> k) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c[0], p1 = uint64_t{0xCD9E8D57u} * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<uint32_t>(p0)};
    k[0] += 0x9E3779B9u;
    k[1] += 0xBB67AE85u;
  }
  return c;
}

// Four 32-bit words for counter `index`.
constexpr std::array<uint32_t, 4> philox(PhiloxKey key, uint64_t index) {
  return philox4x32_10({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), 0, 0},
                       {static_cast<uint32_t>(key.value), static_cast<uint32_t>(key.value >> 32)});
}

// The key of the `number`-th child of `parent`.
constexpr PhiloxKey fold_in(PhiloxKey parent, uint64_t number) {
  const auto w = philox(parent, number);
  return {static_cast<uint64_t>(w[1]) << 32 | w[0]};
}

// Uniform in [0, 1) with 24 and 53 bits.
constexpr float uniform_f32(uint32_t w) { return static_cast<float>(w >> 8) * 0x1p-24f; }
constexpr double uniform_f64(uint32_t hi, uint32_t lo) {
  return static_cast<double>((static_cast<uint64_t>(hi) << 32 | lo) >> 11) * 0x1p-53;
}

}  // namespace rutile
