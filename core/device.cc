// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/device.h"

#include <charconv>

namespace rutile {

const char* device_type_name(DeviceType t) {
  switch (t) {
    case DeviceType::kCpu:
      return "cpu";
    case DeviceType::kCuda:
      return "cuda";
    case DeviceType::kFake:
      return "fake";
  }
  return "unknown";
}

std::string to_string(Device d) {
  const std::string name = device_type_name(d.type);
  return d.type == DeviceType::kCpu ? name : name + ":" + std::to_string(d.index);
}

bool parse_device(std::string_view name, Device* out) {
  Device d;
  const size_t colon = name.find(':');
  if (colon != std::string_view::npos) {
    const char* const end = name.data() + name.size();
    const auto [p, ec] = std::from_chars(name.data() + colon + 1, end, d.index);
    if (ec != std::errc() || p != end) return false;
  }
  for (int t = 0; t < kNumDeviceTypes; ++t) {
    d.type = static_cast<DeviceType>(t);
    if (name.substr(0, colon) != device_type_name(d.type)) continue;
    if (d.type == DeviceType::kCpu && d.index != 0) return false;
    *out = d;
    return true;
  }
  return false;
}

}  // namespace rutile
