// SPDX-License-Identifier: Apache-2.0
// Extrema, their places, any and all. NaN beats everything; the first of equals stays.
#include "rutile/kernels/cpu/isa/reduce_loops.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

constexpr int64_t kUnbounded = int64_t{1} << 26;

template <class C>
constexpr C lowest() {
  if constexpr (__is_same(C, float)) {
    return -__builtin_inff();
  } else if constexpr (__is_same(C, double)) {
    return -__builtin_inf();
  } else {
    return INT64_MIN;
  }
}
template <class C>
constexpr C highest() {
  if constexpr (__is_same(C, int64_t)) {
    return INT64_MAX;
  } else {
    return -lowest<C>();
  }
}

// Lane by lane: does x come before the best so far.
template <bool kLargest, class V>
RUTILE_INLINE auto beats(V x, V best) {
  // A NaN stays: nothing compares with it.
  return (kLargest ? x > best : x < best) | ((x != x) & (best == best));
}

template <class Type, bool kLargest>
struct Extremum {
  using C = Type;
  using Slot = C;
  static constexpr C kFill = kLargest ? lowest<C>() : highest<C>();
  static constexpr bool kShifts = false, kMerges = true;
  static constexpr int64_t kRun = kUnbounded;
  struct Acc {
    VecOf<C> v;
    RUTILE_INLINE void start(int64_t) { v = fill<C>(kFill); }
    template <class S>
    RUTILE_INLINE void take(VecOf<C> x, int64_t, S) {
      // Once NaN is in, no comparison is true and it stays.
      const auto hit = (kLargest ? x > v : x < v) | (x != x);
      v = hit ? x : v;
    }
    RUTILE_INLINE void join(const Acc& o) { take(o.v, 0, 0); }
  };
  static Slot empty() { return kFill; }
  static RUTILE_INLINE void merge(Slot& a, Slot b) {
    if (beats<kLargest>(b, a)) a = b;
  }
  static RUTILE_INLINE void spread(const Acc& a, int64_t, Slot* s, int64_t n) {
    for (int64_t i = 0; i < n; ++i) merge(s[i], a.v[i]);
  }
  static RUTILE_INLINE void gather(const Acc& a, int64_t, Slot& s) {
    for (int i = 0; i < Lanes<C>::kCount; ++i) merge(s, a.v[i]);
  }
};

template <class C>
RUTILE_INLINE C& value_of(ArgSlot& s) {
  if constexpr (__is_same(C, float)) {
    return s.f;
  } else if constexpr (__is_same(C, double)) {
    return s.d;
  } else {
    return s.i;
  }
}

template <class Type, bool kLargest>
struct ArgExtremum {
  using C = Type;
  using Slot = ArgSlot;
  using Number = typename Lanes<C>::Number;
  static constexpr C kFill = kLargest ? lowest<C>() : highest<C>();
  static constexpr bool kShifts = false, kMerges = false;
  static constexpr int64_t kRun = kUnbounded;
  struct Acc {
    VecOf<C> v;
    MaskOf<C> at;
    // Before anything is taken a lane stands for its first element, as if that were kFill.
    RUTILE_INLINE void start(int64_t number) {
      v = fill<C>(kFill);
      at = MaskOf<C>{} + static_cast<Number>(number);
    }
    template <class S>
    RUTILE_INLINE void take(VecOf<C> x, int64_t number, S) {
      const auto hit = beats<kLargest>(x, v);
      v = hit ? x : v;
      at = hit ? MaskOf<C>{} + static_cast<Number>(number) : at;
    }
    RUTILE_INLINE void join(const Acc& o) {
      const auto same = (o.v == v) | ((o.v != o.v) & (v != v));
      const auto hit = beats<kLargest>(o.v, v) | (same & (o.at < at));
      v = hit ? o.v : v;
      at = hit ? o.at : at;
    }
  };
  static Slot empty() {
    Slot s;
    s.i = 0;
    s.at = -1;
    return s;
  }
  static RUTILE_INLINE void put(Slot& a, C v, int64_t at) {
    C& best = value_of<C>(a);
    if (a.at >= 0) {
      if (beats<kLargest>(best, v)) return;
      if (!beats<kLargest>(v, best) && a.at < at) return;
    }
    best = v;
    a.at = at;
  }
  static RUTILE_INLINE void merge(Slot& a, Slot b) {
    if (b.at >= 0) put(a, value_of<C>(b), b.at);
  }
  static RUTILE_INLINE void spread(const Acc& a, int64_t first, Slot* s, int64_t n) {
    for (int64_t i = 0; i < n; ++i) put(s[i], a.v[i], first + a.at[i]);
  }
  static RUTILE_INLINE void gather(const Acc& a, int64_t first, Slot& s) {
    constexpr int64_t w = Lanes<C>::kCount;
    for (int64_t i = 0; i < w; ++i) put(s, a.v[i], first + a.at[i] * w + i);
  }
};

