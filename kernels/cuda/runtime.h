// SPDX-License-Identifier: Apache-2.0
// What only files that see the CUDA runtime use.
#pragma once

#include <cuda_runtime.h>

#include "rutile/core/error.h"
#include "rutile/kernels/cuda/fault.h"

namespace rutile::cuda {

cudaStream_t cuda_stream(Stream s);
int device_of(Stream s);
// Makes the device the thread's own. Others in the process may change it at any time.
cudaError_t use(int device);

}  // namespace rutile::cuda
