// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "rutile/core/api.h"

namespace rutile {

enum class DeviceType : uint8_t { kCpu, kCuda, kFake };

struct Device {
  DeviceType type = DeviceType::kCpu;
  uint8_t index = 0;
  constexpr bool operator==(const Device&) const = default;
};
inline constexpr Device kCpu{};

RUTILE_API std::string to_string(Device d);  // "cpu", "cuda:0"

}  // namespace rutile
