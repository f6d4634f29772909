// SPDX-License-Identifier: Apache-2.0
// Element-wise reductions in host memory, for communication plugins.
#pragma once

#include <cstddef>

#include "rutile/core/api.h"
#include "rutile/ops/communicator.h"

namespace rutile::dist {

// out[i] = a[i] with b[i]; `out` may be `a` or `b`. kMean adds, as kSum does. bool is any for kMax,
// all for kMin. f16 and bf16 go through f32.
using ReduceFn = void (*)(void* out, const void* a, const void* b, size_t n);
RUTILE_API ReduceFn reduce_function(Reduce reduce, DType dtype);

// data[i] /= parts, for the mean.
RUTILE_API void divide(void* data, size_t n, DType dtype, int parts);

// out[i] = the reduction over r of parts[r * stride + i] in the order of r, f16 and bf16 in f32 to
// the end; the mean divides. `out` may be the first part.
RUTILE_API void reduce_parts(Reduce reduce, DType dtype, const void* parts, size_t stride,
                             int num_parts, void* out, size_t n);

}  // namespace rutile::dist
