// SPDX-License-Identifier: Apache-2.0
// Work of a device may be done and have failed in a way that its streams do not tell: a collective
// whose peer is gone leaves whatever stands in its memory. Who knows of such work is asked before
// values of the device reach the host.
#pragma once

#include <functional>

#include "rutile/core/api.h"
#include "rutile/core/device.h"
#include "rutile/core/error.h"

namespace rutile {

// Asked, from any thread, behind the work that a copy to the host waits for.
using DeviceCheckFn = std::function<Status()>;
class RUTILE_API DeviceCheck {
 public:
  DeviceCheck(Device device, DeviceCheckFn ask);
  ~DeviceCheck();  // returns when nobody is asking any more
  DeviceCheck(const DeviceCheck&) = delete;
  DeviceCheck& operator=(const DeviceCheck&) = delete;

 private:
  friend RUTILE_API Status run_device_checks(Device device);
  friend RUTILE_API void check_devices();
  const Device device_;
  const DeviceCheckFn ask_;
};
RUTILE_API Status run_device_checks(Device device);

// Waits for all that was queued on any device; throws the first failure that its streams or the
// checks know of. For who is about to write what was computed to a file.
RUTILE_API void check_devices();

}  // namespace rutile
