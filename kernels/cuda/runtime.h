// SPDX-License-Identifier: Apache-2.0
// What only files that see the CUDA runtime use.
#pragma once

#include <cuda_runtime.h>

#include "rutile/core/device_plugin.h"
#include "rutile/kernels/cuda/fault.h"

namespace rutile::cuda {

Status status_of(cudaError_t e);
#define RUTILE_CUDA_TRY(expr)                                                                   \
  do {                                                                                          \
    if (const cudaError_t e_ = (expr); e_ != cudaSuccess) return ::rutile::cuda::status_of(e_); \
  } while (0)

// Streams as device functions make them.
Status make_stream(int device, StreamKind kind, Stream* out);
Status drop_stream(int device, Stream s);
// What is made once (handles of libraries, modules, streams) may be made while the thread captures:
// it is no part of the graph.
class RelaxedCapture {
 public:
  RelaxedCapture() { (void)cudaThreadExchangeStreamCaptureMode(&mode_); }
  ~RelaxedCapture() { (void)cudaThreadExchangeStreamCaptureMode(&mode_); }
  RelaxedCapture(const RelaxedCapture&) = delete;
  RelaxedCapture& operator=(const RelaxedCapture&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;  // then what was before
};

cudaStream_t cuda_stream(Stream s);
int device_of(Stream s);
// Makes the device the thread's own. Others in the process may change it at any time.
cudaError_t use(int device);

}  // namespace rutile::cuda
