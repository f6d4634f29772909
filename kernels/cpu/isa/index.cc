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

template <class I>
bool resolve(const I* index, int64_t n, int64_t size, bool wrap, int64_t* rows) {
  return resolve_all(index, n, size, wrap, rows);
}

}  // namespace

AddKernels add_kernels() { return {add<float>, add<BFloat16>}; }
ResolveKernels resolve_kernels() { return {resolve<int32_t>, resolve<int64_t>}; }

}  // namespace rutile::kernels::RUTILE_ISA
