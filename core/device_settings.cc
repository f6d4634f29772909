// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/device_settings.h"

#include <cstdlib>
#include <cstring>

namespace rutile {
namespace {

constexpr uint8_t kMatmul = 1, kConv = 2, kAutotune = 4;

uint8_t bits_of(const DeviceSettings& s) {
  return static_cast<uint8_t>((s.tf32_matmul ? kMatmul : 0) | (s.tf32_conv ? kConv : 0) |
                              (s.autotune ? kAutotune : 0));
}

bool asked(const char* variable) {
  const char* const v = std::getenv(variable);
  return v && std::strcmp(v, "1") == 0;
}

[[maybe_unused]] const bool kRead = [] {
  const bool tf32 = asked("RUTILE_TF32");
  set_device_settings({tf32, tf32, asked("RUTILE_AUTOTUNE")});
  return true;
}();

}  // namespace

namespace detail {
constinit std::atomic<uint8_t> device_setting_bits{0};
}  // namespace detail

DeviceSettings device_settings() {
  const uint8_t bits = detail::device_setting_bits.load(std::memory_order_relaxed);
  return {(bits & kMatmul) != 0, (bits & kConv) != 0, (bits & kAutotune) != 0};
}

void set_device_settings(const DeviceSettings& s) {
  detail::device_setting_bits.store(bits_of(s), std::memory_order_relaxed);
}

}  // namespace rutile
