// SPDX-License-Identifier: Apache-2.0
// Loops of reductions over vectors of any type. An operation Op has
//   C       what it computes in: float, double, int64_t or uint64_t
//   Slot    see kernels/cpu/reduce.h
//   kFill   an element that changes nothing
//   kRun    elements that a lane takes before it goes into a slot, for precision
//   Acc     lanes at work: start(number), take(vector, number, shift), join(other)
//   spread  adds the first n lanes of an Acc to n slots (each lane is a column)
//   gather  adds all lanes of an Acc to one slot (lanes are neighbours of a row)
//   merge   adds one slot to another; kEmpty is the slot of nothing
//   kMerges an element is a slot of its own
#pragma once

#include "rutile/kernels/cpu/isa/vec_math.h"
#include "rutile/kernels/cpu/reduce.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

template <class C>
struct Lanes;
#define RUTILE_LANES(C, I, count)                                                        \
  template <>                                                                            \
  struct Lanes<C> {                                                                      \
    typedef C V __attribute__((vector_size(64)));                                        \
    typedef C Unaligned __attribute__((vector_size(64), aligned(sizeof(C)), may_alias)); \
    typedef I Mask __attribute__((vector_size(64)));                                     \
    using Number = I;                                                                    \
    static constexpr int64_t kCount = count;                                             \
  };
RUTILE_LANES(float, int32_t, 16)
RUTILE_LANES(double, int64_t, 8)
RUTILE_LANES(int64_t, int64_t, 8)
RUTILE_LANES(uint64_t, int64_t, 8)
#undef RUTILE_LANES
template <class C>
using VecOf = typename Lanes<C>::V;
template <class C>
using MaskOf = typename Lanes<C>::Mask;

template <class C>
RUTILE_INLINE VecOf<C> fill(C v) {
  // Zero is taken away from floats, since adding it would change -0.
  if constexpr (__is_same(C, float) || __is_same(C, double)) {
    return v - VecOf<C>{};
  } else {
    return VecOf<C>{} + v;
  }
}
// 0, 1, 2 ...
template <class C>
RUTILE_INLINE MaskOf<C> lane_numbers() {
  MaskOf<C> r;
  for (int i = 0; i < Lanes<C>::kCount; ++i) r[i] = i;
  return r;
}