// Has a zero (kZero), or anything else, turned up.
template <class Type, bool kZero>
struct Found {
  using C = Type;
  using Slot = int64_t;
  static constexpr C kFill = kZero ? 1 : 0;
  static constexpr bool kShifts = false, kMerges = false;
  static constexpr int64_t kRun = kUnbounded;
  struct Acc {
    MaskOf<C> m;
    RUTILE_INLINE void start(int64_t) { m = MaskOf<C>{}; }
    template <class S>
    RUTILE_INLINE void take(VecOf<C> x, int64_t, S) {
      m |= kZero ? x == VecOf<C>{} : x != VecOf<C>{};
    }
    RUTILE_INLINE void join(const Acc& o) { m |= o.m; }
  };
  static Slot empty() { return 0; }
  static RUTILE_INLINE void merge(Slot& a, Slot b) { a |= b; }
  static RUTILE_INLINE void spread(const Acc& a, int64_t, Slot* s, int64_t n) {
    for (int64_t i = 0; i < n; ++i) s[i] |= a.m[i] != 0;
  }
  static RUTILE_INLINE void gather(const Acc& a, int64_t, Slot& s) {
    for (int i = 0; i < Lanes<C>::kCount; ++i) s |= a.m[i] != 0;
  }
};

template <template <class, bool> class Op, bool kWhich>
ReduceKernels pick(DType in) {
  switch (in) {
#define RUTILE_CASE(D, C, T) \
  case DType::D:             \
    return kernels_of<Op<C, kWhich>, T>();
    RUTILE_CASE(kF16, float, Half)
    RUTILE_CASE(kBF16, float, BFloat16)
    RUTILE_CASE(kF32, float, float)
    RUTILE_CASE(kF64, double, double)
    RUTILE_CASE(kBool, int64_t, bool)
    RUTILE_CASE(kU8, int64_t, uint8_t)
    RUTILE_CASE(kU16, int64_t, uint16_t)
    RUTILE_CASE(kU32, int64_t, uint32_t)
    RUTILE_CASE(kI8, int64_t, int8_t)
    RUTILE_CASE(kI16, int64_t, int16_t)
    RUTILE_CASE(kI32, int64_t, int32_t)
    RUTILE_CASE(kI64, int64_t, int64_t)
#undef RUTILE_CASE
    default:  // u64 orders otherwise
      return {};
  }
}

}  // namespace

ReduceKernels extremum_kernels(ReduceKind kind, DType in) {
  switch (kind) {
    case ReduceKind::kMax:
      return pick<Extremum, true>(in);
    case ReduceKind::kMin:
      return pick<Extremum, false>(in);
    case ReduceKind::kArgmax:
      return pick<ArgExtremum, true>(in);
    case ReduceKind::kArgmin:
      return pick<ArgExtremum, false>(in);
    case ReduceKind::kAny:
      return pick<Found, false>(in);
    case ReduceKind::kAll:
      return pick<Found, true>(in);
    default:
      return {};
  }
}

}  // namespace rutile::kernels::RUTILE_ISA
