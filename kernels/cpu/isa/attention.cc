// SPDX-License-Identifier: Apache-2.0
// Attention by tiles of packed heads. Row by row the order of all sums is fixed, whatever the
// number of threads.
#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/cpu/isa/attention_backward.h"
#include "rutile/kernels/cpu/isa/attention_forward.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

template <class C, class T>
AttentionKernels kernels() {
  return {kRowBlock<C>,          kKeyBlock,     forward_workspace<C>,
          backward_workspace<C>, forward<C, T>, backward<C, T>};
}

}  // namespace

AttentionKernels attention_f32() { return kernels<Singles, float>(); }
#if defined(__AVX512BF16__)
AttentionKernels attention_bf16() {
  return amx_runs() ? kernels<AmxPairs, BFloat16>() : kernels<Pairs, BFloat16>();
}
#else
AttentionKernels attention_bf16() { return kernels<Singles, BFloat16>(); }
#endif

}  // namespace rutile::kernels::RUTILE_ISA
