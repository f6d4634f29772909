// SPDX-License-Identifier: Apache-2.0
// Generated kernels on a device: compiled or found in the cache, loaded, launched. The plugin does
// it; in tests without a GPU it refuses.
#pragma once

#include <memory>
#include <string>

#include "rutile/core/device_plugin.h"
#include "rutile/kernels/cuda/codegen.h"

namespace rutile::cuda {

class JitModule {
 public:
  virtual ~JitModule() = default;
  // Queues launch number n of what was generated; args point to the kernel's arguments.
  virtual Status launch(size_t n, void** args, Stream stream) const = 0;
  virtual std::string resources() const = 0;
};

// ok, or why nothing can be compiled for the device.
Status jit_ready(Device device);
// The module of the source on the device; equal sources share one.
Status jit_load(const Generated& generated, Device device, std::shared_ptr<const JitModule>* out);

}  // namespace rutile::cuda