RUTILE_INLINE VecOf<double> doubles(const float* p) {
  VecOf<double> r;
#if defined(__AVX512F__)
  r = reinterpret_cast<VecOf<double>>(_mm512_cvtps_pd(_mm256_loadu_ps(p)));
#else
  double* to = reinterpret_cast<double*>(&r);
  _mm256_storeu_pd(to, _mm256_cvtps_pd(_mm_loadu_ps(p)));
  _mm256_storeu_pd(to + 4, _mm256_cvtps_pd(_mm_loadu_ps(p + 4)));
#endif
  return r;
}
RUTILE_INLINE void halves(const Half* p, float* to) {
  _mm256_storeu_ps(to, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}

// A vector of elements as C.
template <class C, class In>
RUTILE_INLINE VecOf<C> load_as(const In* p) {
  constexpr int64_t n = Lanes<C>::kCount;
  if constexpr (__is_same(C, In)) {
    return *reinterpret_cast<const typename Lanes<C>::Unaligned*>(p);
  } else if constexpr (__is_same(C, float) && __is_same(In, BFloat16)) {
    return load(p);
  } else if constexpr (__is_same(C, double) && __is_same(In, float)) {
    return doubles(p);
  } else if constexpr (__is_same(In, Half)) {
    float f[n];
    for (int64_t i = 0; i < n; i += 8) halves(p + i, f + i);
    return load_as<C>(static_cast<const float*>(f));
  } else if constexpr (__is_same(In, BFloat16)) {
    float f[n];
    for (int64_t i = 0; i < n; ++i) f[i] = static_cast<float>(p[i]);
    return load_as<C>(static_cast<const float*>(f));
  } else {
    C buffer[n];
    for (int64_t i = 0; i < n; ++i) buffer[i] = static_cast<C>(p[i]);
    return *reinterpret_cast<const typename Lanes<C>::Unaligned*>(buffer);
  }
}
// The first n elements, `other` in the other lanes.
template <class C, class In>
RUTILE_INLINE VecOf<C> load_some(const In* p, int64_t n, C other) {
#if defined(__AVX512F__)
  if constexpr (__is_same(C, float) && __is_same(In, float)) {
    const auto mask = static_cast<__mmask16>((1u << n) - 1);
    return reinterpret_cast<V16>(
        _mm512_mask_loadu_ps(reinterpret_cast<__m512>(splat(other)), mask, p));
  }
  if constexpr (__is_same(C, float) && __is_same(In, BFloat16)) {
    return keep_lanes(load_part(p, n), n, other);
  }
#endif
  In buffer[Lanes<C>::kCount] = {};
  for (int64_t i = 0; i < n; ++i) buffer[i] = p[i];
  const VecOf<C> v = load_as<C>(static_cast<const In*>(buffer));
  return lane_numbers<C>() < static_cast<typename Lanes<C>::Number>(n) ? v : fill<C>(other);
}

template <class Op>
void init_slots(void* slots, int64_t n) {
  auto* s = static_cast<typename Op::Slot*>(slots);
  for (int64_t i = 0; i < n; ++i) s[i] = Op::empty();
}
template <class Op>
void merge_slots(void* into, const void* from, int64_t n) {
  auto* a = static_cast<typename Op::Slot*>(into);
  const auto* b = static_cast<const typename Op::Slot*>(from);
  for (int64_t i = 0; i < n; ++i) Op::merge(a[i], b[i]);
}

constexpr int64_t kFew = 8;  // not worth a vector

template <class Op, class In>
void few_rows(const In* x, int64_t step, int64_t count, int64_t n, void* slots) {
  using Slot = typename Op::Slot;
  for (int64_t row = 0; row < count; ++row, x += step) {
    Slot slot = static_cast<Slot*>(slots)[row];
    for (int64_t i = 0; i < n; ++i) {
      Op::merge(slot, static_cast<Slot>(static_cast<typename Op::C>(x[i])));
    }
    static_cast<Slot*>(slots)[row] = slot;
  }
}

template <class Op, class In>
void rows(const void* px, int64_t step, int64_t count, int64_t n, int64_t first,
          const float* shifts, void* slots) {
  using C = typename Op::C;
  constexpr int64_t w = Lanes<C>::kCount;
  constexpr int64_t block = Op::kRun * 4 * w;
  if constexpr (Op::kMerges) {
    if (n < kFew) return few_rows<Op, In>(static_cast<const In*>(px), step, count, n, slots);
  }
  for (int64_t row = 0; row < count; ++row) {
    const In* x = static_cast<const In*>(px) + row * step;
    auto& slot = static_cast<typename Op::Slot*>(slots)[row];
    const C shift = Op::kShifts ? static_cast<C>(shifts[row]) : C();
    for (int64_t begin = 0; begin < n; begin += block) {
      const int64_t end = n - begin < block ? n : begin + block;
      // Numbers of vectors; lanes count on from there.
      const int64_t at = begin / w;
      typename Op::Acc a[4];
      for (int k = 0; k < 4; ++k) a[k].start(k);
      int64_t i = begin;
      for (; i + 4 * w <= end; i += 4 * w) {
        for (int k = 0; k < 4; ++k) a[k].take(load_as<C>(x + i + k * w), i / w - at + k, shift);
      }
      for (; i + w <= end; i += w) a[0].take(load_as<C>(x + i), i / w - at, shift);
      if (i < end) a[1].take(load_some<C>(x + i, end - i, Op::kFill), i / w - at, shift);
      a[0].join(a[1]);
      a[2].join(a[3]);
      a[0].join(a[2]);
      Op::gather(a[0], first + begin, slot);
    }
  }
}

template <class Op, class In>
void columns(const void* px, int64_t step, int64_t rows, int64_t n, int64_t first,
             const float* shifts, void* slots) {
  using C = typename Op::C;
  constexpr int64_t w = Lanes<C>::kCount, kMost = 32;  // vectors of columns at a time
  auto* s = static_cast<typename Op::Slot*>(slots);
  for (int64_t j = 0; j < n; j += kMost * w) {
    const int64_t left = n - j < kMost * w ? n - j : kMost * w;
    const int64_t full = left / w, rest = left % w;
    for (int64_t begin = 0; begin < rows; begin += Op::kRun) {
      const int64_t end = rows - begin < Op::kRun ? rows : begin + Op::kRun;
      typename Op::Acc acc[kMost];
      for (int64_t v = 0; v < full + (rest != 0); ++v) acc[v].start(0);
      const auto take = [&](typename Op::Acc& a, const In* x, int64_t row, int64_t v, int64_t m) {
        VecOf<C> shift{};
        if constexpr (Op::kShifts) shift = get(shifts + j, v * w, m);
        a.take(m == w ? load_as<C>(x + v * w) : load_some<C>(x + v * w, m, Op::kFill), row, shift);
      };
      int64_t r = begin;
      for (; r + 4 <= end; r += 4) {
        const In* x = static_cast<const In*>(px) + r * step + j;
        for (int64_t v = 0; v < full; ++v) {
          typename Op::Acc a = acc[v];
          for (int k = 0; k < 4; ++k) take(a, x + k * step, r - begin + k, v, w);
          acc[v] = a;
        }
        if (rest == 0) continue;
        for (int k = 0; k < 4; ++k) take(acc[full], x + k * step, r - begin + k, full, rest);
      }
      for (; r < end; ++r) {
        const In* x = static_cast<const In*>(px) + r * step + j;
        for (int64_t v = 0; v < full; ++v) take(acc[v], x, r - begin, v, w);
        if (rest) take(acc[full], x, r - begin, full, rest);
      }
      for (int64_t v = 0; v < full; ++v) Op::spread(acc[v], first + begin, s + j + v * w, w);
      if (rest) Op::spread(acc[full], first + begin, s + j + full * w, rest);
    }
  }
}

template <class Op, class In>
ReduceKernels kernels_of() {
  return {sizeof(typename Op::Slot), init_slots<Op>, rows<Op, In>, columns<Op, In>,
          merge_slots<Op>};
}

}  // namespace
}  // namespace rutile::kernels::RUTILE_ISA
