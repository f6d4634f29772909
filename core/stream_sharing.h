// SPDX-License-Identifier: Apache-2.0
// A device's memory shared with another library of the process (DLPack), whose streams have
// numbers: the work of each side runs behind what the other has queued, without waiting on the
// host.
#pragma once

#include <cstdint>

#include "rutile/core/device_plugin.h"

namespace rutile {

// What a plugin gives for it: the number of a stream, and stream_wait and event_record (see
// DeviceFns) for streams of others.
struct StreamSharing {
  uintptr_t (*number)(Stream s) = nullptr;
  Status (*wait)(int device, uintptr_t other, Event e) = nullptr;
  Status (*record)(int device, Event e, uintptr_t other) = nullptr;
};
// Called by a plugin while it starts; `functions` live for ever.
RUTILE_API void set_stream_sharing(DeviceType type, const StreamSharing* functions);

// The number of the device's compute stream; 0: nothing can be shared.
RUTILE_API uintptr_t stream_number(Device device);
// Later work of the other stream runs behind what our compute stream has been given. Where the
// plugin cannot queue that, the host waits.
RUTILE_API Status hand_over(Device device, uintptr_t other);
// Later work of our compute stream runs behind what the other one has been given.
RUTILE_API Status take_back(Device device, uintptr_t other);

}  // namespace rutile
