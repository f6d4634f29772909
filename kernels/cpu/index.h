// SPDX-License-Identifier: Apache-2.0
// Vector loops of the indexing kernels.
#pragma once

#include <cstdint>

namespace rutile::kernels {

struct AddKernels {
  // sum[i] += x[i]
  void (*f32)(float* sum, const void* x, int64_t n) = nullptr;
  void (*bf16)(float* sum, const void* x, int64_t n) = nullptr;
};
namespace avx2 {
AddKernels add_kernels();
}
namespace avx512 {
AddKernels add_kernels();
}

}  // namespace rutile::kernels
