// SPDX-License-Identifier: Apache-2.0
// A stream of a device as its own libraries know it (cudaStream_t), for plugins that queue work of
// such libraries on it.
#pragma once

#include <cstdint>

#include "rutile/core/device_plugin.h"

namespace rutile {

// 0: the device's plugin does not say.
RUTILE_API uintptr_t native_stream(Device device, Stream stream);

}  // namespace rutile
