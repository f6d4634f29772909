// SPDX-License-Identifier: Apache-2.0
// Functions that host and device code share are inlined always: what is compiled for one
// instruction set must not leak into another.
#pragma once

#if defined(__CUDACC__)
#define RUTILE_FN __host__ __device__ __forceinline__
#else
#define RUTILE_FN [[gnu::always_inline]] inline
#endif
