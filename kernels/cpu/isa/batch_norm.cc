// SPDX-License-Identifier: Apache-2.0
// Batch norm in two passes over memory forward (statistics, result) and two backward (sums,
// result). Statistics are sums of x - shift and its square, the shift being the channel's first
// element: f32 over at most kChunk vectors, f64 above that, so that a large mean costs no digits.
#include "rutile/kernels/cpu/isa/batch_norm_groups.h"
#include "rutile/kernels/cpu/isa/batch_norm_rows.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

template <class T>
void forward(const BatchNormShape& s, const BatchNormArgs& a, int threads) {
  if (s.rows) {
    forward_rows<T>(s, a, threads);
    return;
  }
  parallel_for(0, s.groups, 1, [&](int64_t g0, int64_t g1) {
    for (int64_t g = g0; g < g1; ++g) forward_group<T>(s, a, g);
  });
}

template <class T>
void apply(const BatchNormShape& s, const BatchNormArgs& a, int threads) {
  if (s.rows) {
    apply_rows<T>(s, a, threads);
    return;
  }
  parallel_for(0, s.groups, 1, [&](int64_t g0, int64_t g1) {
    for (int64_t g = g0; g < g1; ++g) apply_group<T>(s, a, g);
  });
}

template <class T>
void backward(const BatchNormShape& s, const BatchNormArgs& a, int threads) {
  if (s.rows) {
    backward_rows<T>(s, a, threads);
    return;
  }
  parallel_for(0, s.groups, 1, [&](int64_t g0, int64_t g1) {
    for (int64_t g = g0; g < g1; ++g) backward_group<T>(s, a, g);
  });
}

}  // namespace

BatchNormKernels batch_norm_f32() { return {forward<float>, apply<float>, backward<float>}; }
BatchNormKernels batch_norm_bf16() {
  return {forward<BFloat16>, apply<BFloat16>, backward<BFloat16>};
}

}  // namespace rutile::kernels::RUTILE_ISA
