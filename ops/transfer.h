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

// Input of a step: a tensor of the host on `device`, copied from pinned memory over the copy stream
// while the device still computes; another tensor is to_device(). Not recorded by traces and tapes.
RUTILE_API Tensor upload(const Tensor& x, Device device);

// A tensor of the host on the device in force (DeviceScope), for what is made to stay: parameters.
RUTILE_API Tensor to_device_in_force(const Tensor& x);

}  // namespace rutile::ops
