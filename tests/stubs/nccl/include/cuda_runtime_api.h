// SPDX-License-Identifier: Apache-2.0
// What dist/nccl/nccl.cc uses of the CUDA runtime, where the toolkit is not installed.
#pragma once

typedef struct CUstream_st* cudaStream_t;
typedef enum cudaError { cudaSuccess = 0 } cudaError_t;

extern "C" {
cudaError_t cudaSetDevice(int device);
const char* cudaGetErrorString(cudaError_t error);
}
