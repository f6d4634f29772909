// SPDX-License-Identifier: Apache-2.0
// Capture through the CUDA runtime: what kernels/cuda/plugin.cc gives as device functions.
#pragma once

#include "rutile/core/device_plugin.h"

namespace rutile::cuda {

Status capture_begin(int device, Stream s);
Status capture_end(int device, Stream s, CapturedGraph* out);
Status graph_launch(int device, CapturedGraph g, Stream s);
Status graph_destroy(int device, CapturedGraph g);
Status capture_branch(int device, Stream s, const void* holds, CapturePart then,
                      CapturePart otherwise);
Status capture_loop(int device, Stream s, const CaptureLoop& loop, CapturePart body);
Status copy_slice(int device, void* slices, void* one, const LoopSlice& slice, Stream s);

}  // namespace rutile::cuda
