// SPDX-License-Identifier: Apache-2.0
// The few functions of CUDA's runtime with which cuDNN's headers ask about the GPU, and stub_gpu(),
// which says what they find. Nothing is there to run on.
#include <cuda_runtime.h>

namespace {
int version = 900, processors = 132;
size_t shared_bytes = 232448;
}  // namespace

extern "C" {

void stub_gpu(int of_version, int of_processors, int of_shared_bytes) {
  version = of_version;
  processors = of_processors;
  shared_bytes = static_cast<size_t>(of_shared_bytes);
}

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) {
  *p = cudaDeviceProp();
  p->major = version / 100;
  p->minor = version / 10 % 10;
  p->multiProcessorCount = processors;
  p->warpSize = 32;
  p->maxThreadsPerBlock = 1024;
  p->sharedMemPerBlock = 49152;
  p->sharedMemPerBlockOptin = shared_bytes;
  return cudaSuccess;
}
const char* cudaGetErrorString(cudaError_t) { return "an error of the stand-in for CUDA"; }
}
