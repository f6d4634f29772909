// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/index.h"

#include "rutile/kernels/cpu/isa/vec_math.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

template <class T>
void add(float* sum, const void* px, int64_t n) {
  const T* x = static_cast<const T*>(px);
  for_vectors(n, [&](int64_t i, int64_t lanes) {
    put(sum, i, get(sum, i, lanes) + get(x, i, lanes), lanes);
  });
}

}  // namespace

AddKernels add_kernels() { return {add<float>, add<BFloat16>}; }

}  // namespace rutile::kernels::RUTILE_ISA
