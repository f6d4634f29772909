// SPDX-License-Identifier: Apache-2.0
// bfloat16 and IEEE half as storage types; arithmetic goes through float. Rounding: nearest even.
#pragma once

#include <bit>
#include <cstdint>

namespace rutile {

struct BFloat16 {
  uint16_t bits = 0;
  BFloat16() = default;
  explicit BFloat16(float f) {
    uint32_t u = std::bit_cast<uint32_t>(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) {
      bits = static_cast<uint16_t>((u >> 16) | 0x40u);  // keep NaN a NaN
    } else {
      bits = static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
    }
  }
  operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
};

struct Half {
  uint16_t bits = 0;
  Half() = default;
  explicit Half(float f) {
    const uint32_t u = std::bit_cast<uint32_t>(f);
    const uint32_t sign = (u >> 16) & 0x8000u;
    const uint32_t a = u & 0x7fffffffu;
    if (a > 0x7f800000u) {
      bits = static_cast<uint16_t>(sign | 0x7e00u);
    } else if (a >= 0x477ff000u) {  // rounds to 65520 or more
      bits = static_cast<uint16_t>(sign | 0x7c00u);
    } else if (a < 0x38800000u) {  // subnormal: let the FPU round by adding 0.5
      const float r = std::bit_cast<float>(a) + 0.5f;
      bits = static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(r) - 0x3f000000u));
    } else {
      const uint32_t r = a + 0xc8000fffu + ((a >> 13) & 1u);
      bits = static_cast<uint16_t>(sign | (r >> 13));
    }
  }
  operator float() const {
    const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
    const uint32_t e = (bits >> 10) & 0x1fu, m = bits & 0x3ffu;
    if (e == 0) {
      const float f = static_cast<float>(m) * 0x1p-24f;
      return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(f));
    }
    const uint32_t x = e == 31 ? 0x7f800000u | (m << 13) : ((e + 112) << 23) | (m << 13);
    return std::bit_cast<float>(sign | x);
  }
};

}  // namespace rutile
