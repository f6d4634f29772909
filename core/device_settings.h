// SPDX-License-Identifier: Apache-2.0
// How GPUs compute where they have several ways. Settings of the process: plans and compiled
// functions belong to the settings they were made under. The cpu knows none of them.
//
//   rutile::set_device_settings({.tf32_matmul = true, .tf32_conv = true});   // or RUTILE_TF32=1
#pragma once

#include <atomic>
#include <cstdint>

#include "rutile/core/api.h"

namespace rutile {

struct DeviceSettings {
  // Products and convolutions of f32 may round their factors to TF32 (10 bits instead of 23): up to
  // eight times as fast. Off unless RUTILE_TF32=1.
  bool tf32_matmul = false, tf32_conv = false;
  // The first call of a shape times what the libraries offer instead of taking what they expect to
  // be the fastest. Off unless RUTILE_AUTOTUNE=1.
  bool autotune = false;
  constexpr bool operator==(const DeviceSettings&) const = default;
};

RUTILE_API DeviceSettings device_settings();
// From any thread; calls that run meanwhile use the ones before or these.
RUTILE_API void set_device_settings(const DeviceSettings& s);

namespace detail {
// The settings as bits, for keys.
extern RUTILE_API std::atomic<uint8_t> device_setting_bits;
}  // namespace detail

}  // namespace rutile
