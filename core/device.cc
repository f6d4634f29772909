// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/device.h"

namespace rutile {

std::string to_string(Device d) {
  switch (d.type) {
    case DeviceType::kCpu:
      return "cpu";
    case DeviceType::kCuda:
      return "cuda:" + std::to_string(d.index);
    case DeviceType::kFake:
      return "fake:" + std::to_string(d.index);
  }
  return "unknown";
}

}  // namespace rutile
