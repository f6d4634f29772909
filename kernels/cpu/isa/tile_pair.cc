// SPDX-License-Identifier: Apache-2.0
// Two steps of a tile program as one loop: what lies between them stays in a register. Compiled
// without contraction to fused multiply-adds, so that bits are those of the two steps.
#include "rutile/kernels/cpu/isa/tile_loops.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

// Bit i of kMask: input i is one element for all.
template <class First, class Second, int kMask>
void pair_loop(const void* const* in, void* out, int64_t n, const double*) {
  const float* a = static_cast<const float*>(in[0]);
  const float* b = static_cast<const float*>(in[1]);
  const float* c = static_cast<const float*>(in[2]);
  float* y = static_cast<float*>(out);
  const float a0 = a[0], b0 = b[0], c0 = c[0];
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    const float t = First::of(kMask & 1 ? a0 : a[i], kMask & 2 ? b0 : b[i]);
    y[i] = Second::of(t, kMask & 4 ? c0 : c[i]);
  }
}

struct AddTo {
  RUTILE_FN static float of(float a, float b) { return a + b; }
};
struct SubFrom {
  RUTILE_FN static float of(float a, float b) { return a - b; }
};
struct SubOf {
  RUTILE_FN static float of(float a, float b) { return b - a; }
};
struct MulBy {
  RUTILE_FN static float of(float a, float b) { return a * b; }
};
struct ReluOf {  // takes one input: the other is the first again
  RUTILE_FN static float of(float a, float) { return a <= 0.0f ? 0.0f : a; }
};

template <class First, class Second>
void fill_masks(TileFn* row) {
  row[0] = pair_loop<First, Second, 0>;
  row[1] = pair_loop<First, Second, 1>;
  row[2] = pair_loop<First, Second, 2>;
  row[3] = pair_loop<First, Second, 3>;
  row[4] = pair_loop<First, Second, 4>;
  row[5] = pair_loop<First, Second, 5>;
  row[6] = pair_loop<First, Second, 6>;
}
template <class First>
void fill_seconds(TileFn (*row)[8]) {
  fill_masks<First, AddTo>(row[0]);
  fill_masks<First, SubFrom>(row[1]);
  fill_masks<First, SubOf>(row[2]);
  fill_masks<First, MulBy>(row[3]);
  fill_masks<First, ReluOf>(row[4]);
}

}  // namespace

void fill_pairs(TileTable* t) {
  fill_seconds<AddTo>(t->pair[0]);
  fill_seconds<SubFrom>(t->pair[1]);
  fill_seconds<MulBy>(t->pair[2]);
}

}  // namespace rutile::kernels::RUTILE_ISA
