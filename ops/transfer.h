// SPDX-License-Identifier: Apache-2.0
// Tensors from one device to another.
#pragma once

#include <string>

#include "rutile/ops/call.h"
#include "rutile/ops/op_def.h"

namespace rutile::ops {

struct ToDeviceAttrs {
  std::string device = "cpu";  // "cpu", "cuda", "cuda:1"
  RUTILE_REFLECT(device)
};
extern RUTILE_API const OpDef kToDevice;

// x on `device`, placed as it is (row-major where x has gaps): a copy, or x itself if it is there.
// Copies to a device and on it are queued; one to the cpu waits for x. The gradient goes back to
// x's device. kUnsupported where the device cannot be used.
//
//   Tensor y = ops::to_device(x, {DeviceType::kCuda, 0});   // or x.to(...)
RUTILE_API Tensor to_device(Arg x, Device device);

}  // namespace rutile::ops
