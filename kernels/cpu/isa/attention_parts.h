// SPDX-License-Identifier: Apache-2.0
// What both directions of attention share: parts of the workspace, views of heads, masks.
#pragma once

#include "rutile/core/thread.h"
#include "rutile/kernels/cpu/attention.h"
#include "rutile/kernels/cpu/isa/tile_amx.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

template <class C>
constexpr int64_t kRowBlock = C::kRows == kGroup ? 4 * kGroup : 2 * C::kRows;  // forward
constexpr int64_t kSeen = 256;     // keys at a time, forward
constexpr int64_t kKeyBlock = 64;  // backward
constexpr int64_t kGradRows = 96;  // rows at a time, backward: whole groups and depths
constexpr float kInfinity = __builtin_inff();

RUTILE_INLINE int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
RUTILE_INLINE int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }

// Parts of one workspace, each on its own cache lines; without a workspace only their size counts.
class Parts {
 public:
  explicit Parts(float* base) : base_(base) {}
  template <class L>
  L* take(int64_t lanes) {
    L* p = base_ ? reinterpret_cast<L*>(base_ + used_) : nullptr;
    used_ += round_up(lanes, 16);
    return p;
  }
  int64_t used() const { return used_; }

 private:
  float* base_;
  int64_t used_ = 0;
};

// Units of work go to whichever thread is free; f(unit, thread).
template <class F>
void share_out(int64_t units, int threads, F&& f) {
  int64_t next = 0;
  parallel_for(0, threads, 1, [&](int64_t t0, int64_t t1) {
    for (int64_t t = t0; t < t1; ++t) {
      for (;;) {
        const int64_t u = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);
        if (u >= units) break;
        f(u, t);
      }
    }
  });
}

template <class T>
struct View {
  T* p;
  int64_t step;  // between rows
  RUTILE_INLINE T* row(int64_t i) const { return p + i * step; }
};
template <class T, class P>
View<T> head_of(P* p, const AttentionStrides& s, const AttentionShape& shape, int64_t head) {
  return {static_cast<T*>(p) + head / shape.heads * s.batch + head % shape.heads * s.head, s.row};
}

// What the mask adds to the scores of one row and n keys.
void mask_line(const AttentionShape& s, const void* mask, int64_t head, int64_t row, int64_t key,
               int64_t n, float* line) {
  const int64_t at = head / s.heads * s.mask.batch + head % s.heads * s.mask.head +
                     row * s.mask.row + key * s.mask_column;
  const int64_t step = s.mask_column;
  if (s.mask_type == DType::kBool) {
    const bool* m = static_cast<const bool*>(mask) + at;
    for (int64_t j = 0; j < n; ++j) line[j] = m[j * step] ? 0.0f : -kInfinity;
  } else if (s.mask_type == DType::kBF16) {
    const BFloat16* m = static_cast<const BFloat16*>(mask) + at;
    for (int64_t j = 0; j < n; ++j) line[j] = m[j * step];
  } else {
    const float* m = static_cast<const float*>(mask) + at;
    for (int64_t j = 0; j < n; ++j) line[j] = m[j * step];
  }
}

// Keys from `key` on, n of them, that row `row` sees.
RUTILE_INLINE int64_t seen(const AttentionShape& s, int64_t row, int64_t key, int64_t n) {
  return s.causal ? max(0, min(n, row + 1 - key)) : n;
}

RUTILE_INLINE void store_probabilities(float* to, int64_t at, VF p) { store_v(to + at, p); }
#if defined(__AVX512BF16__)
RUTILE_INLINE void store_probabilities(uint32_t* to, int64_t at, VF p) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(reinterpret_cast<uint16_t*>(to) + at),
                      reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(reinterpret_cast<__m512>(p))));
}
#endif

}  // namespace
}  // namespace rutile::kernels::RUTILE_ISA
