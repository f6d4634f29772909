// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "rutile/core/api.h"

namespace rutile {

enum class DeviceType : uint8_t { kCpu, kCuda, kFake };
inline constexpr int kNumDeviceTypes = 3;

struct Device {
  DeviceType type = DeviceType::kCpu;
  uint8_t index = 0;
  constexpr bool operator==(const Device&) const = default;
};
inline constexpr Device kCpu{};

RUTILE_API std::string to_string(Device d);             // "cpu", "cuda:0"
RUTILE_API const char* device_type_name(DeviceType t);  // "cpu", "cuda"
// "cpu", "cuda", "cuda:1"; false for anything else.
RUTILE_API bool parse_device(std::string_view name, Device* out);

}  // namespace rutile
